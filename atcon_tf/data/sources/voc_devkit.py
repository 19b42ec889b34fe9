"""Reads a VOCdevkit folder: image lists, annotations, masks.

    VOCdevkit/VOC2007/
      ImageSets/Main/{train,val,test}.txt   image ids, one a line
      ImageSets/Segmentation/...            read if Main is absent
      Annotations/<id>.xml
      JPEGImages/<id>.jpg
      SegmentationClass/<id>.png            optional
"""

import os
import re
import typing

from defusedxml import ElementTree
import numpy as np

from atcon_tf.config import UserError
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
    `{"train": items, "val": items, "test": items}`, each image once.
  Raises:
    UserError: a file is missing or malformed; the error names it.
  """
  root = _root(data_dir, year)
  splits = _image_sets(root, year)
  images = set(_listdir(os.path.join(root, "JPEGImages")))
  masks = set(_listdir(os.path.join(root, "SegmentationClass")))
  return {split: [_read(root, i, images, masks) for i in ids]
          for split, ids in splits.items()}


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


def _image_sets(root, year):
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
      with open(path, encoding="utf-8", errors="replace") as lines:
        lists[split] = [line.split()[0] for line in lines if line.strip()]
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


def _listdir(folder):
  """Names in a folder; empty if the folder does not exist."""
  return os.listdir(folder) if os.path.isdir(folder) else []


def _read(root, image_id, images, masks):
  """The `Item` of an image id.

  Args:
    root: the folder of the year.
    image_id: the id.
    images, masks: names of the files in JPEGImages and SegmentationClass.
  Raises:
    UserError: the image or its annotation is missing or malformed.
  """
  image = os.path.join(root, "JPEGImages", f"{image_id}.jpg")
  if f"{image_id}.jpg" not in images:
    raise UserError(f"{image}: no such image, but ImageSets lists it")
  mask = ""
  if f"{image_id}.png" in masks:
    mask = os.path.join(root, "SegmentationClass", f"{image_id}.png")
  objects = _read_objects(
      os.path.join(root, "Annotations", f"{image_id}.xml"))
  return Item(image_id, image, objects, mask)


def _read_objects(path):
  """The objects of one annotation file."""
  try:
    root = ElementTree.parse(path).getroot()
  except OSError as error:
    raise UserError(
        f"{path}: annotation of a listed image: {error.strerror}") from None
  except (ElementTree.ParseError, ValueError) as error:
    raise UserError(f"{path}: malformed XML: {error}") from None
  width, height = _numbers(path, root.find("size"), "size", "width", "height")
  objects = []
  for node in root.iterfind("object"):
    name = node.findtext("name", "").strip()
    if name not in CLASSES:
      raise UserError(
          f"{path}: no class '{name}'; any of {', '.join(CLASSES)}")
    x1, y1, x2, y2 = _numbers(
        path, node.find("bndbox"), "bndbox", "xmin", "ymin", "xmax", "ymax")
    if not (1 <= x1 <= x2 <= width and 1 <= y1 <= y2 <= height):
      raise UserError(
          f"{path}: box {x1:g},{y1:g},{x2:g},{y2:g} of '{name}' is empty or "
          f"outside its image of {width:g} x {height:g} pixels, 1-based")
    # Pixel 1 extends from 0 to 1.
    box = ((x1 - 1) / width, (y1 - 1) / height, x2 / width, y2 / height)
    objects.append(Object(
        name, node.findtext("difficult", "0").strip() == "1", box))
  return objects


def _numbers(path, node, name, *tags):
  """The numbers of an XML node, in the order of the tags."""
  try:
    return [float(node.findtext(tag)) for tag in tags]
  except (AttributeError, TypeError, ValueError):
    raise UserError(
        f"{path}: <{name}> must hold the numbers {', '.join(tags)}") from None
