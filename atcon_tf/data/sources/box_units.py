"""Boxes in pixels of a file's image, as units of its sides."""

from atcon_tf.data import decoding
from atcon_tf.data.sources import annotated


def of_file(path):
  """Width and height of an image as it is shown; only its header is read.

  None for a broken image, which `Images` reports when it is read.
  """
  try:
    with decoding.open_image(path) as image:
      return decoding.upright_size(image)
  except Exception:  # decoders raise almost anything
    return None


def in_units(path, boxes, pixels=True):
  """Boxes in units of the image's sides.

  Args:
    path: of the image.
    boxes: tuple of `(name, (x_min, y_min, x_max, y_max), file and row)`.
    pixels: whether the numbers are pixels; else they are in these units.
  Returns:
    tuple of `(name, numbers in [0, 1])`; () if the image is broken.
  Raises:
    UserError: a box is empty or outside the image.
  """
  size = boxes and (of_file(path) if pixels else (1, 1))
  if not size:
    return ()
  return tuple((name, annotated.check_box(box, *size, where))
               for name, box, where in boxes)
