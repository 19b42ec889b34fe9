"""Images with class names and boxes, as files of annotations list them.

`csv`, `coco` and `tfds:NAME` read their files into `Annotated` images. This
file makes the data set of them: which classes, which labels, which parts.

Classes are those that an image shows. A class without a training image is
refused, because it is often a class that is spelled in two ways.

Images. An image whose classes are all left out by `classes` is left out. One
that shows no class at all is kept as a negative of all of them, if images can
show several classes. One whose classes are unknown joins the unlabelled pool.

Parts. If the files name a part for each image, `rules.complete` applies.
Otherwise the seed draws 60 % train, 20 % validation and 20 % test, class by
class.
"""

import collections
import functools
import os
import typing

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import record
from atcon_tf.data.sources import rules
from atcon_tf.data.sources import unlabeled

# Names of the parts in files.
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val",
         "validation": "val", "test": "test", "testing": "test"}


class Annotated(typing.NamedTuple):
  """An image, before classes are chosen.

  Attributes:
    id, image, group: as of `Record`.
    names: the classes that it shows; None: unknown.
    boxes: tuple of `(class name, (x_min, y_min, x_max, y_max))` in units of
      the image's width and height.
    mask: None, or a function of the chosen class names and of the names that
      the image shows; it returns uint8 `[height, width]` with the values of
      `Record.mask`.
    part: a value of `PARTS`; empty: the seed draws it.
    where: file and row, for errors.
    events: tuple of `(class name, (start, end))` in seconds, of a clip.
  """

  id: str
  image: str | typing.Callable[[], np.ndarray]
  names: tuple[str, ...] | None
  boxes: tuple = ()
  mask: typing.Callable[..., np.ndarray] | None = None
  part: str = ""
  group: str = ""
  where: str = ""
  events: tuple = ()


def dataset(images, available, classes=(), multi_label=False, seed=0,
            notes=(), judged=()):
  """The `Dataset` of annotated images.

  Args:
    images: list of `Annotated`; all have a part, or none has.
    available: names of the classes, in the order of the labels. Those without
      an image are left out, and a note names them.
    classes: names of the classes to use; empty: all.
    multi_label: whether an image can show several classes.
    seed: seed of the draw of the parts.
    notes: lines for the person.
    judged: the classes of a run that the images shall judge. Then a class may
      have no image, and the images without a part are test images.
  Returns:
    a `Dataset`; with images without labels it has the part "unlabeled".
  Raises:
    UserError: a class has no training image, or a part is empty.
  """
  notes = list(notes)
  shown = {name for image in images for name in image.names or ()}
  empty = [name for name in available if name not in shown]
  names = tuple(judged) or rules.choose_classes(
      classes, [name for name in available if name in shown])
  if not shown & set(names):
    raise UserError(f"no image shows one of {', '.join(names)[:200]}; the "
                    f"classes there are {', '.join(available)[:200]}")
  if empty and not (classes or judged):
    notes.append(f"left out: {len(empty)} classes without an image: "
                 f"{', '.join(empty)[:200]}")
  labelled = [i for i in images if i.names is not None]
  columns = {name: c for c, name in enumerate(names)}
  kept = [i for i in labelled
          if not i.names or any(name in columns for name in i.names)]
  if len(kept) < len(labelled):
    notes.append(f"left out: {len(labelled) - len(kept)} images of other "
                 "classes")
  label = np.zeros([len(kept), len(names)], bool)
  for row, image in zip(label, kept):
    row[[columns[name] for name in image.names if name in columns]] = True
  parts, drawn = ([i.part or "test" for i in kept], ()) if judged else _parts(
      kept, label, f"{seed}/")
  splits = {"train": [], "val": [], "test": []}
  alone = record.one_hot(len(names))
  for image, row, part in zip(kept, label, parts):
    row = (alone[int(row.argmax())] if row.sum() == 1 else
           row.astype(np.float32))
    splits[part].append(_record(image, row, columns))
  if not judged:
    _check(kept, label, parts, names)
  _add_pool(images, len(names), splits, notes)
  return record.Dataset(names, multi_label, splits, tuple(notes), drawn)


def _parts(images, label, salt):
  """The part of each labelled image, and the parts that were drawn."""
  if not any(image.part for image in images):
    return (rules.divide([i.id for i in images], label, salt=salt),
            ("val", "test"))
  given = collections.defaultdict(list)
  for image in images:
    given[image.part].append(image.id)
  chosen = rules.complete(given, salt)
  part_of = {i: part for part, ids in chosen.items() for i in ids}
  return [part_of[image.id] for image in images], rules.drawn(given)


def _record(image, label, columns):
  """The record of an image, with only the chosen classes."""
  boxes = [(columns[name], box) for name, box in image.boxes
           if name in columns]
  events = [(columns[name], event) for name, event in image.events
            if name in columns]
  mask = image.mask and functools.partial(
      image.mask, tuple(columns), frozenset(image.names))
  return record.Record(
      image.id, image.image, label,
      np.array([box for _, box in boxes], np.float32).reshape([-1, 4]),
      np.array([c for c, _ in boxes], np.int32), mask, group=image.group,
      events=np.array([e for _, e in events], float).reshape([-1, 2]),
      event_label=np.array([c for c, _ in events], np.int32))


def _check(images, label, parts, names):
  """Refuses an empty part and a class without training images."""
  parts = np.array(parts)
  shown = {part: label[parts == part].any(0)
           for part in ("train", "val", "test")}
  for part in shown:
    if not (parts == part).any():
      raise UserError(f"{len(images)} labelled image(s) leave none for the "
                      f"{part} split")
  for c, name in enumerate(names):
    if not shown["train"][c]:
      first = images[int(np.argmax(label[:, c]))]
      raise UserError(
          f"{first.where or first.id}: class '{name}' has no training image; "
          f"--classes={','.join(n for n in names if n != name)} leaves it out")


def _add_pool(images, count, splits, notes):
  """Adds the images without labels, except those of val and test."""
  pool = [i for i in images if i.names is None]
  kept = [i for i in pool if i.part in ("", "train")]
  if len(kept) < len(pool):
    notes.append(f"left out: {len(pool) - len(kept)} images without labels in "
                 "val or test")
  if kept:
    no_label = np.zeros([count], np.float32)
    splits[unlabeled.PART] = [
        record.Record(i.id, i.image, no_label, group=i.group) for i in kept]


def check_box(box, width, height, where):
  """A box in units of the image's sides.

  Args:
    box: x_min, y_min, x_max, y_max in pixels.
    width, height: of the image.
    where: file and row, for the error.
  Returns:
    four floats in [0, 1]. Up to one pixel beyond the image is cut off,
    because tools round and count from 0 or from 1.
  Raises:
    UserError: the box is empty, or further outside.
  """
  x1, y1, x2, y2 = box
  inside = (-1 <= x1 and x2 <= width + 1 and -1 <= y1 and y2 <= height + 1)
  x1, x2 = max(x1, 0.), min(x2, width)
  y1, y2 = max(y1, 0.), min(y2, height)
  if not (inside and x1 < x2 and y1 < y2):
    raise UserError(
        f"{where}: box {','.join(f'{v:g}' for v in box)} is empty or outside "
        f"its image of {width:g} x {height:g} pixels")
  return x1 / width, y1 / height, x2 / width, y2 / height


def find(top, base, path, where):
  """A file that a table or an annotation names.

  Args:
    top: folder below which the file must lie.
    base: folder to which the path is relative.
    path: the path; one from Windows may have backslashes.
    where: file and row, for the error.
  Returns:
    the path below `top` with "/", and the file's path.
  Raises:
    UserError: there is no such file, or it does not lie below `top`.
  """
  for form in dict.fromkeys((path, path.replace("\\", "/"))):
    file = os.path.normpath(os.path.join(base, form))
    below = os.path.relpath(file, top).replace(os.sep, "/")
    if below == ".." or below.startswith("../"):
      raise UserError(f"{where}: '{path}' does not lie below {top}")
    if os.path.isfile(file):
      return below, file
  raise UserError(f"{where}: no image {os.path.join(base, path)}")
