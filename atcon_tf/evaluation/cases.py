"""The images, with one class each, by which attribution methods are judged.

The class of an image is that of its largest box, its label, or the predicted
class (`names.TARGETS`). A case also has all boxes of that class, and its mask.
"""

import collections
import dataclasses

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import class_masks

BATCH = 16


@dataclasses.dataclass(eq=False)
class Cases:
  """P pairs of an image and a class.

  Attributes:
    ids: list of P record ids.
    images: float32 `[P, H, W, 3]` in [0, 1].
    class_index: int `[P]`.
    boxes: list of P arrays `[n, 4]`, the boxes of the class.
    masks: `[P, H, W]`, see `metrics.Evidence`.
    groups: list of P names of what is drawn at random: the group of an image
      (a patient, a part), or the image itself; None: images are independent.
  """

  ids: list
  images: np.ndarray
  class_index: np.ndarray
  boxes: list
  masks: np.ndarray
  groups: list | None = None

  def part(self, chosen):
    """The cases of a slice."""
    return Cases(self.ids[chosen], self.images[chosen],
                 self.class_index[chosen], self.boxes[chosen],
                 self.masks[chosen], self.groups and self.groups[chosen])

  def pick(self, indices):
    """The cases with these numbers, in this order."""
    indices = np.asarray(indices, int)
    return Cases(*([part[i] for i in indices] if isinstance(part, list)
                   else part if part is None else part[indices]
                   for part in (self.ids, self.images, self.class_index,
                                self.boxes, self.masks, self.groups)))


def cases_of(classifier, records, images, target="box", limit=0):
  """The cases of the first `limit` records, the classes taking turns.

  Args:
    classifier: a `models.Classifier`.
    records: list of `Record`.
    images: an `image_store.Images` with the images of these records.
    target: a key of `names.TARGETS`; "box" leaves out records without a box.
    limit: the number of cases; 0: all.
  Returns:
    `Cases`.
  Raises:
    UserError: the target is "box", and no record has one; or the classifier
      is one of clips.
  """
  if classifier.frames:
    raise UserError("methods", None, "are judged on images, and "
                    f"{classifier.name} sees clips")
  if target == "box":
    records = [r for r in records if len(r.boxes)]
    if not records:
      raise UserError("target", "box",
                      "these data have no boxes; one of label, prediction")
  if target == "label":  # an image may show none of the classes
    records = [r for r in records if r.label.any()]
  records = _taking_turns(records)[:limit or None]
  pixels = images.pixels[images.rows([r.id for r in records])]
  pixels = pixels.astype(np.float32) / 255
  if target == "box":
    chosen = [_largest(r) for r in records]
  else:
    logits = np.concatenate([
        classifier.model(pixels[first:first + BATCH], training=False)
        for first in range(0, len(pixels), BATCH)])
    if target == "label":
      label = np.stack([r.label for r in records])
      logits = np.where(label > 0, logits, -np.inf)
    chosen = logits.argmax(-1).tolist()
  boxes, masks = [], []
  for record, c in zip(records, chosen):
    boxes.append(record.boxes[record.box_label == c])
    masks.append(class_masks.class_mask(record.mask and record.mask(), c,
                                        pixels.shape[1:3]))
  return Cases([r.id for r in records], pixels, np.array(chosen), boxes,
               np.stack(masks), groups_of(records))


def groups_of(records):
  """What is drawn at random: groups of images, or images; None: no groups.

  Args:
    records: list of `Record`.
  Returns:
    list of names, the same for two records of one group; None if no record
    is in a group.
  """
  if not any(r.group for r in records):
    return None
  return [f"group {r.group}" if r.group else f"image {r.id}" for r in records]


def _taking_turns(records):
  """Records in an order in which their classes take turns.

  Data with one label an image are stored class by class, so the first records
  would all show one class. Slow methods see only the first cases, so every
  first part must be mixed. Records with several labels keep their order.
  """
  if any(r.label.sum() != 1 for r in records):
    return records
  count, turns = collections.Counter(), []
  for record in records:
    c = int(record.label.argmax())
    turns.append((count[c], c))
    count[c] += 1
  return [records[i] for i in sorted(range(len(turns)), key=turns.__getitem__)]


def _largest(record):
  """The class of a record's largest box."""
  sides = record.boxes[:, 2:] - record.boxes[:, :2]
  return int(record.box_label[np.argmax(sides.prod(1))])
