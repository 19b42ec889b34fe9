"""Draws the labelled images and the unlabelled pool, and stores them as JSON.

    splits.json: {"train_labeled": [id, ...], "train_unlabeled": [...],
                  "val": [...], "test": [...], "shots": 8, "seed": 0}

The split of a run also has "class_names" and "multi_label", and, of images in
groups, "groups": the numbers of groups in train, val and test, none shared.
"""

import json
import pathlib

import numpy as np

from atcon_tf.config import Config
from atcon_tf.config import files
from atcon_tf.config.objective_settings.registry import uses_pool
from atcon_tf.config import UserError
from atcon_tf.data import groups
from atcon_tf.data.sources.unlabeled import PREFIX

KEYS = ("train_labeled", "train_unlabeled", "val", "test")


def draw(labels, shots, seed, class_names, single_label_only=False):
  """Draws `shots` images for every class.

  In each of `shots` rounds every class, from the rarest to the most frequent,
  takes one image that shows it and that no class took before: an image with
  this label alone while one is left, then an image with several labels. So
  each class takes `shots` images, `shots * classes` in all; images that other
  classes took may show it as well. With the same seed, fewer shots draw a
  subset of more shots.

  Args:
    labels: `[N, C]`, 1 where an image shows a class.
    shots: images per class; 0: every image.
    seed: seed of the draw; NumPy's global state has no effect.
    class_names: C names, for the error.
    single_label_only: whether to take only images with one label.
  Returns:
    indices of the images, sorted.
  Raises:
    UserError: fewer than `shots` images are left for a class.
  """
  labels = np.asarray(labels) > 0
  single = labels.sum(1) == 1
  if not shots:
    if single_label_only and not single.any():
      raise UserError("single_label_only", True,
                      "no training image has one label only")
    return np.flatnonzero(single) if single_label_only else np.arange(
        len(labels))
  order = np.random.default_rng(seed).permutation(len(labels))
  order = order[np.argsort(~single[order], kind="stable")]
  if single_label_only:
    order = order[single[order]]
  queues = {c: iter(order[labels[order, c]])
            for c in np.argsort(labels[order].sum(0), kind="stable")}
  taken = set()
  for done in range(shots):
    for c, queue in queues.items():
      index = next((i for i in queue if i not in taken), None)
      if index is None:
        raise UserError(
            "shots", shots,
            f"class '{class_names[c]}' has only {done} "
            f"{'single-label ' if single_label_only else ''}training images "
            f"to be drawn ({labels[order, c].sum()} show it"
            + ", other classes may have taken some" * bool((~single).any())
            + ")")
      taken.add(index)
  return np.array(sorted(taken))


def make(dataset, shots, unlabeled="all", seed=0, single_label_only=False):
  """Draws the labelled images and the unlabelled pool of a run.

  Args:
    dataset: a `record.Dataset`.
    shots, seed, single_label_only: see `draw`.
    unlabeled: the pool: "all", the other training images and those without
      labels; a number (as a string) of these; or "labeled", the labelled
      images again.
  Returns:
    the dict at the top of this file; its lists are in the order of the data
    set.
  Raises:
    UserError: `shots` or `unlabeled` asks for more images than there are.
  """
  train = dataset.splits["train"]
  extra = dataset.splits.get("unlabeled", [])
  chosen = set(draw([r.label for r in train], shots, seed,
                    dataset.class_names, single_label_only).tolist())
  if unlabeled == "labeled":
    pool = chosen
  else:
    # Not the stream of `draw`, whose order prefers images with one label.
    order = np.random.default_rng([seed, 1]).permutation(
        len(train) + len(extra))
    rest = [i for i in order.tolist() if i not in chosen]
    wanted = len(rest) if unlabeled == "all" else int(unlabeled)
    if wanted > len(rest):
      raise UserError("unlabeled", unlabeled,
                      f"only {len(rest)} images are left beside the "
                      f"{len(chosen)} labelled ones")
    pool = set(rest[:wanted])
  return {
      "train_labeled": [r.id for i, r in enumerate(train) if i in chosen],
      "train_unlabeled": [r.id for i, r in enumerate([*train, *extra])
                          if i in pool],
      "val": [r.id for r in dataset.splits["val"]],
      "test": [r.id for r in dataset.splits["test"]],
      "shots": shots, "seed": seed}


class Described:
  """A base class that reads class names from `split`, a splits.json."""

  split: dict

  @property
  def class_names(self):
    """Tuple of the class names."""
    return tuple(self.split["class_names"])

  @property
  def multi_label(self):
    """Whether an image can show several classes."""
    return self.split["multi_label"]


def save(splits, path):
  """Writes the dict of `make` as JSON."""
  path, text = pathlib.Path(path), json.dumps(splits, indent=1) + "\n"
  # A run that continues has the same file already.
  if not path.exists() or path.read_text("utf-8") != text:
    files.write_text(path, text)


def read(path, dataset, without=""):
  """Reads a splits.json and checks it against the data set.

  Args:
    path: of the file.
    dataset: a `record.Dataset`.
    without: prefix of ids in train_unlabeled that are left out if the data
      set does not have them; empty: every id must be in the data set.
  Returns:
    the dict of `make`; the ids may be from any split of the data set.
  Raises:
    UserError: the file is not JSON; a list is missing, empty (except
      train_unlabeled) or has an id twice; the data set does not have an id;
      or an image is in two of train, val and test.
  """
  def wrong(text):
    return UserError("splits", path, f"{text}")

  try:
    with open(path, encoding="utf-8") as file:
      splits = json.load(file)
  except OSError as error:
    raise wrong(error.strerror) from None
  except ValueError as error:
    raise wrong(f"not a JSON file: {error}") from None
  known = {r.id for records in dataset.splits.values() for r in records}
  for key in KEYS:
    ids = splits.get(key) if isinstance(splits, dict) else None
    if not isinstance(ids, list):
      raise wrong(f"no list '{key}'; needs {', '.join(KEYS)}")
    if key == "train_unlabeled" and without:
      splits[key] = ids = [i for i in ids
                           if i in known or not str(i).startswith(without)]
    for i in ids:
      if not isinstance(i, str) or i not in known:
        raise wrong(f"{key}: no image '{i}' in this data set")
    if len(set(ids)) < len(ids):
      raise wrong(f"{key}: an image is listed twice")
    if not ids and key != "train_unlabeled":
      raise wrong(f"{key}: lists no image")
  labeled, unlabeled, val, test = (set(splits[key]) for key in KEYS)
  for names, both in (("train and test", (labeled | unlabeled) & test),
                      ("train and val", (labeled | unlabeled) & val),
                      ("val and test", val & test)):
    if both:
      raise wrong(f"image '{min(both)}' is in both {names}")
  return splits


def of_run(config, data, stored):
  """The split of a run.

  Args:
    config: a resolved `Config`.
    data: a `record.Dataset`.
    stored: path of the run's splits.json. If the file exists, its split is
      returned; otherwise that of --splits, or else a new draw.
  Returns:
    the dict of `make` with "class_names" and "multi_label".
  Raises:
    UserError: the split does not fit the data or the settings.
  """
  if stored.exists():
    split = read(stored, data)
  elif config.splits:
    # --splits may come from a run with an unlabelled pool; where this
    # objective uses none, the pool is not checked.
    split = read(config.splits, data, "" if uses_pool(config) else PREFIX)
    _check_unlabeled(config, data, split)
  else:
    split = make(data, config.shots, config.unlabeled,
                 config.split_seed, config.single_label_only)
  split = {**split, "class_names": list(data.class_names),
           "multi_label": data.multi_label}
  shared = groups.counted(data, split)
  if shared:
    split["groups"] = shared
  _check_two_classes(config, split)
  return split


def _check_unlabeled(config, data, split):
  """Refuses an --unlabeled_dir of which --splits uses no image."""
  extra = {r.id for r in data.splits.get("unlabeled", [])
           if r.id.startswith(PREFIX)}
  if extra and extra.isdisjoint(split["train_unlabeled"]):
    raise UserError("unlabeled_dir", config.unlabeled_dir,
                    f"not used with --splits={config.splits}, which lists "
                    "none of its images")


def _check_two_classes(config, split):
  """Refuses settings of positives if the data do not have two classes."""
  names = split["class_names"]
  if len(names) == 2 and not split["multi_label"]:
    return
  for flag in ("batch_positive_share", "false_alarm_rates",
               "operating_point"):
    value = getattr(config, flag)
    if value != getattr(Config, flag):
      shown = ",".join(value) if isinstance(value, tuple) else value
      raise UserError(flag, shown,
                      "the data must have two classes, of which the second is "
                      f"positive; these have {len(names)}")
