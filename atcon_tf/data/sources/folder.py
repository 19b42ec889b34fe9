"""A folder of images, one sub-folder per class.

    data_dir/cat/1.jpg            or, with published splits,
    data_dir/dog/2.png              data_dir/train/cat/1.jpg
                                    data_dir/val/cat/3.jpg   (or validation,
                                    data_dir/test/dog/2.png       or valid)

Every image has exactly one label. Without split folders each class is divided
into 60 % train, 20 % validation and 20 % test. If only some split folders are
missing, `rules.complete` draws these splits. Both draw by the sha1 of seed and
path, class by class, so the order of files on the disk has no effect.
"""

import os

from atcon_tf.config import UserError
from atcon_tf.data.pictures import ENDINGS
from atcon_tf.data import record
from atcon_tf.data.sources import rules

SPLIT_FOLDERS = {"train": "train", "val": "val", "validation": "val",
                 "valid": "val", "test": "test"}
TEST_SHARE = 0.2


def load(data_dir, classes=(), seed=0):
  """Reads a folder of class folders.

  Args:
    data_dir: the folder. Hidden files and folders are ignored, and so are
      files without the extension of an image.
    classes: names of the class folders to use, in the order of the labels;
      empty: all, in alphabetical order.
    seed: seed of the draw of validation and test images, if their folders are
      missing.
  Returns:
    a single-label `Dataset` without boxes. The id of an image is its path
    below `data_dir`, with "/".
  Raises:
    UserError: the error names the folder that is wrong.
  """
  if not os.path.isdir(data_dir):
    raise UserError("data_dir", data_dir, "no such folder")
  layout = _layout(data_dir)
  first = next(iter(layout.values()))
  available = class_folders(first)
  if not available:
    raise UserError("data_dir", first,
                    "no class folders in it; must have one sub-folder of "
                    "images per class")
  if len(available) == 1:
    raise UserError("data_dir", first,
                    f"only one class folder, '{available[0]}'; at "
                    "least two are needed")
  names = rules.choose_classes(classes, available)
  _check_same_classes(layout, names, available)
  salt = f"{seed}/"
  splits = {"train": [], "val": [], "test": []}
  for name, label in zip(names, record.one_hot(len(names))):
    found = {split: images_in(data_dir, os.path.join(folder, name))
             for split, folder in layout.items()}
    if list(found) == ["all"]:
      found = _cut(os.path.join(first, name), found["all"], salt)
    for split, ids in rules.complete(found, salt).items():
      if not ids:
        raise UserError(
            f"{os.path.join(first, name)}: {sum(map(len, found.values()))} "
            f"image(s) leave none for the {split} split")
      splits[split] += [
          record.Record(i, os.path.join(data_dir, *i.split("/")), label)
          for i in ids]
  return record.Dataset(names, False, splits, drawn=rules.drawn(layout))


def _layout(data_dir):
  """`{split: folder}`, train first, or `{"all": data_dir}` without splits.

  Raises:
    UserError: beside train/ there is another folder, or no folder.
  """
  below = class_folders(data_dir)
  # A class may have the name "train"; a split folder holds folders.
  if not ("train" in below and class_folders(os.path.join(data_dir, "train"))):
    return {"all": data_dir}
  layout = {"train": os.path.join(data_dir, "train")}
  for folder in below:
    split = SPLIT_FOLDERS.get(folder)
    if split is None:
      raise UserError(
          f"{os.path.join(data_dir, folder)}: beside train/ there may only be "
          f"{', '.join(f for f in SPLIT_FOLDERS if f != 'train')}")
    if folder != "train" and split in layout:
      raise UserError(
          f"{os.path.join(data_dir, folder)}: a second validation folder "
          f"beside {layout[split]}")
    layout[split] = os.path.join(data_dir, folder)
  if len(layout) == 1:
    raise UserError("data_dir", data_dir,
                    "has train/, but neither test/ nor val/")
  return layout


def _check_same_classes(layout, names, available):
  """Refuses a split that lacks a class in use, or has one that train lacks."""
  for folder in layout.values():
    found = class_folders(folder)
    for name in names:
      if name not in found:
        raise UserError(
            f"{folder}: no class folder '{name}', but {layout['train']} has "
            "it; every split needs the same classes")
    for name in found:
      if name not in available:
        raise UserError(
            f"{os.path.join(folder, name)}: class '{name}' is not in "
            f"{layout['train']}; every split needs the same classes")


def _cut(folder, ids, salt):
  """Divides the images of a class into 60 % train, 20 % val, 20 % test.

  Args:
    folder: of the class, for the error.
    ids: of its images.
    salt: see `rules.rank`.
  Returns:
    `{split: ids}`.
  Raises:
    UserError: the class has fewer than 3 images.
  """
  if len(ids) < 3:
    raise UserError(
        f"{folder}: {len(ids)} image(s); at least 3 are needed for train, "
        "validation and test")
  share = max(1, round(TEST_SHARE * len(ids)))
  ranked = rules.rank(ids, salt)
  chosen = {"test": set(ranked[:share]), "val": set(ranked[share:2 * share]),
            "train": set(ranked[2 * share:])}
  return {split: [i for i in ids if i in which]
          for split, which in chosen.items()}


def class_folders(folder):
  """Names of the folders in a folder, except hidden ones, sorted."""
  return sorted(f.name for f in os.scandir(folder)
                if f.is_dir() and not f.name.startswith("."))


def images_in(data_dir, folder):
  """Paths of the images in a folder, in alphabetical order.

  Args:
    data_dir: the folder to which the paths are relative.
    folder: the folder of the images.
  Raises:
    UserError: the folder has no image.
  """
  names = sorted(f.name for f in os.scandir(folder) if f.is_file()
                 and not f.name.startswith(".")
                 and f.name.lower().endswith(ENDINGS))
  if not names:
    raise UserError(
        f"{folder}: no images in this class folder ({', '.join(ENDINGS)})")
  prefix = os.path.relpath(folder, data_dir).replace(os.sep, "/")
  return [f"{prefix}/{name}" for name in names]
