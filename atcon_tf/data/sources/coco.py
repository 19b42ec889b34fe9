"""COCO, and any data in its format: instances as JSON.

Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014,
https://cocodataset.org/#format-data.

    --annotations=annotations/instances_train2017.json --data_dir=coco

    {"images": [{"id": 7, "file_name": "7.jpg", "width": 640, "height": 480}],
     "annotations": [{"image_id": 7, "category_id": 3,
                      "bbox": [x, y, width, height],
                      "segmentation": ..., "iscrowd": 0}],
     "categories": [{"id": 3, "name": "car"}]}

Images. `file_name` is relative to `data_dir`, or to its folder that the name
of the annotations ends in (`train2017`), or to the folder of the annotations.
An image without an annotation is a negative of all classes.

Crowds. A region of many objects (`iscrowd`) is neither a label nor a box. Its
pixels are unknown in the mask. An image that only shows crowds is left out.

Masks. The masks are drawn by pycocotools, large objects first. An object
without a segmentation is unknown inside its box.

Parts. With `val_annotations` or `test_annotations` the parts are those of the
files, see `rules.complete`. Otherwise the seed draws them.
"""

import functools
import json
import os
import re

import numpy as np
from pycocotools import mask as mask_lib

from atcon_tf.config import UserError
from atcon_tf.data.sources import annotated
from atcon_tf.data.sources import box_units

UNKNOWN = 255
_IDS = {"id", "image_id", "category_id"}
_KEYS = ("images", "annotations", "categories")


def load(annotations, val_annotations="", test_annotations="", data_dir="",
         classes=(), seed=0, judged=()):
  """Reads files of annotations.

  Args:
    annotations, val_annotations, test_annotations: JSON files; the latter two
      may be empty.
    data_dir: the folder of the images; empty: that of `annotations`.
    classes: names of the classes to use; empty: all that occur.
    seed: seed of the draw of the parts.
    judged: see `annotated.dataset`.
  Returns:
    a multi-label `Dataset` with boxes and masks. The id of an image is its
    path below `data_dir`.
  Raises:
    UserError: the error names the file and the entry.
  """
  top = data_dir or os.path.dirname(annotations) or "."
  if not os.path.isdir(top):
    raise UserError("data_dir", top, "no such folder")
  names, images, notes = {}, {}, []
  for part, path in (("train", annotations), ("val", val_annotations),
                     ("test", test_annotations)):
    if not path:
      continue
    content = _read("annotations" if part == "train" else
                    f"{part}_annotations", path)
    categories = _categories(path, content)
    names |= dict.fromkeys(categories.values())
    alone = not (val_annotations or test_annotations)
    for image in _images(path, content, categories, top,
                         "" if alone else part, notes):
      if image.id in images:
        raise UserError(f"{image.where}: image '{image.id}' is also "
                        f"{images[image.id].where}")
      images[image.id] = image
  return annotated.dataset(list(images.values()), tuple(names), classes, True,
                           seed, notes, judged)


def _read(name, path):
  """The content of a file of annotations."""
  try:
    with open(path, encoding="utf-8") as file:
      content = json.load(file)
  except OSError as error:
    raise UserError(name, path, error.strerror) from None
  except ValueError as error:
    raise UserError(name, path, f"not a JSON file: {error}") from None
  for key in _KEYS:
    if not (isinstance(content, dict) and isinstance(content.get(key), list)
            and all(isinstance(entry, dict) for entry in content[key])):
      raise UserError(name, path, f"no list '{key}' in it; needs "
                      f"{', '.join(_KEYS)}, as the instances of COCO")
    for number, entry in enumerate(content[key]):
      for field in _IDS & set(entry):
        if not isinstance(entry[field], (int, str)):
          raise UserError(f"{path}, {key}[{number}]: {field} must be a number "
                          "or a text")
  return content


def _categories(path, content):
  """`{id: name}` of the classes, in the order of the ids."""
  found = {}
  for number, entry in enumerate(content["categories"]):
    where = f"{path}, categories[{number}]"
    if not ("id" in entry and entry.get("name")):
      raise UserError(f"{where}: needs id and name")
    if entry["id"] in found or entry["name"] in found.values():
      raise UserError(f"{where}: id {entry['id']} or name '{entry['name']}' "
                      "is there twice")
    found[entry["id"]] = str(entry["name"])
  return dict(sorted(found.items(), key=lambda item: (
      isinstance(item[0], str), item[0])))


def _images(path, content, categories, top, part, notes):
  """The `Annotated` images of a file."""
  objects = {}
  for number, entry in enumerate(content["images"]):
    if not ("id" in entry and entry.get("file_name")):
      raise UserError(f"{path}, images[{number}]: needs id and file_name")
    if entry["id"] in objects:
      raise UserError(f"{path}, images[{number}]: id {entry['id']} is there "
                      "twice")
    objects[entry["id"]] = []
  for number, entry in enumerate(content["annotations"]):
    where = f"{path}, annotations[{number}]"
    if entry.get("image_id") not in objects:
      raise UserError(f"{where}: no image of the id {entry.get('image_id')}")
    if entry.get("category_id") not in categories:
      raise UserError(f"{where}: no category of the id "
                      f"{entry.get('category_id')}")
    objects[entry["image_id"]].append((where, entry))
  crowded, found = 0, []
  for number, entry in enumerate(content["images"]):
    mine = objects[entry["id"]]
    if mine and all(o.get("iscrowd") for _, o in mine):
      crowded += 1
      continue
    found.append(_image(entry, mine, categories, path, top, part,
                        f"{path}, images[{number}]"))
  if crowded:
    notes.append(f"left out of {path}: {crowded} images that only show crowds")
  return found


def _image(entry, objects, categories, path, top, part, where):
  """The `Annotated` of an entry and of its `(where, annotation)`s."""
  image_id, file = _find(str(entry["file_name"]), path, top, where)
  size = entry.get("width"), entry.get("height")
  if not all(isinstance(v, (int, float)) and v > 0 for v in size):
    size = box_units.of_file(file)
  boxes = []
  for place, one in objects:
    box = one.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and
            all(isinstance(v, (int, float)) for v in box)):
      raise UserError(f"{place}: bbox must be [x, y, width, height], not {box}")
    if size and not one.get("iscrowd"):
      x, y, w, h = box
      boxes.append((categories[one["category_id"]], annotated.check_box(
          (x, y, x + w, y + h), *size, place)))
  mask = None
  if size and any(one.get("segmentation") for _, one in objects):
    mask = functools.partial(_draw, objects, categories,
                             (int(size[1]), int(size[0])))
  shown = dict.fromkeys(categories[one["category_id"]] for _, one in objects
                        if not one.get("iscrowd"))
  return annotated.Annotated(image_id, file, tuple(shown), tuple(boxes), mask,
                             part, where=where)


def _find(name, path, top, where):
  """The id and the path of an image file."""
  here = os.path.dirname(path) or "."
  tag = re.split("[_.]", os.path.splitext(os.path.basename(path))[0])[-1]
  for base in (top, os.path.join(top, tag), here):
    if os.path.isfile(os.path.join(base, name)):
      return annotated.find(top, base, name, where)
  return annotated.find(top, top, name, where)


def _draw(objects, categories, size, names, present):
  """The mask of an image.

  Args:
    objects: list of `(where, annotation)`.
    categories: `{id: name}`.
    size: height and width of the image.
    names: the chosen classes.
    present: the classes that the image shows.
  Returns:
    uint8 `[height, width]` with the values of `Record.mask`.
  Raises:
    UserError: a segmentation is malformed.
  """
  del present
  planes = []
  for where, one in objects:
    name = categories[one["category_id"]]
    plane, known = _plane(one, size, where)
    if name in names:
      value = 1 + names.index(name) if known else UNKNOWN
      planes.append((plane.sum(), value, plane))
  mask = np.zeros(size, np.uint8)
  # Small objects lie on top, or they would vanish behind large ones.
  for _, value, plane in sorted(planes, key=lambda p: -p[0]):
    mask[plane] = value
  return mask


def _plane(one, size, where):
  """An object's pixels, bool `[height, width]`, and whether they are known."""
  shape = one.get("segmentation")
  if not shape:
    x, y, w, h = one["bbox"]
    plane = np.zeros(size, bool)
    plane[max(int(y), 0):int(np.ceil(y + h)),
          max(int(x), 0):int(np.ceil(x + w))] = True
    return plane, False
  try:
    if isinstance(shape, list):
      coded = mask_lib.merge(mask_lib.frPyObjects(shape, *size))
    else:
      coded = mask_lib.frPyObjects(shape, *size) if isinstance(
          shape["counts"], list) else shape
    plane = mask_lib.decode(coded).astype(bool)
  except Exception as error:  # pycocotools raises almost anything
    raise UserError(f"{where}: malformed segmentation: {error}") from None
  if plane.shape != size:
    raise UserError(f"{where}: a segmentation of {plane.shape[1]} x "
                    f"{plane.shape[0]} pixels in an image of {size[1]} x "
                    f"{size[0]}")
  return plane, not one.get("iscrowd")
