"""The size of a network's images: one side, or height and width.

    --image_size=224        squares
    --image_size=192x256    192 rows, 256 columns

A `Config` holds the one as an int and the other as text.
"""

from atcon_tf.config.errors import UserError

LEAST, MOST = 16, 4096


def pair(size):
  """Height and width.

  Args:
    size: a side; "192x256"; or a pair, which is returned as a tuple.
  Raises:
    ValueError: it is none of these.

  Example:
    >>> pair(32), pair("24x48")
    ((32, 32), (24, 48))
  """
  if isinstance(size, str):
    size = [int(side) for side in size.lower().split("x")]
  elif isinstance(size, int):
    size = [size]
  height, width = size if len(size) == 2 else 2 * tuple(size)
  return int(height), int(width)


def short(size):
  """A size as a `Config` holds it: one side if both are equal.

  Example:
    >>> short((32, 32)), short((24, 48))
    (32, '24x48')
  """
  height, width = pair(size)
  return height if height == width else f"{height}x{width}"


def check(size):
  """Refuses what is no size; 0 stands for the size that the model has.

  Raises:
    UserError: names --image_size.
  """
  try:
    sides = pair(size)
  except (TypeError, ValueError) as error:
    raise UserError("image_size", size, "must be a side in pixels, or "
                    "HEIGHTxWIDTH, as 224 or 192x256") from error
  if sides == (0, 0):
    return
  if min(sides) < 0:
    raise UserError("image_size", size, "must be at least 0")
  if max(sides) > MOST:
    raise UserError("image_size", size, f"must be at most {MOST}")
  if min(sides) < LEAST:
    raise UserError("image_size", size, f"must be at least {LEAST}")
