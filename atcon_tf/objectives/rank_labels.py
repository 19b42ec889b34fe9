"""Pseudo-labels of a pool by the ranks of its images within each class.

    sizes = class_sizes(class_prior, len(logits), share=0.5)
    label, weight = rank_labels(logits, sizes)

For class c the `sizes[c]` images of the highest logit become positives, the
lowest share of the pool becomes negatives, and the other images have no
pseudo-label for c. A threshold of confidence, as in FixMatch
(arXiv 2001.07685), does not balance the classes: most pseudo-labels are then
of frequent classes.
"""

import numpy as np
from scipy import special

# The fewest positives of a class.
LEAST = 10
NEGATIVE_SHARE = 0.6


def ranks(logits):
  """Rank of each image within each class, `[P, classes]`; 0: highest logit."""
  order = np.argsort(-np.asarray(logits), axis=0, kind="stable")
  return np.argsort(order, axis=0, kind="stable")


def class_sizes(class_prior, count, share, least=LEAST):
  """The number of images in the pool that become positives of each class.

  It is `share * class_prior * count`, but at least `least`, or half of the
  pool if that is smaller than `least`.

  Args:
    class_prior: `[classes]`, the share of images that shows each class.
    count: number of images in the pool.
    share: share of a class's expected images that become its positives.
    least: smallest number of positives of a class.
  Returns:
    int `[classes]`.

  Example:
    >>> class_sizes([0.4, 0.01], 100, share=0.5)
    array([20, 10])
  """
  least = min(least, max(1, count // 2))
  wanted = np.round(share * np.asarray(class_prior) * count)
  return np.maximum(wanted, least).astype(int)


def rank_labels(logits, sizes, negative_share=NEGATIVE_SHARE):
  """Pseudo-labels if an image can have several labels.

  Args:
    logits: `[P, classes]` of the pool.
    sizes: int `[classes]`, or one int: number of positives of each class.
    negative_share: share of the pool, ranked lowest, that become negatives.
  Returns:
    label and weight, float32 `[P, classes]` of 0 and 1. `weight[i, c]` is 0
    if image i has no pseudo-label for class c.
  """
  rank, count = ranks(logits), len(logits)
  positive = rank < sizes
  negative = rank >= count - int(negative_share * count)
  return positive.astype(np.float32), (positive | negative).astype(np.float32)


def best_rank_labels(logits, sizes):
  """Pseudo-labels if each image has one label.

  An image that ranks among the `sizes[c]` first images of one or more classes
  c gets the class with the smallest quotient of rank and size. Other images
  get no pseudo-label.

  Args:
    logits, sizes: as for `rank_labels`.
  Returns:
    label and weight, as of `rank_labels`; the weights of a row are equal.
  """
  relative = ranks(special.log_softmax(logits, axis=-1)) / np.asarray(sizes)
  best, chosen = relative.argmin(-1), relative.min(-1) < 1
  label = np.zeros(relative.shape, np.float32)
  label[chosen, best[chosen]] = 1
  weight = np.repeat(chosen[:, np.newaxis], relative.shape[1], 1)
  return label, weight.astype(np.float32)
