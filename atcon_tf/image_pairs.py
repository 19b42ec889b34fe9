"""Images with one class each, by which attribution methods are judged.

One pair of an image and a class for each image: the class of its largest
box, with all boxes of that class and its mask.
"""

import dataclasses

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.metrics import localization


@dataclasses.dataclass(eq=False)
class Pairs:
  """The pairs that are judged; fields as in `metrics.Evidence`."""

  ids: list
  images: np.ndarray
  class_index: np.ndarray
  boxes: list
  masks: np.ndarray

  def part(self, chosen):
    return Pairs(self.ids[chosen], self.images[chosen],
                 self.class_index[chosen], self.boxes[chosen],
                 self.masks[chosen])


def pairs_of(records, images, limit=0):
  """One pair for each of the first `limit` records with a box."""
  records = [r for r in records if len(r.boxes)][:limit or None]
  if not records:
    raise UserError("--methods: these data have no boxes to judge maps by")
  size = images.pixels.shape[1:3]
  target, boxes, masks = [], [], []
  for record in records:
    sides = record.boxes[:, 2:] - record.boxes[:, :2]
    c = int(record.box_label[np.argmax(sides.prod(1))])
    target.append(c)
    boxes.append(record.boxes[record.box_label == c])
    masks.append(localization.class_mask(record.mask and record.mask(), c,
                                         size))
  pixels = images.pixels[images.rows([r.id for r in records])]
  return Pairs([r.id for r in records], pixels.astype(np.float32) / 255,
               np.array(target), boxes, np.stack(masks))
