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

Tags and shapes are labels, and a shape is the box around it. An image with
neither is a negative of all classes. The parts are those of the subsets, if
every image is in one of the names train, validation (or val) and test.
"""

import os

from defusedxml import ElementTree

from atcon_tf.config import UserError
from atcon_tf.data.sources import annotated


def load(annotations, data_dir="", classes=(), seed=0):
  """Reads an export.

  Args:
    annotations: the XML file.
    data_dir: the folder to which the names of images are relative, or their
      folder `images`; empty: that of the file.
    classes: names of the classes to use; empty: all.
    seed: seed of the draw of the parts.
  Returns:
    a `Dataset` with boxes; single-label if every image has one tag and no
    image a shape.
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
    names, boxes = _read(node, where)
    images[image_id] = annotated.Annotated(
        image_id, file, names, boxes, where=where,
        part=annotated.PARTS.get(node.get("subset", "").lower(), ""))
  if not images:
    raise UserError("annotations", annotations, "no <image> in it; export it "
                    "as 'CVAT for images 1.1'")
  images = list(images.values())
  if not all(i.part for i in images):
    images = [i._replace(part="") for i in images]
  order = sorted({name for i in images for name in i.names})
  multi_label = any(i.boxes or len(i.names) != 1 for i in images)
  return annotated.dataset(images, order, classes, multi_label, seed)


def _read(node, where):
  """The classes and the boxes of an image."""
  names, boxes, size = {}, [], None
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
    except (TypeError, ValueError):
      raise UserError(f"{where}: malformed <{shape.tag}> of '{name}'") from None
    if box:
      boxes.append((name, annotated.check_box(box, *size, where)))
  return tuple(names), tuple(boxes)


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
    points = [tuple(map(float, point.split(",")))
              for point in shape.get("points").split(";")]
    x, y = zip(*points)
    return min(x), min(y), max(x), max(y)
  return None
