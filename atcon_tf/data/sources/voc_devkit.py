"""Reads a VOCdevkit folder: image lists, annotations, masks.

    VOCdevkit/VOC2007/
      ImageSets/Main/{train,val,test}.txt   image ids, one a line
      ImageSets/Segmentation/...            read if Main is absent
      Annotations/<id>.xml
      JPEGImages/<id>.jpg                   or another of `image_files.ENDINGS`
      SegmentationClass/<id>.png            optional

A folder of one's own in this layout may have other classes than VOC: then its
classes are the names in its annotations. Boxes count pixels from 1; one that
reaches a pixel beyond the image (as those that count from 0) is clipped.
"""

import os
import re
import typing

from defusedxml import ElementTree
import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import decoding
from atcon_tf.data import image_files
from atcon_tf.data.sources import rules

# The order is that of the official class numbers, which are the mask values.
CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat",
    "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person",
    "pottedplant", "sheep", "sofa", "train", "tvmonitor")


class Object(typing.NamedTuple):
  """An annotated object; the box is normalised x and y, minimum first."""
  name: str
  difficult: bool
  box: tuple[float, float, float, float]


class Devkit(typing.NamedTuple):
  """What a folder holds.

  Attributes:
    splits: `{"train": items, "val": items, "test": items}`.
    classes: `CLASSES`; or, if the annotations name others, all that they name.
    notes: lines for the person.
  """
  splits: dict[str, list]
  classes: tuple[str, ...]
  notes: tuple[str, ...]


class Item(typing.NamedTuple):
  """An annotated image, before classes are chosen.

  Attributes:
    id: the official id.
    image: path, or a function that returns uint8 `[height, width, 3]`.
    objects: all annotated objects.
    mask: path of the mask; empty: none.
  """
  id: str
  image: str | typing.Callable[[], np.ndarray]
  objects: list[Object]
  mask: str = ""


def read(data_dir, year):
  """Reads the annotations of all images in the lists.

  Args:
    data_dir: a VOCdevkit folder, its parent, or its VOC<year> folder.
    year: 2007 or 2012.
  Returns:
    a `Devkit`, each image once.
  Raises:
    UserError: a file is missing or malformed; the error names it.
  """
  root = _root(data_dir, year)
  images = _images(os.path.join(root, "JPEGImages"))
  splits = _image_sets(root, year, images)
  masks = set(_listdir(os.path.join(root, "SegmentationClass")))
  clipped = []
  splits = {split: [_read(root, i, images, masks, clipped) for i in ids]
            for split, ids in splits.items()}
  names = {o.name for items in splits.values() for i in items
           for o in i.objects}
  notes = [f"note: {len(clipped)} boxes reach a pixel beyond their image and "
           f"are clipped, the first in {clipped[0]}"] if clipped else []
  if names <= set(CLASSES):
    return Devkit(splits, CLASSES, tuple(notes))
  notes.append(f"note: the annotations in {root} have {len(names)} classes of "
               f"their own: {', '.join(sorted(names))[:200]}")
  if masks:
    notes.append("note: the masks are not used: nothing says which value is "
                 "which class")
  splits = {split: [item._replace(mask="") for item in items]
            for split, items in splits.items()}
  return Devkit(splits, tuple(sorted(names)), tuple(notes))


def _root(data_dir, year):
  """The folder that holds Annotations, ImageSets and JPEGImages."""
  if not os.path.isdir(data_dir):
    raise UserError("data_dir", data_dir, "no such folder")
  named = re.fullmatch(r"VOC(\d{4})", os.path.basename(
      os.path.abspath(data_dir)))
  if named and int(named[1]) != year:
    raise UserError("data_dir", data_dir,
                    f"is VOC{named[1]}, but --voc_year={year}")
  for below in ("", f"VOC{year}", os.path.join("VOCdevkit", f"VOC{year}")):
    root = os.path.join(data_dir, below)
    if os.path.isdir(os.path.join(root, "Annotations")):
      return root
  raise UserError("data_dir", data_dir,
                  f"no VOC{year}/Annotations in it; must be a "
                  f"VOCdevkit folder, its parent, or its VOC{year} "
                  "folder")


def _images(folder):
  """`{id: names of its files}` of the pictures in a folder."""
  found = {}
  for name in sorted(filter(image_files.visible, _listdir(folder))):
    stem, ending = os.path.splitext(name)
    if ending.lower() in image_files.ENDINGS:
      found.setdefault(stem, []).append(name)
  return found


def _image_sets(root, year, images):
  """`{"train": ids, "val": ids, "test": ids}`, each id once.

  Raises:
    UserError: a list is missing, or an id is listed twice.
  """
  for folder in ("Main", "Segmentation"):
    lists, seen = {}, {}
    for split in ("train", "val", "test"):
      path = os.path.join(root, "ImageSets", folder, f"{split}.txt")
      if not os.path.isfile(path) or (split == "test" and year == 2012):
        continue
      with open(path, encoding="utf-8-sig", errors="replace") as lines:
        lists[split] = [_id(line.strip(), images) for line in lines
                        if line.strip()]
      for i in lists[split]:
        if i in seen:
          raise UserError(
              f"{path}: image {i} is also in {seen[i]}.txt" if
              seen[i] != split else f"{path}: image {i} is listed twice")
        seen[i] = split
    if lists.get("train") and (lists.get("val") or lists.get("test")):
      return rules.complete(lists)
  raise UserError(
      f"{os.path.join(root, 'ImageSets')}: needs Main/train.txt and "
      "Main/val.txt (or the same in Segmentation/) with image ids in them")


def _id(line, images):
  """The id in a line of a list, which may have spaces, an ending or a flag."""
  stem, ending = os.path.splitext(line)
  if line in images:
    return line
  if stem in images and ending.lower() in image_files.ENDINGS:
    return stem
  return line.split()[0]


def _listdir(folder):
  """Names in a folder; empty if the folder does not exist."""
  return os.listdir(folder) if os.path.isdir(folder) else []


def _read(root, image_id, images, masks, clipped):
  """The `Item` of an image id.

  Args:
    root: the folder of the year.
    image_id: the id.
    images: `{id: names}` of the files in JPEGImages.
    masks: names of the files in SegmentationClass.
    clipped: list that gets the path of an annotation for each clipped box.
  Raises:
    UserError: the image or its annotation is missing or malformed.
  """
  names = images.get(image_id, [])
  image = os.path.join(root, "JPEGImages", (names or [f"{image_id}.jpg"])[0])
  if not names:
    raise UserError(f"{image}: no such image, but ImageSets lists it")
  if len(names) > 1:
    raise UserError(f"{image}: {names[1]} has the same name; ImageSets does "
                    "not say which one it lists")
  mask = ""
  if f"{image_id}.png" in masks:
    mask = os.path.join(root, "SegmentationClass", f"{image_id}.png")
  path = os.path.join(root, "Annotations", f"{image_id}.xml")
  return Item(image_id, image, _read_objects(path, image, clipped), mask)


def _read_objects(path, image, clipped):
  """The objects of one annotation file; see `_read`."""
  try:
    root = ElementTree.parse(path).getroot()
  except OSError as error:
    raise UserError(
        f"{path}: annotation of a listed image: {error.strerror}") from None
  except (ElementTree.ParseError, ValueError) as error:
    raise UserError(f"{path}: malformed XML: {error}") from None
  width, height = _size(path, root.find("size"), image)
  objects = []
  for node in root.iterfind("object"):
    name = node.findtext("name", "").strip()
    if not name:
      raise UserError(f"{path}: an <object> has no <name>")
    x1, y1, x2, y2 = _numbers(
        path, node.find("bndbox"), "bndbox", "xmin", "ymin", "xmax", "ymax")
    if not (0 <= x1 <= x2 <= width + 1 and 0 <= y1 <= y2 <= height + 1
            and x1 <= width and y1 <= height and x2 >= 1 and y2 >= 1):
      raise UserError(
          f"{path}: box {x1:g},{y1:g},{x2:g},{y2:g} of '{name}' is empty or "
          f"outside its image of {width:g} x {height:g} pixels, 1-based")
    if min(x1, y1) < 1 or x2 > width or y2 > height:
      clipped.append(path)
    # Pixel 1 extends from 0 to 1.
    box = (max(x1 - 1, 0) / width, max(y1 - 1, 0) / height,
           min(x2 / width, 1), min(y2 / height, 1))
    objects.append(Object(
        name, node.findtext("difficult", "0").strip() == "1", box))
  return objects


def _size(path, node, image):
  """Width and height of the image that was annotated.

  The annotation's own size counts: boxes keep their places if the image was
  made smaller later. Some tools write 0; then it is that of the image.

  Raises:
    UserError: the image has another shape, as one has that was turned or cut
      after it was annotated.
  """
  try:
    with decoding.open_image(image) as opened:
      real = decoding.upright_size(opened)
  except Exception:  # decoders raise almost anything; reported when it is read
    real = None
  if real and (node is None or not _number(node.findtext("width")) or
               not _number(node.findtext("height"))):
    return real
  width, height = _numbers(path, node, "size", "width", "height")
  if real and not 0.95 < (width / height) / (real[0] / real[1]) < 1.05:
    raise UserError(
        f"{path}: <size> is {width:g} x {height:g}, but {image} has "
        f"{real[0]} x {real[1]} pixels the way up that it is shown; its boxes "
        "would lie elsewhere")
  return width, height


def _number(text):
  """A number of an annotation; 0 for an empty one."""
  try:
    return float(text or 0)
  except ValueError:
    return text  # `_numbers` says what is wrong


def _numbers(path, node, name, *tags):
  """The numbers of an XML node, in the order of the tags."""
  try:
    return [float(node.findtext(tag)) for tag in tags]
  except (AttributeError, TypeError, ValueError):
    raise UserError(
        f"{path}: <{name}> must hold the numbers {', '.join(tags)}") from None
