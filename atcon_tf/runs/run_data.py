"""The images and the split of one run."""

import dataclasses
import hashlib

import numpy as np

from atcon_tf.config import files
from atcon_tf.config.objective_settings.registry import OBJECTIVES
from atcon_tf.config.objective_settings.registry import uses_pool
from atcon_tf.config.settings import ANNOTATED
from atcon_tf.config.settings import FILES
from atcon_tf.config import UserError
from atcon_tf.data import clip_statistics
from atcon_tf.data import groups
from atcon_tf.data import image_cache
from atcon_tf.data import image_store
from atcon_tf.data import recorded_clip
from atcon_tf.data import registry
from atcon_tf.data import splits
from atcon_tf.runs import warm_start

PARTS = ("train_labeled", "train_unlabeled", "val", "test")


@dataclasses.dataclass(eq=False)
class RunData(splits.Described):
  """The images and records that train and test a run.

  Attributes:
    images: `image_store.Images` that holds every record in use: all records,
      without the unlabelled pool if the objective does not use the pool.
    records: `{part: list of Record}`, part one of `PARTS`.
    split: the dict of splits.json: `{part: ids}`, "class_names",
      "multi_label", and the shots and seed of the draw.
    clips: the statistics of the clips, see `clip_statistics.table`; []: the
      images are no clips of recordings.
  """

  images: image_store.Images
  records: dict
  split: dict
  clips: list = dataclasses.field(default_factory=list)


def load(config, stored, progress=False, images=None):
  """Reads the images of a run and draws, or reads, its split.

  Args:
    config: a resolved `Config`.
    stored: path of the run's splits.json, which is written if it is missing.
    progress: whether to show a progress bar.
    images: `image_store.Images` of the same data, if they were read before;
      None: the images are read.
  Returns:
    a `RunData`.
  Raises:
    UserError: the data or the split are wrong.
  """
  data = registry.load(config)
  OBJECTIVES[config.objective].check_data(config, data)
  _tell(data.notes)
  whole = [r for part in data.splits.values() for r in part]
  if config.max_bad_images:  # broken images must not be drawn
    every = with_views(whole, data.splits["test"], config.test_clips)
    if images is None:
      images = _read(config, every, whole, progress)
    data = registry.keep(data, images)
  split = splits.of_run(config, data, stored)
  if config.warm_start:
    warm_start.check_start(config, split)
  if not config.max_bad_images:
    used = {i for part in PARTS for i in split[part]
            if part != "train_unlabeled" or uses_pool(config)}
    every = with_views([r for part in data.splits.values() for r in part
                        if r.id in used], data.splits["test"],
                       config.test_clips)
    if images is None or not all(r.id in images for r in every):
      images = _read(config, every, whole, progress)
      _tell(shared_note(images, split))
  splits.save(split, stored)
  by_id = {r.id: r for part in data.splits.values() for r in part}
  if config.random_labels:
    by_id |= shuffled([by_id[i] for i in split["train_labeled"]], config.seed)
  records = {part: [by_id[i] for i in split[part]] for part in PARTS}
  _tell(absent_note(records, data.class_names))
  if uses_pool(config) and not records["train_unlabeled"]:
    raise UserError("objective", config.objective,
                    "no unlabelled images are left; use fewer --shots, "
                    "--unlabeled_dir, or --unlabeled=labeled")
  clips = clip_statistics.table(records, data.class_names)
  _tell(clip_statistics.text(clips))
  _tell(clip_statistics.short_note(records))
  return RunData(images, records, split, clips)


def with_views(records, tested, count):
  """Records, and the further clips of those on which a run is tested.

  Args:
    records: list of `Record`.
    tested: list of `Record`, those among them of which more clips are read.
    count: clips of each, see `recorded_clip.views`; 1: no others.
  """
  if count == 1:
    return records
  ids = {r.id for r in records}
  return [*records, *(view for r in tested if r.id in ids
                      for view in recorded_clip.views(r, count))]


def _read(config, records, whole, progress):
  """Reads the images of records, and prints which ones do not decode.

  Args:
    config: a resolved `Config`.
    records: list of `Record` to read.
    whole: list of all `Record`s of the data set.
    progress: whether to show a progress bar.
  """
  images = image_store.Images(
      records, config.image_size, config.max_bad_images, progress,
      image_cache.of(config.cache, config.cache_dir, whole, config.image_size))
  for path, why in images.bad.items():
    print(f"skipped {files.printable(path)}: {why}", flush=True)
  _tell(images.notes())
  return images


def shared_note(images, split):
  """Lines on the images that also train a run, under another name.

  Copies with the same pixels in two parts make its scores too good.

  Args:
    images: `image_store.Images`.
    split: the dict of splits.json.
  """
  def content(image_id):
    row, = images.rows([image_id])
    return hashlib.sha1(np.ascontiguousarray(images.pixels[row])).digest()

  trained = {content(i): i for part in ("train_unlabeled", "train_labeled")
             for i in split[part] if i in images}
  lines = []
  for part in ("val", "test"):
    same = [(i, trained[c]) for i in split[part] if i in images
            for c in [content(i)] if c in trained]
    if same:
      lines.append(
          f"note: {len(same)} of the {len(split[part])} {part} images have "
          f"the pixels of a training image, as {same[0][0]} and "
          f"{same[0][1]}; scores on them say little")
  return lines


def absent_note(records, class_names):
  """Lines on the classes that no validation or no test image shows.

  Args:
    records: `{part: list of Record}`.
    class_names: of the data.
  """
  lines = []
  for part in ("val", "test"):
    shown = np.any([r.label > 0 for r in records[part]], 0)
    absent = [name for name, there in zip(class_names, shown) if not there]
    if absent:
      lines.append(f"note: no {part} image of {', '.join(absent)[:200]}; means "
                   "over classes leave out what has no image")
  return lines


def _tell(notes):
  for line in notes:
    print(files.printable(line), flush=True)


def records_of(run):
  """The images that a run trained with or was tested on, `{id: Record}`.

  Raises:
    UserError: the data are not where they were.
  """
  config = dataclasses.replace(run.config, unlabeled_dir="")
  used = {i for part in ("train_labeled", "train_unlabeled", "val", "test")
          for i in run.split[part]}
  return {r.id: r for part in registry.load(config).splits.values()
          for r in part if r.id in used}


def load_part(run, split="test", data_dir="", voc_year=0, check=None,
              dataset="", table="", annotations=""):
  """Reads one part of a run's data, or of other data.

  If the other data hold every image of the run, they are the run's own data in
  another folder, and the run's own split applies.

  Args:
    run: a `runs.Run`.
    split: "val" or "test" of the run's own data; any part of other data, or
      "all" of them.
    data_dir: folder of other data; empty: the run's own data.
    voc_year: year of other VOC data; 0: the run's own data.
    check: called with the records before their images are read; it may raise
      `UserError`. None: nothing is called.
    dataset, table, annotations: of other data, as in a `Config`; without
      `dataset` a table is of csv, and all else of the run's kind. They, and
      class folders, may show some of the run's classes only; images without a
      part are "test".
  Returns:
    list of `Record`, and `image_store.Images`.
  Raises:
    UserError: the classes differ, the part or the data are missing, or the
      images trained the run.
  """
  config = dataclasses.replace(run.config, unlabeled_dir="", group_pattern="")
  other = bool(data_dir or voc_year or dataset or table or annotations)
  if dataset or table or annotations:
    config = _of_other(config, data_dir, dataset, table, annotations)
  elif data_dir and config.dataset not in FILES["dataset"]:
    raise UserError("data_dir", data_dir,
                    f"not used with a run on --dataset={config.dataset}")
  else:
    config = dataclasses.replace(config, data_dir=data_dir or config.data_dir,
                                 voc_year=voc_year or config.voc_year)
  judging = table or annotations or (
      data_dir and config.dataset in ("folder", "video"))
  data = registry.load(config, run.class_names if judging else ())
  if other:
    _tell(data.notes)
  if data.class_names != run.class_names:
    raise UserError("data_dir", data_dir or config.data_dir,
                    f"has other classes ({', '.join(data.class_names)[:80]}) "
                    f"than the run ({', '.join(run.class_names)[:80]})")
  data = _in_groups(data, run.config.group_pattern)
  known = {r.id: r for part in data.splits.values() for r in part}
  if other and known.keys() >= {i for part in ("train_labeled", "val", "test")
                                for i in run.split[part]}:
    if split not in ("val", "test"):
      raise UserError("split", split,
                      "these are the run's own images; only val or test may "
                      "judge the run")
    print("note: these are the run's own images; the run's own split of them "
          f"gives the {split} images", flush=True)
    other = False
  if other and split == "all":
    records = [r for part in ("train", "val", "test")
               for r in data.splits[part]]
  elif other:
    records = data.splits.get(split, [])
  else:
    wanted = run.split.get(split, [])
    records = [known[i] for i in wanted if i in known]
    if 0 < len(records) < len(wanted):
      print(f"note: {len(wanted) - len(records)} of the {len(wanted)} {split} "
            "images of this run are missing", flush=True)
  if not records:
    raise UserError("split", split, "has no images"
                    + "; those without a part are test images" * other)
  several = [r.id for r in records if r.label.sum() != 1]
  if several and not run.multi_label:
    raise UserError(f"image '{several[0]}' shows none or several of the "
                    "classes; the run gives one to each image")
  if check:
    check(records)
  size = run.classifier.image_size
  images = image_store.Images(
      with_views(records, records, config.test_clips), size,
      config.max_bad_images, cache=image_cache.of(
          config.cache, config.cache_dir, list(known.values()), size))
  return [r for r in records if r.id in images], images


def _in_groups(data, pattern):
  """Data with the groups of a run's pattern, where it finds them."""
  try:
    return groups.named(data, pattern) if pattern else data
  except UserError as error:
    _tell([f"note: {error}; intervals are over images"])
    return data


def _of_other(config, data_dir, dataset, table, annotations):
  """The config of other data, for `load_part`."""
  dataset = dataset or ("csv" if table else config.dataset)
  if table and dataset != "csv":
    raise UserError("table", table, f"not used with --dataset={dataset}")
  if annotations and dataset not in ANNOTATED["dataset"]:
    raise UserError("annotations", annotations, "of which kind are they? Give "
                    f"--dataset={' or '.join(ANNOTATED['dataset'])}")
  if not (table or annotations or data_dir):
    raise UserError("data_dir", None, f"needed with --dataset={dataset}")
  files_of_run = dict.fromkeys(
      ("table", "annotations", "val_annotations", "test_annotations",
       "train_list", "val_list", "test_list", "class_list", "group_column"),
      "")
  return dataclasses.replace(
      config, **files_of_run | dict(
          dataset=dataset, data_dir=data_dir, table=table,
          annotations=annotations, classes=()))


def shuffled(records, seed):
  """Permutes the labels of records; the frequencies of the classes stay.

  Args:
    records: list of `Record`.
    seed: seed of the permutation.
  Returns:
    `{id: Record}`.
  """
  order = np.random.default_rng(seed).permutation(len(records))
  return {r.id: dataclasses.replace(r, label=records[i].label)
          for r, i in zip(records, order)}
