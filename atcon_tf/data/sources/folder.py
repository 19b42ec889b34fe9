"""A folder of images, one sub-folder per class.

    data_dir/cat/1.jpg            or, with published splits,
    data_dir/dog/2.png              data_dir/train/cat/1.jpg
    data_dir/dog/may/3.tif          data_dir/val/cat/3.jpg
                                    data_dir/test/dog/2.png

The images of a class are those in its folder and anywhere below; files that
are no pictures are counted (`image_files`). The names of split folders have
other forms (`SPLIT_FOLDERS`), in upper or lower case.

Every image has exactly one label. Without split folders each class is divided
into 60 % train, 20 % validation and 20 % test. If only some split folders are
missing, `rules.complete` draws these splits. Both draw by the sha1 of seed and
path, class by class, so the order of files on the disk has no effect.
"""

import collections
import os
import typing
import unicodedata

from atcon_tf.config import UserError
from atcon_tf.data import image_files
from atcon_tf.data import record
from atcon_tf.data.sources import rules

SPLIT_FOLDERS = {"train": "train", "training": "train",
                 "val": "val", "valid": "val", "validation": "val",
                 "test": "test", "testing": "test"}
TEST_SHARE = 0.2


class Things(typing.NamedTuple):
  """What class folders hold.

  Attributes:
    word: their name in messages.
    below: fn(folder) -> `image_files.Found`.
    endings: of the files.
    others: what else they can be, in words.
  """
  word: str
  below: typing.Callable
  endings: tuple[str, ...]
  others: str = ""

  @property
  def kinds(self):
    """What they can be, in words."""
    return ", ".join(self.endings) + self.others


IMAGES = Things("image", image_files.below, image_files.ENDINGS)


def load(data_dir, classes=(), seed=0, things=IMAGES, judged=()):
  """Reads a folder of class folders.

  Args:
    data_dir: the folder.
    classes: names of the class folders to use, in the order of the labels;
      empty: all, in alphabetical order.
    seed: seed of the draw of validation and test images, if their folders are
      missing.
    things: what the class folders hold.
    judged: the classes of a run that the images shall judge. Then, without
      split folders, all are test images, and a class may have no folder.
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
  available = tuple(class_folders(first))
  if not available:
    raise UserError("data_dir", first,
                    "no class folders in it; must have one sub-folder of "
                    f"{things.word}s per class")
  if judged and list(layout) == ["all"]:
    chosen = [name for name in available if name in (classes or available)]
    return _judging(data_dir, chosen, tuple(judged), things)
  if len(available) == 1:
    raise UserError("data_dir", first,
                    f"only one class folder, '{available[0]}'; at "
                    "least two are needed" + _inner(first, available[0]))
  names = rules.choose_classes(classes, available)
  _check_same_classes(layout, names, available)
  salt = f"{seed}/"
  splits = {"train": [], "val": [], "test": []}
  places = {split: class_folders(folder) for split, folder in layout.items()}
  others, nested = collections.Counter(), collections.Counter()
  for name, label in zip(names, record.one_hot(len(names))):
    found = {}
    for split in layout:
      place = places[split][name]
      found[split], more = images_in(data_dir, place, things)
      others += more
      nested[place] += sum(os.path.dirname(i) != _id(place, data_dir)
                           for i in found[split])
    if list(found) == ["all"]:
      found = _cut(os.path.join(first, name), found["all"], salt,
                   things.word)
    for split, ids in rules.complete(found, salt).items():
      if not ids:
        raise UserError(
            f"{os.path.join(first, name)}: {sum(map(len, found.values()))} "
            f"{things.word}(s) leave none for the {split} split")
      splits[split] += [
          record.Record(i, os.path.join(data_dir, *i.split("/")), label)
          for i in ids]
  return record.Dataset(names, False, splits, (
      *_nested_note(+nested, things.word),
      *_loose_note(data_dir, layout, things),
      *_others_note(data_dir, others, things)), rules.drawn(layout))


def _judging(data_dir, chosen, names, things):
  """The data set of class folders, all of whose images are test images."""
  unknown = [name for name in chosen if name not in names]
  if unknown:
    raise UserError("data_dir", data_dir,
                    f"has other classes ({', '.join(unknown)[:80]}) than the "
                    f"run ({', '.join(names)[:80]})")
  others, records = collections.Counter(), []
  labels = dict(zip(names, record.one_hot(len(names))))
  places = class_folders(data_dir)
  for name in chosen:
    found, more = images_in(data_dir, places[name], things)
    others += more
    records += [record.Record(i, os.path.join(data_dir, *i.split("/")),
                              labels[name]) for i in found]
  return record.Dataset(
      names, False, {"train": [], "val": [], "test": records},
      tuple(_others_note(data_dir, others, things)))


def _others_note(data_dir, others, things):
  """Notes on the files in class folders that are none of the things."""
  word = "picture" if things is IMAGES else things.word
  return image_files.note(data_dir, others, word)


def _layout(data_dir):
  """`{split: folder}`, train first, or `{"all": data_dir}` without splits.

  Raises:
    UserError: beside train/ there is another folder, or no folder; or the
      folders look like splits of other names.
  """
  below = class_folders(data_dir)
  holds = {name: set(class_folders(path)) for name, path in below.items()}
  # A class may have the name "train"; a split folder holds folders.
  if not any(SPLIT_FOLDERS.get(name.lower()) == "train" and holds[name]
             for name in below):
    _check_no_splits(data_dir, holds)
    return {"all": data_dir}
  layout = {}
  for folder, path in below.items():
    split = SPLIT_FOLDERS.get(folder.lower())
    if split is None:
      raise UserError(
          f"{path}: beside train/ there may only be "
          "the folders val/ and test/ (or "
          f"{', '.join(f for f, s in SPLIT_FOLDERS.items() if f != s)})")
    if split in layout:
      raise UserError(
          f"{path}: a second {split} folder beside {layout[split]}")
    layout[split] = path
  if len(layout) == 1:
    raise UserError("data_dir", data_dir,
                    "has train/, but neither test/ nor val/")
  return {split: layout[split] for split in ("train", "val", "test")
          if split in layout}


def _check_no_splits(data_dir, holds):
  """Refuses folders such as train_set and test_set, which hold the classes.

  Their images would otherwise be taken for two classes.
  """
  train = [name for name in holds if "train" in name.lower() and holds[name]]
  for name in train:
    for other in holds:
      if (other not in train and holds[name] & holds[other] and
          any(word in other.lower() for word in ("test", "val"))):
        raise UserError(
            "data_dir", data_dir,
            f"its folders {name} and {other} both hold "
            f"{min(holds[name] & holds[other])}; if they are splits, name "
            "them train, val and test")


def _id(path, data_dir):
  """A path below data_dir, with "/"."""
  return os.path.relpath(path, data_dir).replace(os.sep, "/")


def _inner(folder, name):
  """What to name instead of a folder that only holds the folder of classes."""
  place = class_folders(folder)[name]
  inside = class_folders(place)
  if len(inside) < 2:
    return ""
  return f"; {place} holds {len(inside)} folders: perhaps --data_dir={place}"


def _nested_note(nested, word):
  """The line on images in folders of class folders; `{place: number}`."""
  if not nested:
    return []
  place = min(nested)
  return [f"note: {sum(nested.values())} {word}s lie in folders of their class "
          f"folder, {nested[place]} of them below {place}"]


def _loose_note(data_dir, layout, things):
  """The line on images beside the class folders or the split folders."""
  loose = sum(f.name.lower().endswith(things.endings)
              and image_files.visible(f.name) and f.is_file()
              for place in {data_dir, *layout.values()}
              for f in os.scandir(place))
  return [f"left out of {data_dir}: {loose} {things.word}{'s' * (loose > 1)} "
          "in no class folder"] if loose else []


def _check_same_classes(layout, names, available):
  """Refuses a split that lacks a class in use, or has one that train lacks."""
  for folder in layout.values():
    found = class_folders(folder)
    for name in names:
      if name not in found:
        raise UserError(
            f"{folder}: no class folder '{name}', but {layout['train']} has "
            "it; every split needs the same classes")
    for name, path in found.items():
      if name not in available:
        raise UserError(
            f"{path}: class '{name}' is not in "
            f"{layout['train']}; every split needs the same classes")


def _cut(folder, ids, salt, word):
  """Divides the images of a class into 60 % train, 20 % val, 20 % test.

  Args:
    folder: of the class, for the error.
    ids: of its images.
    salt: see `rules.rank`.
    word: what they are.
  Returns:
    `{split: ids}`.
  Raises:
    UserError: the class has fewer than 3 images.
  """
  if len(ids) < 3:
    raise UserError(
        f"{folder}: {len(ids)} {word}(s); at least 3 are needed for train, "
        "validation and test")
  share = max(1, round(TEST_SHARE * len(ids)))
  ranked = rules.rank(ids, salt)
  chosen = {"test": set(ranked[:share]), "val": set(ranked[share:2 * share]),
            "train": set(ranked[2 * share:])}
  return {split: [i for i in ids if i in which]
          for split, which in chosen.items()}


def class_folders(folder):
  """`{class: path of its folder}` of the folders in a folder, sorted.

  A class has one name, though systems write the letter é in two ways.

  Raises:
    UserError: two folders differ in nothing but this.
  """
  found = {}
  for name in image_files.folders_in(folder):
    path = os.path.join(folder, name)
    plain = unicodedata.normalize("NFC", name)
    if plain in found:
      raise UserError(f"{path}: {found[plain]} has the same name, written "
                      "with other Unicode characters")
    found[plain] = path
  return dict(sorted(found.items()))


def images_in(data_dir, folder, things=IMAGES):
  """The images in a folder and below it.

  Args:
    data_dir: the folder to which the paths are relative.
    folder: the folder of the images.
    things: what they are.
  Returns:
    their paths, and `{ending: number}` of the files that are no pictures.
  Raises:
    UserError: the folder has no image.
  """
  found, others = things.below(folder)
  if not found:
    there = "".join(image_files.note(folder, others)).partition(": ")[2]
    raise UserError(
        f"{folder}: no {things.word}s in this class folder "
        f"({things.kinds})" + (there and f", but {there}"))
  prefix = _id(folder, data_dir)
  return [f"{prefix}/{name}" for name in found], others
