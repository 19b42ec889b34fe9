"""Lists of images: text files with a path and a label in each line.

    n01440764/n01440764_10026.JPEG 0          a label is a number from 0,
    photos/my cat.jpg cat                     or a name; a path may have
    signs/7.png<TAB>give way                  spaces, with a tab both may

A path is relative to `data_dir` or, as in the lists of ILSVRC, to the folder
of the list's part in it (`data_dir/val` for the validation list). It may lack
the ending ".JPEG". Blank lines are left out.

The classes are the lines of `class_list`. Without this file they are the
labels of the training images: the names in alphabetical order, or, if every
label is a number, all numbers up to the highest. A label that is the name of a
class means that class; any other label must be the number of a class.

Without a training list, the training images are those of the class folders in
`data_dir/train`. With a validation list this is the layout of ILSVRC, whose
folders have the order of its classes. Without a test list or a validation list
`rules.complete` applies: the images of the validation list become the test
set, and a fifth of the training images becomes the validation set.
"""

import collections
import os
import unicodedata

from atcon_tf.config import UserError
from atcon_tf.config import files
from atcon_tf.data import image_files
from atcon_tf.data import record
from atcon_tf.data.sources import folder
from atcon_tf.data.sources import rules

EXTENSION = ".JPEG"  # The ending that is added to a path without one.


def load(data_dir, train_list="", val_list="", test_list="", class_list="",
         classes=(), seed=0):
  """Reads lists of images.

  Args:
    data_dir: the folder to which the paths are relative.
    train_list, val_list, test_list: paths of the lists; the top of this file
      describes what replaces an empty one. `val_list` or `test_list` must be
      given.
    class_list: a file with a class name in each line; empty: the classes of
      the training labels.
    classes: names of the classes to use, in the order of the labels; images
      of other classes are left out. Empty: all.
    seed: seed of the draw of validation images, if they are not given.
  Returns:
    a single-label `Dataset` without boxes. The id of an image is its path
    below `data_dir`.
  Raises:
    UserError: the error names the list and its line.
  """
  if not os.path.isdir(data_dir):
    raise UserError("data_dir", data_dir, "no such folder")
  lines, notes = {}, []
  if train_list:
    lines["train"] = _read("train_list", train_list)
  else:
    lines["train"], notes = _class_folders(data_dir)
  for part, path in (("val", val_list), ("test", test_list)):
    if path:
      lines[part] = _read(f"{part}_list", path)
  available = (_names(class_list) if class_list
               else _found(train_list, lines["train"]))
  names = rules.choose_classes(classes, available)
  number = {name: i for i, name in enumerate(available)}
  column = {number[name]: i for i, name in enumerate(names)}
  place, label, seen = {}, {}, {}
  labels = record.one_hot(len(names))
  parts = {part: [] for part in lines}
  for part, listed in lines.items():
    for where, path, text in listed:
      index = _index(where, text, number)
      image_id = _find(data_dir, part, where, path)
      # The real path finds an image that is listed by another name or link.
      file = os.path.realpath(os.path.join(data_dir, image_id))
      if file in seen:
        raise UserError(f"{where}: image '{image_id}' is also in "
                        f"{seen[file]}")
      seen[file] = where
      if index in column:
        parts[part].append(image_id)
        place[image_id] = os.path.join(data_dir, image_id)
        label[image_id] = labels[column[index]]
  splits = {}
  for part, ids in rules.complete(parts, f"{seed}/").items():
    if not ids:
      raise UserError("train_list", train_list,
                      f"{len(parts['train'])} training image(s) of "
                      f"these classes leave none for the {part} split")
    splits[part] = [record.Record(i, place[i], label[i]) for i in ids]
  return record.Dataset(names, False, splits, tuple(notes),
                        rules.drawn(lines))


def _read(name, path):
  """The lines of a list.

  Args:
    name: of the setting that names the list, for the error.
    path: of the list.
  Returns:
    list of `("FILE, line N", path, label)`.
  Raises:
    UserError: a line has no label, or the list has no line.
  """
  found = []
  for number, line in enumerate(files.lines(name, path), 1):
    if not line.strip():
      continue
    where = f"{path}, line {number}"
    # After a tab, a class name may have spaces.
    parts = line.strip().rsplit("\t" if "\t" in line.strip() else None, 1)
    if len(parts) < 2:
      raise UserError(f"{where}: no label; must be 'path label', not "
                      f"'{line.strip()}'")
    found.append((where, parts[0].strip(), unicodedata.normalize(
        "NFC", parts[1].strip())))
  if not found:
    raise UserError(name, path, "no image in it")
  return found


def _class_folders(data_dir):
  """As `_read`, for the class folders in data_dir/train; and notes."""
  top = os.path.join(data_dir, "train")
  folders = folder.class_folders(top) if os.path.isdir(top) else {}
  if not folders:
    raise UserError("train_list", None,
                    f"needed, since there is no {top} with one "
                    "sub-folder of images per class")
  lines, others = [], collections.Counter()
  for name, place in folders.items():
    paths, more = folder.images_in(data_dir, place)
    lines += [(top, path, name) for path in paths]
    others += more
  return lines, image_files.note(top, others)


def _names(path):
  """The class names in a class list."""
  names = tuple(unicodedata.normalize("NFC", line.strip())
                for line in files.lines("class_list", path) if line.strip())
  for name in names:
    if names.count(name) > 1:
      raise UserError("class_list", path,
                      f"'{name}' is listed twice")
  return names


def _found(path, lines):
  """The classes in the labels of the training images.

  Args:
    path: of the training list, for the error.
    lines: as `_read` returns them.
  Raises:
    UserError: the labels are numbers, and a number is missing.
  """
  labels = {label for _, _, label in lines}
  if not all(label.isdecimal() for label in labels):
    return tuple(sorted(labels))
  numbers = set(map(int, labels))
  for number in range(len(numbers)):
    if number not in numbers:
      raise UserError("train_list", path,
                      f"labels up to {max(numbers)}, but no image has "
                      f"{number}; labels count from 0, and only a "
                      "--class_list can name a class without training "
                      "images")
  return tuple(map(str, sorted(numbers)))


def _index(where, label, names):
  """The number of the class that a label names.

  Args:
    where: list and line of the label, for the error.
    label: a name or a number, as text.
    names: `{name: number}`, in the order of the numbers.
  Raises:
    UserError: no class has this name or number.
  """
  if label in names:
    return names[label]
  if not label.isdecimal():
    raise UserError(
        f"{where}: no class '{label}'; any of {', '.join(names)[:200]}")
  if int(label) >= len(names):
    raise UserError(f"{where}: label {label} is out of range; must be "
                    f"from 0 to {len(names) - 1}")
  return int(label)


def _find(data_dir, part, where, path):
  """The path of an image below data_dir.

  Args:
    data_dir: the folder.
    part: "train", "val" or "test".
    where: list and line of the path, for the error.
    path: the path in the list.
  Raises:
    UserError: there is no such image.
  """
  # Lists may come from Windows, or from a system that writes é otherwise.
  forms = dict.fromkeys(
      unicodedata.normalize(form, p) for p in (path, path.replace("\\", "/"))
      for form in ("NFC", "NFD"))
  tried = [name for p in (path, *forms) for name in (p, f"{part}/{p}")]
  if not os.path.splitext(path)[1]:
    tried += [p + EXTENSION for p in tried]
  for candidate in tried:
    file = os.path.join(data_dir, candidate)
    if os.path.isfile(file):
      return os.path.relpath(file, data_dir).replace(os.sep, "/")
  raise UserError(f"{where}: no image {os.path.join(data_dir, path)}")
