"""Images of CVAT: tags and shapes, from its XML "CVAT for images 1.1".

https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat

    <annotations>
      <image name="a/7.jpg" width="640" height="480" subset="Train">
        <tag label="cat"/>
        <box label="dog" xtl="10" ytl="5" xbr="60" ybr="50"/>
        <polygon label="dog" points="10,5;60,5;60,50"/>
        <mask label="dog" left="1" top="2" width="9" height="8" rle="..."/>
      </image>
    </annotations>

Tags and shapes are labels, and a shape is the box around it. Masks and polygons
are masks too, in the order of `z_order`, the smaller one on top; inside the box
of any other shape the mask is unknown. The `rle` of a mask has the numbers of
pixels outside, inside, outside ... row by row in its rectangle. An image with
neither tag nor shape is a negative of all classes.

The parts are those of the subsets, if every image is in one of the names train,
validation (or val) and test.
"""

import functools
import os

from defusedxml import ElementTree
import numpy as np
from pycocotools import mask as mask_lib

from atcon_tf.config import UserError
from atcon_tf.data.sources import annotated

UNKNOWN = 255


def load(annotations, data_dir="", classes=(), seed=0, judged=()):
  """Reads an export.

  Args:
    annotations: the XML file.
    data_dir: the folder to which the names of images are relative, or their
      folder `images`; empty: that of the file.
    classes: names of the classes to use; empty: all.
    seed: seed of the draw of the parts.
    judged: see `annotated.dataset`.
  Returns:
    a `Dataset` with boxes and masks; single-label if every image has one tag
    and no image a shape.
  Raises:
    UserError: the error names the file and the image.
  """
  top = data_dir or os.path.dirname(annotations) or "."
  try:
    root = ElementTree.parse(annotations).getroot()
  except OSError as error:
    raise UserError("annotations", annotations, error.strerror) from None
  except (ElementTree.ParseError, ValueError) as error:
    raise UserError("annotations", annotations, f"not an XML file of CVAT: "
                    f"{type(error).__name__}: {error}") from None
  images = {}
  for number, node in enumerate(root.iter("image")):
    name = node.get("name", "")
    where = f"{annotations}, image {number} '{name}'"
    inside = os.path.join(top, "images")
    base = inside if os.path.isfile(os.path.join(inside, name)) else top
    image_id, file = annotated.find(top, base, name, where)
    if image_id in images:
      raise UserError(f"{where}: is also {images[image_id].where}")
    names, boxes, mask = _read(node, where)
    images[image_id] = annotated.Annotated(
        image_id, file, names, boxes, mask, where=where,
        part=annotated.PARTS.get(node.get("subset", "").lower(), ""))
  if not images:
    raise UserError("annotations", annotations, "no <image> in it; export it "
                    "as 'CVAT for images 1.1'")
  images = list(images.values())
  if not all(i.part for i in images):
    images = [i._replace(part="") for i in images]
  order = sorted({name for i in images for name in i.names})
  multi_label = any(i.boxes or len(i.names) != 1 for i in images)
  return annotated.dataset(images, order, classes, multi_label, seed,
                           judged=judged)


def _read(node, where):
  """The classes, the boxes and the mask of an image."""
  names, boxes, areas, size = {}, [], [], None
  for shape in node:
    name = shape.get("label", "")
    if not name:
      continue
    names[name] = True
    if shape.tag == "tag":
      continue
    try:
      size = size or (float(node.get("width")), float(node.get("height")))
      box = _box(shape)
      level = int(shape.get("z_order", 0))
      drawn = (_runs(shape) if shape.tag == "mask" else None, _points(shape))
    except (AttributeError, TypeError, ValueError):
      raise UserError(f"{where}: malformed <{shape.tag}> of '{name}'") from None
    if box:
      boxes.append((name, annotated.check_box(box, *size, where)))
      areas.append((level, name, box, *drawn))
  mask = None
  if any(runs is not None or points for *_, runs, points in areas):
    mask = functools.partial(_draw, areas, (int(size[1]), int(size[0])))
  return tuple(names), tuple(boxes), mask


def _runs(shape):
  """The numbers of pixels of a mask's `rle`."""
  runs = np.array(shape.get("rle").split(","), np.int64)
  width, height = int(shape.get("width")), int(shape.get("height"))
  if (runs < 0).any() or runs.sum() != width * height:
    raise ValueError
  return runs


def _points(shape):
  """The corners of a polygon, a list of (x, y); [] for any other shape."""
  if shape.tag != "polygon":
    return []
  points = [tuple(map(float, point.split(",")))
            for point in shape.get("points").split(";")]
  if len(points) < 3:
    raise ValueError
  return points


def _draw(areas, size, names, present):
  """The mask of an image.

  Args:
    areas: list of `(z_order, class name, box in pixels, runs or None, corners)`
      of its shapes.
    size: height and width of the image.
    names, present: see `annotated.Annotated`.
  Returns:
    uint8 `[height, width]` with the values of `Record.mask`.
  """
  del present
  planes = []
  for level, name, box, runs, points in areas:
    if name in names:
      plane = _plane(box, runs, points, size)
      known = runs is not None or points
      planes.append((level, -plane.sum(), plane,
                     1 + names.index(name) if known else UNKNOWN))
  mask = np.zeros(size, np.uint8)
  for _, _, plane, value in sorted(planes, key=lambda p: p[:2]):
    mask[plane] = value
  return mask


def _plane(box, runs, points, size):
  """The pixels of a shape, bool `[height, width]`."""
  if points:
    corners = [value for point in points for value in point]
    return mask_lib.decode(mask_lib.merge(
        mask_lib.frPyObjects([corners], *size))).astype(bool)
  plane = np.zeros(size, bool)
  left, top, right, bottom = box
  place = plane[max(int(top), 0):int(np.ceil(bottom)),
                max(int(left), 0):int(np.ceil(right))]
  place[...] = True if runs is None else np.repeat(
      np.arange(len(runs)) % 2 == 1, runs).reshape(
          int(bottom - top), -1)[:place.shape[0], :place.shape[1]]
  return plane


def _box(shape):
  """The box around a shape, in pixels; None for a shape of another kind."""
  def numbers(*keys):
    return [float(shape.get(key)) for key in keys]

  if shape.tag == "box":
    return numbers("xtl", "ytl", "xbr", "ybr")
  if shape.tag == "mask":
    left, top, width, height = numbers("left", "top", "width", "height")
    return left, top, left + width, top + height
  if shape.tag in ("polygon", "polyline"):
    x, y = zip(*(map(float, point.split(","))
                 for point in shape.get("points").split(";")))
    return min(x), min(y), max(x), max(y)
  return None
