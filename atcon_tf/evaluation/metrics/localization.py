"""Does a map point at the object? Scores against boxes.

A pair is one image and one class present in it. A score takes P pairs.

    maps: `[P, height, width]`, raw (any sign and scale), of one size.
    boxes: list of P arrays `[n, 4]`, the boxes of the class: `x_min, y_min,
      x_max, y_max` in units of the image's width and height. Pixel (row,
      column) covers `[column / width, (column + 1) / width]` across.

    iou = box_iou(val_maps, val_boxes)                       # [P, T]
    t = best_threshold(iou)
    box_iou(test_maps, test_boxes, [t]).mean()

A centred box or point, which depends on no image, often scores as high as a
few-shot map. So report `centre_point` and `centre_box` beside such a score.
"""

import numpy as np
from scipy import ndimage

# Shares of a map's maximum; validation data choose the best one.
THRESHOLDS = tuple(t / 20 for t in range(1, 20))
FRACTIONS = (*THRESHOLDS, 1.0)


def largest_component(mask):
  """The largest connected part of a mask.

  Pixels that touch at a corner are connected (8-connectivity, like OpenCV's
  contours, which the usual box evaluations follow). Of parts of equal size
  it is the first in reading order; of an empty mask it is empty.
  """
  mask = np.asarray(mask, bool)
  # Nothing lies outside of the tight box, which is small for a high threshold.
  inside = _tight(mask)
  parts, count = ndimage.label(mask[inside], np.ones([3, 3]))
  if count < 2:
    return mask
  size = np.bincount(parts.ravel())
  largest = np.zeros_like(mask)
  largest[inside] = parts == 1 + np.argmax(size[1:])
  return largest


def _tight(mask):
  """The slices of rows and of columns that hold all of a mask."""
  rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
  if not rows.size:
    return slice(0, 0), slice(0, 0)
  return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def box_of(mask):
  """The tight box `[4]` around a mask `[height, width]`.

  It is zeros if the mask is empty. A single pixel in the middle of 3 x 3 has
  the box (1/3, 1/3, 2/3, 2/3).
  """
  rows, columns = _tight(mask)
  height, width = mask.shape
  return np.array([columns.start / width, rows.start / height,
                   columns.stop / width, rows.stop / height])


def iou(box, boxes):
  """IoU `[..., n]` of `box [..., 4]` and `boxes [n, 4]`.

  It is 0 if both boxes are empty.

  Example:
    >>> localization.iou([0, 0, .5, 1], [[0, 0, 1, 1], [0, 0, .5, 1]])
    array([0.5, 1. ])
  """
  box, boxes = np.asarray(box, float)[..., None, :], np.asarray(boxes, float)
  sides = (np.minimum(box[..., 2:], boxes[:, 2:])
           - np.maximum(box[..., :2], boxes[:, :2]))
  shared = np.prod(np.maximum(sides, 0), axis=-1)
  union = (np.prod(box[..., 2:] - box[..., :2], axis=-1)
           + np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1) - shared)
  return np.where(union > 0, shared / np.where(union > 0, union, 1), 0)


def box_iou(maps, boxes, thresholds=THRESHOLDS):
  """IoU of a map's box with the best box of its class.

  The map's box is the tight box around the largest component of
  `relu(map) > t * max(map)` (Zhou et al. 2016, arXiv 1512.04150).

  Args:
    maps: `[P, height, width]`, finite.
    boxes: P arrays `[n, 4]`, n >= 1.
    thresholds: T shares of the maximum, in [0, 1).
  Returns:
    `[P, T]` in [0, 1]; 0 for a map without a positive value.
  Raises:
    ValueError: naming the pair that does not fit.

  Example:
    >>> localization.box_iou(maps, boxes, [0.5])
    array([[1. ],
           [0.5]])
  """
  maps, boxes = _check(maps, boxes)
  thresholds = check_thresholds(thresholds)
  result = np.zeros([len(maps), len(thresholds)])
  for pair, (one, truth) in enumerate(zip(maps, boxes)):
    peak = one.max()
    if peak > 0:
      found = [box_of(largest_component(one > t * peak)) for t in thresholds]
      result[pair] = iou(found, truth).max(-1)
  return result


def best_threshold(scores, thresholds=THRESHOLDS):
  """The threshold at which `scores [P, T]` have the highest mean.

  It is the first of several. The scores are those of validation pairs.

  Example:
    >>> localization.best_threshold([[.1, .4, .2]], (.25, .5, .75))
    0.5
  """
  scores = np.asarray(scores)
  if scores.shape[1:] != (len(thresholds),) or not len(scores):
    raise ValueError(f"scores must be [pairs, {len(thresholds)}], not "
                     f"{list(scores.shape)}")
  return float(thresholds[np.argmax(scores.mean(0))])


def pointing_game(maps, boxes, tolerance=0.0):
  """Whether the highest pixel's centre lies in a box of the class.

  Zhang et al., "Top-down neural attention by excitation backprop",
  arXiv 1608.00507. They also count a miss by less than 15 pixels as a hit;
  `tolerance` does so.

  A constant map has no highest pixel and counts as a miss. Of several equal
  maxima the first in reading order counts.

  Args:
    maps: `[P, height, width]`, raw; a negative maximum counts too.
    boxes: P arrays `[n, 4]`.
    tolerance: by how much each box grows on every side, in units of the
      image's sides; 15 pixels of 500 are 0.03.
  Returns:
    `[P]`, 1.0 or 0.0.

  Example:
    >>> localization.pointing_game(maps, boxes)
    array([1., 1.])
  """
  maps, boxes = _check(maps, boxes)
  height, width = maps.shape[1:]
  row, column = np.divmod(maps.reshape(len(maps), -1).argmax(1), width)
  hits = _hits((column + 0.5) / width, (row + 0.5) / height, boxes, tolerance)
  # A resized constant map varies in its last digits.
  high, low = maps.max((1, 2)), maps.min((1, 2))
  return np.where(high - low > 1e-6 * np.abs(high), hits, 0.0)


def energy_pointing_game(maps, boxes):
  """Share of a map's positive values that lies inside the boxes.

  Wang et al., "Score-CAM", arXiv 1910.01279:
  `sum of relu(map) in the boxes / sum of relu(map)`. A pixel is in a box if
  its centre is, and counts once where boxes overlap. The score of a constant
  positive map is the area of the boxes.

  Returns:
    `[P]` in [0, 1]; 0 for a map without a positive value.

  Example:
    >>> localization.energy_pointing_game(maps, boxes)
    array([1. , 0.5])
  """
  maps, boxes = _check(maps, boxes)
  height, width = maps.shape[1:]
  x = (np.arange(width) + 0.5) / width
  y = (np.arange(height)[:, None] + 0.5) / height
  result = np.zeros(len(maps))
  for pair, (one, truth) in enumerate(zip(maps, boxes)):
    energy = np.maximum(one, 0, dtype=np.float64)
    if energy.any():
      result[pair] = energy[_inside(x, y, truth)].sum() / energy.sum()
  return result


def centre_point(boxes):
  """The pointing game of a map whose maximum is the image's centre.

  Example:
    >>> localization.centre_point([[[0, 0, .6, 1]], [[0, 0, .4, 1]]])
    array([1., 0.])
  """
  boxes = _check_boxes(boxes)
  half = np.full(len(boxes), 0.5)
  return _hits(half, half, boxes, 0.0)


def centre_box(boxes, fraction, full_height=False):
  """IoU `[P]` of one centred box with the best box of each pair.

  The box has `fraction`, in (0, 1], of the image's width and of its height,
  or, on an axis of time, the full height.

  Example:
    >>> localization.centre_box(boxes, 1.0)
    array([0.5 , 0.25])
  """
  if not 0 < fraction <= 1:
    raise ValueError(f"fraction must be in (0, 1], not {fraction}")
  low, high = (1 - fraction) / 2, (1 + fraction) / 2
  top, bottom = (0, 1) if full_height else (low, high)
  boxes = _check_boxes(boxes)
  return np.array([iou([low, top, high, bottom], b).max() for b in boxes])


def best_centre_box(boxes, fractions=FRACTIONS, full_height=False):
  """The best fraction for `centre_box` on validation boxes."""
  scores = np.stack([centre_box(boxes, f, full_height) for f in fractions],
                    axis=1)
  return best_threshold(scores, fractions)


def check_maps(maps):
  """Maps as a finite array `[P, height, width]`; otherwise a ValueError."""
  maps = np.asarray(maps)
  if maps.ndim != 3:
    raise ValueError("maps must be [pairs, height, width], not "
                     f"{list(maps.shape)}")
  broken = np.flatnonzero(~np.isfinite(maps).all((1, 2)))
  if broken.size:
    raise ValueError(f"the map of pair {broken[0]} is not finite")
  return maps


def check_thresholds(thresholds):
  """Thresholds as an array in [0, 1); otherwise a ValueError."""
  thresholds = np.asarray(thresholds, float)
  if not ((thresholds >= 0) & (thresholds < 1)).all():
    raise ValueError(f"thresholds must be in [0, 1), not {thresholds}")
  return thresholds


def _inside(x, y, boxes):
  """Whether points lie in any of `boxes [n, 4]`, or on an edge."""
  x_min, y_min, x_max, y_max = np.moveaxis(boxes[:, :, None, None], 1, 0)
  return ((x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max)).any(0)


def _hits(x, y, boxes, tolerance):
  """1.0 where point p lies in a box of pair p."""
  grow = np.array([-tolerance, -tolerance, tolerance, tolerance])
  return np.array([_inside(px, py, truth + grow).item()
                   for px, py, truth in zip(x, y, boxes)], float)


def _check(maps, boxes):
  """Maps and boxes as arrays of as many pairs; otherwise a ValueError."""
  maps, boxes = check_maps(maps), _check_boxes(boxes)
  if len(maps) != len(boxes):
    raise ValueError(f"{len(maps)} maps but boxes of {len(boxes)} pairs")
  return maps, boxes


def _check_boxes(boxes):
  """Boxes as a list of float64 `[n, 4]`; otherwise a ValueError."""
  boxes = [np.asarray(b, np.float64) for b in boxes]
  for pair, one in enumerate(boxes):
    if one.ndim != 2 or one.shape[1:] != (4,) or not len(one):
      raise ValueError(f"the boxes of pair {pair} must be [n, 4] with n >= 1, "
                       f"not {list(one.shape)}")
    if not (one[:, :2] <= one[:, 2:]).all():
      raise ValueError(f"boxes of pair {pair} are not x_min, y_min, x_max, "
                       f"y_max: {one.tolist()}")
  return boxes
