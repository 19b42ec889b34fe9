"""How a photo is fitted to the shape of the network's input.

    squeeze   the whole photo; its aspect ratio is not kept
    crop      the largest part in its middle that has the network's shape
    pad       the whole photo, in the middle between black margins

A `Window` is the part of the photo that the network sees, in whole pixels of
the photo; that of "pad" reaches beyond the photo. What is in the window is
then squeezed, so each axis maps alone: place n of N in the network's image is
place `start + n / N * length` of the photo. `serving.image_ops` does the same
in a graph.
"""

import dataclasses
import functools
import typing

import numpy as np

from atcon_tf.data import decoding


class Window(typing.NamedTuple):
  """Rows `top` to `top + height` and columns `left` to `left + width`."""
  top: int
  left: int
  height: int
  width: int


def window(photo, network, resize):
  """The part of a photo that a network sees.

  Args:
    photo: (height, width) of the photo.
    network: (height, width) of the network's input.
    resize: "squeeze", "crop" or "pad".
  Returns:
    a `Window`.

  Example:
    >>> window((100, 300), (50, 50), "crop")
    Window(top=0, left=100, height=100, width=100)
    >>> window((100, 300), (50, 50), "pad")
    Window(top=-100, left=0, height=300, width=300)
  """
  (height, width), (rows, columns) = photo, network
  if resize == "squeeze":
    return Window(0, 0, height, width)
  taller = height * columns > width * rows
  if taller == (resize == "crop"):
    new = max(1, (2 * width * rows + columns) // (2 * columns))
    return Window((height - new) // 2, 0, new, width)
  new = max(1, (2 * height * columns + rows) // (2 * rows))
  return Window(0, (width - new) // 2, height, new)


def cut(values, part):
  """What is in a window, `[part.height, part.width, ...]`; 0 beyond."""
  top, left, height, width = part
  inside = values[max(top, 0):top + height, max(left, 0):left + width]
  before = max(-top, 0), max(-left, 0)
  margins = [(b, n - b - m) for b, n, m in zip(
      before, (height, width), inside.shape)]
  return np.pad(inside, margins + [(0, 0)] * (values.ndim - 2))


def put_back(values, part, photo):
  """The inverse of `cut`: `[*photo, ...]`, 0 where the network sees nothing.

  Args:
    values: `[part.height, part.width, ...]`.
    part: a `Window` of the photo.
    photo: (height, width) of the photo.
  """
  top, left = part[:2]
  return cut(values, Window(-top, -left, *photo))


def boxes_in(boxes, photo, part):
  """Boxes of a photo as the network sees them.

  Args:
    boxes: `[n, 4]`, x and y minimum first, in units of the photo's sides.
    photo: (height, width) of the photo.
    part: a `Window` of it.
  Returns:
    boxes `[n, 4]` in units of the window's sides, cut off at its edges, and
    bool `[n]`, of which of them at least half a pixel is in the window.
  """
  height, width = photo
  pixels = boxes * np.array([width, height] * 2)
  seen = (pixels - np.array([part.left, part.top] * 2)) / np.array(
      [part.width, part.height] * 2)
  seen = seen.clip(0, 1).astype(np.float32)
  sides = (seen[:, 2:] - seen[:, :2]) * [part.width, part.height]
  return seen, (sides > .5).all(1)  # less is rounding


def apply(dataset, network, resize):
  """A data set as the network sees it: its boxes and masks are framed, too.

  Args:
    dataset: a `record.Dataset`.
    network: (height, width) of the network's input.
    resize: see `window`.
  Returns:
    a `Dataset` whose records have a `frame`. An image keeps its labels, even
    if a crop leaves out their objects.
  """
  if resize == "squeeze":
    return dataset
  return dataclasses.replace(dataset, splits={
      part: [_framed(r, network, resize) for r in records]
      for part, records in dataset.splits.items()})


def _framed(record, network, resize):
  """A record as the network sees it."""
  changes = {"frame": (network, resize)}
  if len(record.boxes):
    photo = size_of(record)
    boxes, there = boxes_in(record.boxes, photo,
                            window(photo, network, resize))
    changes |= {"boxes": boxes[there], "box_label": record.box_label[there]}
  if record.mask:
    changes["mask"] = functools.partial(_mask, record.mask, network, resize)
  return dataclasses.replace(record, **changes)


def _mask(mask, network, resize):
  values = mask()
  return cut(values, window(values.shape, network, resize))


def size_of(record):
  """(height, width) of a record's photo; (1, 1) if it does not decode."""
  if record.frames:
    return next(record.image.each()).shape[:2]
  if not isinstance(record.image, str):
    return record.image().shape[:2]
  try:
    with decoding.open_image(record.image) as image:
      return decoding.upright_size(image)[::-1]
  except Exception:  # decoders raise almost anything; reported when it is read
    return 1, 1


def seen_size(record):
  """(height, width) of what the network sees of a record's photo."""
  photo = size_of(record)
  return window(photo, *record.frame)[2:] if record.frame else photo
