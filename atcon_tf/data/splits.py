"""Which training images are labelled: drawn once, kept as JSON.

    splits.json: {"train_labeled": [id, ...], "train_unlabeled": [...],
                  "val": [...], "test": [...], "shots": 8, "seed": 0}
"""

import json
import pathlib

import numpy as np

from atcon_tf.config import Config
from atcon_tf.config import files
from atcon_tf.config.objective_settings.registry import uses_pool
from atcon_tf.config import UserError
from atcon_tf.data.sources.unlabeled import PREFIX

KEYS = ("train_labeled", "train_unlabeled", "val", "test")


def draw(labels, shots, seed, class_names, single_label_only=False):
  """Draws `shots` images for every class.

  In each of `shots` rounds every class, from the rarest to the most frequent,
  takes one image that shows it and that no class took before: one with this
  label alone while there are any, then one with several labels. So each class
  brings `shots` images of its own, `shots * classes` in all; it may show in
  images that others brought as well. Fewer shots with the same seed are a
  subset of more.

  Args:
    labels: `[N, C]`, 1 where an image shows a class.
    shots: images per class; 0: every image.
    seed: another seed draws others; numpy's global state plays no part.
    class_names: C names, for the error.
    single_label_only: never take an image with several labels.
  Returns:
    indices of the images, sorted.
  Raises:
    UserError: a class has fewer than `shots` images left to it.
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
            f"to be drawn ({labels[order, c].sum()} show it, other classes "
            "may have taken some)")
      taken.add(index)
  return np.array(sorted(taken))


def make(dataset, shots, unlabeled="all", seed=0, single_label_only=False):
  """Draws the labelled images and the unlabelled pool of a run.

  Args:
    dataset: a `datasets.record.Dataset`.
    shots, seed, single_label_only: see `draw`.
    unlabeled: "all" other training images and those without labels;
      "labeled", the labelled ones once more; or a number (as a string) of
      what "all" has.
  Returns:
    the dict at the top of this file; lists in the order of the data set.
  Raises:
    UserError: more images wanted than there are.
  """
  train = dataset.splits["train"]
  extra = dataset.splits.get("unlabeled", [])
  chosen = set(draw([r.label for r in train], shots, seed,
                    dataset.class_names, single_label_only).tolist())
  if unlabeled == "labeled":
    pool = chosen
  else:
    # Another stream than in `draw`, whose order prefers single labels.
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
  """What the `split` of a run, a splits.json, says of its classes."""

  split: dict

  @property
  def class_names(self):
    return tuple(self.split["class_names"])

  @property
  def multi_label(self):
    return self.split["multi_label"]


def save(splits, path):
  """Writes the dict of `make` as JSON."""
  path, text = pathlib.Path(path), json.dumps(splits, indent=1) + "\n"
  # A run that continues finds its own there.
  if not path.exists() or path.read_text("utf-8") != text:
    files.write_text(path, text)


def read(path, dataset, without=""):
  """Reads what `save` wrote and checks it against the data set.

  Args:
    path: of the file.
    dataset: a `datasets.record.Dataset`.
    without: train_unlabeled may hold ids that begin with this and that the
      data set does not have; they are left out.
  Returns:
    the dict of `make`; the ids may be from any split of the data set.
  Raises:
    UserError: one line that names the file: not JSON, a list missing, empty
      (but for train_unlabeled) or with an id twice, an id that the data set
      does not have, an image in two of train, val and test.
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
      raise wrong(f"{key}: an image is there twice")
    if not ids and key != "train_unlabeled":
      raise wrong(f"{key}: no image in it")
  labeled, unlabeled, val, test = (set(splits[key]) for key in KEYS)
  for names, both in (("train and test", (labeled | unlabeled) & test),
                      ("train and val", (labeled | unlabeled) & val),
                      ("val and test", val & test)):
    if both:
      raise wrong(f"image '{min(both)}' is in both {names}")
  return splits


def of_run(config, data, stored):
  """The split of a run: as it was stored, as another's, or drawn."""
  if stored.exists():
    split = read(stored, data)
  elif config.splits:
    # --splits may come from a run with an unlabelled pool; where this
    # objective uses none, the pool is not checked.
    split = read(config.splits, data,
                 "" if uses_pool(config)
                 else PREFIX)
    _check_unlabeled(config, data, split)
  else:
    split = make(data, config.shots, config.unlabeled,
                 config.split_seed, config.single_label_only)
  split = {**split, "class_names": list(data.class_names),
           "multi_label": data.multi_label}
  _check_two_classes(config, split)
  return split


def _check_unlabeled(config, data, split):
  """Refuses a folder of which the given split uses nothing."""
  extra = {r.id for r in data.splits.get("unlabeled", [])}
  if extra and extra.isdisjoint(split["train_unlabeled"]):
    raise UserError("unlabeled_dir", config.unlabeled_dir,
                    f"not used with --splits={config.splits}, which lists "
                    "none of its images")


def _check_two_classes(config, split):
  """Refuses what speaks of positives where there are none."""
  names = split["class_names"]
  if len(names) == 2 and not split["multi_label"]:
    return
  for flag in ("batch_positive_share", "false_alarm_rates"):
    value = getattr(config, flag)
    if value != getattr(Config, flag):
      shown = ",".join(value) if isinstance(value, tuple) else value
      raise UserError(flag, shown,
                      "the data must have two classes, of which the second is "
                      f"positive; these have {len(names)}")
