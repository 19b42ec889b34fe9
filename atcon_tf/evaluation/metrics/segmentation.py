"""Does a map cover the object? Scores against masks drawn by people.

Maps and pairs are those of `localization`. `masks`, of the shape of the maps,
are 0 outside of the class, VOID (255) where the class is unknown, and any
other value on the class.

    masks = [class_mask(record.mask(), c, maps.shape[1:]) for ...]
    iou = mask_ious(val_maps, masks)                          # [P, T]

`centre_map` depends on no image. Report its score beside that of a map.
"""

import numpy as np

from atcon_tf.data import class_masks
from atcon_tf.evaluation.metrics import localization


def mask_iou(maps, masks, threshold):
  """IoU of `relu(map) > threshold * max(map)` with the mask of the class.

  Args:
    maps: `[P, height, width]`.
    masks: the same shape. Each must have a pixel of the class. Unknown pixels
      do not count.
    threshold: share of the maximum, in [0, 1).
  Returns:
    `[P]` in [0, 1]; 0 for a map without a positive value.
  Raises:
    ValueError: naming the pair that does not fit.

  Example:
    >>> segmentation.mask_iou(maps, masks, 0.5)
    array([1., 1.])
  """
  maps, masks = localization.check_maps(maps), np.asarray(masks)
  threshold, = localization.check_thresholds([threshold])
  if masks.shape != maps.shape:
    raise ValueError(f"masks must be {list(maps.shape)} like the maps, not "
                     f"{list(masks.shape)}")
  known = masks != class_masks.VOID
  truth = known & (masks != 0)
  empty = np.flatnonzero(~truth.any((1, 2)))
  if empty.size:
    raise ValueError(f"pair {empty[0]} has no pixel of its class")
  level = threshold * np.maximum(maps.max((1, 2), keepdims=True), 0)
  found = known & (maps > level)
  return (found & truth).sum((1, 2)) / (found | truth).sum((1, 2))


def mask_ious(maps, masks, thresholds=localization.THRESHOLDS):
  """`mask_iou` at T thresholds, `[P, T]`; NaN without a pixel of the class."""
  masks = np.asarray(masks)
  known = ((masks != 0) & (masks != class_masks.VOID)).any((1, 2))
  result = np.full([len(masks), len(thresholds)], np.nan)
  if known.any():
    maps, masks = np.asarray(maps)[known], masks[known]
    result[known] = np.stack([mask_iou(maps, masks, t) for t in thresholds],
                             1)
  return result


def _of_masked(score, maps, masks):
  """A score of the pairs with a pixel of the class, NaN for the others.

  Args:
    score: `(relu(map) [n], is_class bool [n]) -> float`, of known pixels.
    maps: `[P, height, width]`.
    masks: the same shape.
  """
  masks = np.asarray(masks)
  result = np.full(len(masks), np.nan)
  for pair, (heat, mask) in enumerate(zip(np.asarray(maps, np.float64),
                                          masks)):
    known = mask != class_masks.VOID
    if (mask[known] != 0).any():
      result[pair] = score(heat[known].clip(0), mask[known] != 0)
  return result


def relevance_mass_accuracy(maps, masks):
  """Share of a map's positive values on the class (Arras et al.).

  "CLEVR-XAI", arXiv 2003.07258: `sum of relu(map) on the mask / sum of
  relu(map)`, in [0, 1]. Higher is better.

  Args:
    maps: `[P, height, width]`.
    masks: the same shape. Unknown pixels do not count.
  Returns:
    `[P]`; NaN without a pixel of the class, 0 for a map without a positive
    value.

  Example:
    >>> segmentation.relevance_mass_accuracy(maps, masks)
    array([1., 1.])
  """
  return _of_masked(lambda heat, own: heat[own].sum() / heat.sum()
                    if heat.any() else 0.0, maps, masks)


def relevance_rank_accuracy(maps, masks):
  """Share of the K highest pixels that are on the class (Arras et al.).

  The paper and the arguments are those of `relevance_mass_accuracy`; K is
  the number of pixels of the class. In [0, 1]; higher is better. Pixels that
  are not positive count as 0, and of equal ones the first in reading order.

  Example:
    >>> segmentation.relevance_rank_accuracy(maps, masks)
    array([1., 1.])
  """
  return _of_masked(lambda heat, own: own[np.argsort(
      -heat, kind="stable")[:own.sum()]].mean(), maps, masks)


def centre_map(size):
  """A map that depends on no image, 1 in the middle and 0 at the edges.

  The pixels above t are the centred rectangle with 1 - t of the image's
  sides.

  Args:
    size: `(height, width)`.
  """
  y, x = (np.abs(2 * np.arange(n) + 1 - n) / n for n in size)
  return 1 - np.maximum(y[:, None], x)
