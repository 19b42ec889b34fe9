"""Masks of the labelled classes of images, as arrays for training.

A mask is the one of the record (`Record.mask`), or its boxes, filled.
"""

import numpy as np

from atcon_tf.config import image_sizes
from atcon_tf.config import UserError
from atcon_tf.data import framing
from atcon_tf.data import image_store

# The value of a pixel whose class is unknown, as in `Record.mask`.
VOID = 255


class ClassMasks:
  """Masks of N images, class by class; indexed like an array.

    masks[[0, 3]]   uint8 [2, H, W, classes]: 1 inside, 0 outside, 255
                    unknown; 0 everywhere for an image without a mask

  Only the classes in the label of an image have a mask.

  Attributes:
    shape, dtype: of the array.
    drawn: int indices of the images that have a mask, used or not.
    used: int indices of the images whose mask is used.
  """

  dtype = np.dtype(np.uint8)

  def __init__(self, records, size, source="masks", fraction=1.0, seed=0):
    """Reads the masks.

    Args:
      records: N `Record`s.
      size: to which images and masks are resized; see `image_sizes.pair`.
      source: "masks" or "boxes".
      fraction: share of the masks that is used. With the same seed, a larger
        share includes the masks of a smaller one.
      seed: seed of the choice.
    Raises:
      UserError: no image has a mask, or a mask does not fit its image.
    """
    size = image_sizes.pair(size)
    read = {"masks": drawn, "boxes": filled}[source]
    planes = {i: read(r, size) for i, r in enumerate(records)}
    self.drawn = np.array([i for i, p in planes.items() if p], np.int64)
    if not len(self.drawn):
      raise UserError(
          "ex_masks", source,
          f"none of the {len(records)} labelled images has "
          f"{'a mask' if source == 'masks' else 'a box'} of its classes; use "
          f"data with {source}, "
          f"--ex_masks={'boxes' if source == 'masks' else 'masks'}, or "
          "--ex_weight=0")
    order = np.random.default_rng([seed, 2]).permutation(self.drawn)
    self.used = np.sort(order[:max(1, round(fraction * len(order)))])
    self._planes = {i: planes[i] for i in self.used.tolist()}
    self.shape = (len(records), *size, len(records[0].label))

  def __getitem__(self, chosen):
    out = np.zeros([len(chosen), *self.shape[1:]], np.uint8)
    for row, i in enumerate(np.asarray(chosen).tolist()):
      for c, plane in self._planes.get(i, {}).items():
        out[row, ..., c] = plane
    return out


def drawn(record, size):
  """The parts of a record's mask that show its labelled classes.

  Args:
    record: a `Record`.
    size: height and width, or the side of a square.
  Returns:
    `{class: uint8 [height, width]}`, values as in `ClassMasks`; empty if the
    record has no mask.
  Raises:
    UserError: the mask does not fit the image, or has a wrong value.
  """
  if record.mask is None:
    return {}
  mask, image = record.mask(), framing.seen_size(record)
  if mask.shape != image:
    raise UserError(
        f"{image_store.name_of(record)}: its mask has "
        f"{mask.shape[1]} x {mask.shape[0]} pixels, the image "
        f"{image[1]} x {image[0]}")
  wrong = set(np.unique(mask).tolist()) - {VOID, *range(
      len(record.label) + 1)}
  if wrong:
    raise UserError(
        f"{image_store.name_of(record)}: its mask has the value {min(wrong)}; "
        f"must be 0, the number of a class, 1 to {len(record.label)}, or "
        f"{VOID}")
  planes = {c: class_mask(mask, c, image_sizes.pair(size))
            for c in np.flatnonzero(record.label).tolist()}
  return {c: plane for c, plane in planes.items() if (plane == 1).any()}


def filled(record, size):
  """As `drawn`, from boxes; every pixel that a box touches is inside."""
  planes, (height, width) = {}, image_sizes.pair(size)
  # In the boxes' own precision: in another one 2/3 of 30 is more than 20.
  sides = np.array([width, height] * 2, record.boxes.dtype)
  for c, box in zip(record.box_label.tolist(), record.boxes * sides):
    x0, y0 = np.floor(box[:2]).astype(int)
    x1, y1 = np.ceil(box[2:]).astype(int)
    plane = planes.setdefault(c, np.zeros([height, width], np.uint8))
    plane[y0:y1, x0:x1] = 1
  return planes


def class_mask(mask, class_index, size):
  """The mask of one class, resized.

  Args:
    mask: `[height, width]`: 0 background, `1 + class`, VOID; or None.
    class_index: the class.
    size: (height, width) of the result, see `sampled`.
  Returns:
    uint8 of that size: 0, 1, or VOID; all VOID if `mask` is None.
  """
  if mask is None:
    return np.full(size, VOID, np.uint8)
  mask = sampled(mask, size)
  return np.where(mask == VOID, VOID, mask == 1 + class_index).astype(np.uint8)


def sampled(mask, size):
  """A mask resized; each pixel takes the value at its centre.

  Args:
    mask: `[height, width]`.
    size: (height, width) of the result. Sampled again to it, the mask is the
      same.
  """
  rows, columns = ((2 * np.arange(n) + 1) * old // (2 * n)
                   for n, old in zip(size, mask.shape))
  return mask[rows[:, None], columns]
