"""The images and the split of one run."""

import dataclasses

import numpy as np

from atcon_tf.config import files
from atcon_tf.config.objective_settings.registry import OBJECTIVES
from atcon_tf.config.objective_settings.registry import uses_pool
from atcon_tf.config.settings import FILES
from atcon_tf.config import UserError
from atcon_tf.data import image_store
from atcon_tf.data import registry
from atcon_tf.data import splits
from atcon_tf.runs import warm_start

PARTS = ("train_labeled", "train_unlabeled", "val", "test")


@dataclasses.dataclass(eq=False)
class RunData(splits.Described):
  """What a run is trained and tested on.

  Attributes:
    images: `pipeline.Images` that holds every record that is used: all but
      the unlabelled pool of an objective that has no term on it.
    records: `{part: list of Record}`, part one of `PARTS`.
    split: the content of splits.json: `{part: ids}`, "class_names",
      "multi_label" and how it was drawn.
  """

  images: image_store.Images
  records: dict
  split: dict


def load(config, stored, progress=False, images=None):
  """Reads the images of a run and draws, or reads, its split.

  Args:
    config: a resolved `Config`.
    stored: path of the run's splits.json; written if it is not there.
    progress: show a bar.
    images: the same data's `pipeline.Images`, if they were read before.
  Raises:
    UserError: for what is wrong with the data or the split.
  """
  data = registry.load(config)
  OBJECTIVES[config.objective].check_data(config, data)
  every = [r for part in data.splits.values() for r in part]
  if config.max_bad_images:  # what does not decode is not drawn
    images = images or _read(config, every, progress)
    data = registry.keep(data, images)
  split = splits.of_run(config, data, stored)
  if config.warm_start:
    warm_start.check_start(config, split)
  if not config.max_bad_images:
    used = {i for part in PARTS for i in split[part]
            if part != "train_unlabeled" or uses_pool(config)}
    every = [r for r in every if r.id in used]
    if images is None or not all(r.id in images for r in every):
      images = _read(config, every, progress)
  splits.save(split, stored)
  by_id = {r.id: r for part in data.splits.values() for r in part}
  if config.random_labels:
    by_id |= shuffled([by_id[i] for i in split["train_labeled"]], config.seed)
  records = {part: [by_id[i] for i in split[part]] for part in PARTS}
  if uses_pool(config) and not records["train_unlabeled"]:
    raise UserError("objective", config.objective,
                    "no unlabelled images are left; use fewer --shots, "
                    "--unlabeled_dir, or --unlabeled=labeled")
  return RunData(images, records, split)


def _read(config, records, progress):
  """The images of records; says which of them do not decode."""
  images = image_store.Images(records, config.image_size, config.max_bad_images,
                              progress)
  for path, why in images.bad.items():
    print(f"skipped {files.printable(path)}: {why}", flush=True)
  return images


def load_part(run, split="test", data_dir="", voc_year=0):
  """Records of one part of a run's data, or of other data, and its images.

  Args:
    run: a `runs.Run`.
    split: "val" or "test" (the run's own ids), or any part of `data_dir`,
      or "all" of it; of data that hold every image of the run, which are its
      own in another place, again "val" or "test".
    data_dir: judge the data there instead of the run's own.
    voc_year: judge this VOC instead of the run's own.
  Raises:
    UserError: other classes, no such part, missing data, or images that the
      run was trained on.
  """
  config = run.config
  other = bool(data_dir or voc_year)
  if data_dir and config.dataset not in FILES["dataset"]:
    raise UserError("data_dir", data_dir,
                    f"not used with a run on --dataset={config.dataset}")
  config = dataclasses.replace(config, data_dir=data_dir or config.data_dir,
                               voc_year=voc_year or config.voc_year,
                               unlabeled_dir="")
  data = registry.load(config)
  if data.class_names != run.class_names:
    raise UserError("data_dir", data_dir or config.data_dir,
                    f"has other classes ({', '.join(data.class_names)[:80]}) "
                    f"than the run ({', '.join(run.class_names)[:80]})")
  known = {r.id: r for part in data.splits.values() for r in part}
  if other and known.keys() >= {i for part in ("train_labeled", "val", "test")
                                for i in run.split[part]}:
    if split not in ("val", "test"):
      raise UserError("split", split,
                      "these are the run's own images, of which it may be "
                      "judged by val or test")
    print(f"note: these are the run's own images: its own {split} images are "
          "taken", flush=True)
    other = False
  if other and split == "all":
    records = list(known.values())
  elif other:
    records = data.splits.get(split, [])
  else:
    wanted = run.split.get(split, [])
    records = [known[i] for i in wanted if i in known]
    if 0 < len(records) < len(wanted):
      print(f"note: {len(wanted) - len(records)} of the {len(wanted)} {split} "
            "images of this run are not there any more", flush=True)
  if not records:
    raise UserError("split", split, "no images there")
  images = image_store.Images(records, run.classifier.image_size[0],
                              config.max_bad_images)
  return images.records, images


def shuffled(records, seed):
  """Records with each other's labels, `{id: record}`, in an order of `seed`.

  As many images as before show each class.
  """
  order = np.random.default_rng(seed).permutation(len(records))
  return {r.id: dataclasses.replace(r, label=records[i].label)
          for r, i in zip(records, order)}
