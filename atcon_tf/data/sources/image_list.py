"""Lists of images: text files of a path and a label a line.

    n01440764/n01440764_10026.JPEG 0          a number, counted from 0,
    photos/my cat.jpg cat                     or a name; the path may have
    signs/7.png<TAB>give way                  spaces, before a tab both may

A path counts from `data_dir` or, as in ILSVRC's own lists, from the folder of
the list's part in it (`data_dir/val` for the validation list), and may lack
its ".JPEG". Blank lines are left out.

The classes are those of a file with a name a line, or else those of the
training images: the names of their labels in alphabetical order, or, where
every label is a number, all numbers up to the highest. A label that is a
class's name means that class, any other must be its number.

Without a training list, the training images are the class folders of
`data_dir/train`: with a validation list this is how ILSVRC comes, and the
order of its folders is that of its classes. Without a list of test images,
or of validation images, `rules.complete` says what takes their place: the
validation list becomes the test set, and a fifth of the training images the
validation set.
"""

import os

from atcon_tf.config import UserError
from atcon_tf.config import files
from atcon_tf.data import record
from atcon_tf.data.sources import folder
from atcon_tf.data.sources import rules

EXTENSION = ".JPEG"  # Of a path that lacks one.


def load(data_dir, train_list="", val_list="", test_list="", class_list="",
         classes=(), seed=0):
  """Reads lists of images.

  Args:
    data_dir: the folder that the paths count from.
    train_list, val_list, test_list: the lists; see the top of this file for
      what takes the place of an empty one. Val or test must be there.
    class_list: a file with the name of a class a line; empty: see above.
    classes: names of the classes to use, in the order wanted; images of
      others are left out. Empty for all.
    seed: another seed draws other validation images, where they are not
      given.
  Returns:
    a single-label `Dataset` without boxes; an image's id is its path below
    data_dir.
  Raises:
    UserError: one line that names the list, and the line in it.
  """
  if not os.path.isdir(data_dir):
    raise UserError("data_dir", data_dir, "no such folder")
  lines = {"train": (_read("train_list", train_list) if train_list
                     else _class_folders(data_dir))}
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
      # By whatever name or link it is listed, an image is in one part.
      file = os.path.realpath(os.path.join(data_dir, image_id))
      if file in seen:
        raise UserError(f"{where}: image '{image_id}' is there "
                        f"already, in {seen[file]}")
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
  return record.Dataset(names, False, splits)


def _read(name, path):
  """`[("FILE, line N", path, label)]` of a list."""
  found = []
  for number, line in enumerate(files.lines(name, path), 1):
    if not line.strip():
      continue
    where = f"{path}, line {number}"
    # With a tab, names with spaces are possible, too.
    parts = line.strip().rsplit("\t" if "\t" in line.strip() else None, 1)
    if len(parts) < 2:
      raise UserError(f"{where}: no label; must be 'path label', not "
                      f"'{line.strip()}'")
    found.append((where, parts[0].strip(), parts[1].strip()))
  if not found:
    raise UserError(name, path, "no image in it")
  return found


def _class_folders(data_dir):
  """The same of the class folders in data_dir/train."""
  top = os.path.join(data_dir, "train")
  names = folder.class_folders(top) if os.path.isdir(top) else []
  if not names:
    raise UserError("train_list", None,
                    f"needed, since there is no {top} with one "
                    "sub-folder of images per class")
  return [(top, path, name) for name in names
          for path in folder.images_in(data_dir, os.path.join(top, name))]


def _names(path):
  names = tuple(line.strip() for line in files.lines("class_list", path)
                if line.strip())
  for name in names:
    if names.count(name) > 1:
      raise UserError("class_list", path,
                      f"'{name}' is there twice")
  return names


def _found(path, lines):
  """The classes that the labels of the training images speak of."""
  labels = {label for _, _, label in lines}
  if not all(label.isdecimal() for label in labels):
    return tuple(sorted(labels))
  numbers = set(map(int, labels))
  for number in range(len(numbers)):
    if number not in numbers:
      raise UserError("train_list", path,
                      f"labels up to {max(numbers)}, but no image has "
                      f"{number}; they count from 0, and only a "
                      "--class_list can name a class without training "
                      "images")
  return tuple(map(str, sorted(numbers)))


def _index(where, label, names):
  """Which class a label means.

  Args:
    names: `{name: number}`, in the order of the numbers.
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
  """The path of an image below data_dir."""
  tried = [path, f"{part}/{path}"]
  if not os.path.splitext(path)[1]:
    tried += [p + EXTENSION for p in tried]
  for candidate in tried:
    file = os.path.join(data_dir, candidate)
    if os.path.isfile(file):
      return os.path.relpath(file, data_dir).replace(os.sep, "/")
  raise UserError(f"{where}: no image {os.path.join(data_dir, path)}")
