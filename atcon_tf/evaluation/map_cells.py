"""Whether the cells of a map are fine enough for the boxes of the data."""

import numpy as np

from atcon_tf.evaluation import class_boxes
from atcon_tf.models.classifier import map_sizes


# Of a side. From here on half a cell is less than a tenth of the picture.
FEWEST = 6


def share_of_smaller_boxes(records, cells):
  """The share of boxes whose shorter side is shorter than a cell; NaN: none.

  Args:
    records: list of `Record`.
    cells: number of cells along a side of the map.
  """
  boxes = np.concatenate([np.zeros([0, 4]), *(r.boxes for r in records)])
  sides = (boxes[:, 2:] - boxes[:, :2]).min(1)
  return float(np.mean(sides * cells < 1)) if len(boxes) else np.nan


def coarse(classifier):
  """A line for a network whose maps have few cells, else "".

  Args:
    classifier: a `models.Classifier`.
  """
  height, width = max(map_sizes(classifier), key=min)
  if min(height, width) >= FEWEST:
    return ""
  return (f"note: a class activation map of this network has {height} x "
          f"{width} cells, so its boxes are rough; a run with a larger "
          "--image_size, or an earlier --cam_layer, has finer maps")


def note(classifier, records):
  """A line for data most of whose boxes are smaller than a cell, else "".

  Args:
    classifier: a `models.Classifier`.
    records: list of `Record`.
  """
  if classifier.frames:  # their boxes are events
    return ""
  cells = max(min(size) for size in map_sizes(classifier))
  share = share_of_smaller_boxes(records, cells)
  if not share > 0.5:
    return ""
  size = min(classifier.image_size)
  return (f"note: {share:.0%} of the {class_boxes.kind(records)} are narrower "
          f"than a cell of the map, which is {size / cells:.0f} of {size} "
          "pixels wide, so the maps cannot follow them; a larger --image_size "
          "or an earlier --cam_layer (`python -m atcon_tf.explain "
          "--workdir=RUN --list_layers` names them) gives finer maps")
