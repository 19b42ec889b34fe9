"""Where an image shows a class, and when a clip does: what maps are held to.

An image has boxes. A clip of a longer recording has events: the class is
shown from one second to another. An event is a box as well, on an axis of the
clip's frames: as wide as the frames that show it, as high as the image. The
map of a clip is its evidence over time, one row of numbers, so all scores of
boxes hold for moments (`metrics/localization.py`).
"""

import numpy as np
import tensorflow as tf

# Seconds by which a frame may miss the begin of an event.
ROUNDING = 1e-3


def of_record(record):
  """The boxes of each class, `{class index: [n, 4]}`.

  Of a clip those of its events. An event that none or all of the clip's
  frames show says nothing about when, and is left out.

  Args:
    record: a `data.Record`.
  """
  if not record.frames:
    return {c: record.boxes[record.box_label == c]
            for c in sorted(set(record.box_label.tolist()))}
  found = {}
  for (start, end), c in zip(record.events, record.event_label.tolist()):
    shown = np.flatnonzero((record.image.seconds > start - ROUNDING)
                           & (record.image.seconds < end - ROUNDING))
    if 0 < len(shown) < record.frames:
      found.setdefault(c, []).append(
          [shown[0] / record.frames, 0, (shown[-1] + 1) / record.frames, 1])
  return {c: np.array(found[c], np.float32) for c in sorted(found)}


def kind(records):
  """What the boxes of images are: "" (none), "boxes", "boxes around the masks".

  Args:
    records: list of `data.Record`.
  """
  with_boxes = [r for r in records if len(r.boxes)]
  if not with_boxes:
    return ""
  return "boxes around the masks" if all(r.mask for r in with_boxes) else (
      "boxes")


def evidence(heat):
  """Maps that the boxes of `of_record` are compared with.

  Args:
    heat: `[B, H, W]`, or `[B, T, H, W]` of clips.
  Returns:
    `[B, H, W]` as it is; of clips `[B, 1, T]`, the mean of the positive part
    over rows and columns.

  Example:
    >>> evidence(tf.ones([2, 16, 8, 8])).shape
    TensorShape([2, 1, 16])
  """
  if len(heat.shape) == 3:
    return heat
  return tf.reduce_mean(tf.nn.relu(heat), [2, 3])[:, tf.newaxis]
