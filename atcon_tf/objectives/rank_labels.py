"""Pseudo-labels of a pool by the ranks of its images within each class.

    sizes = class_sizes(class_prior, len(logits), share=0.5)
    label, weight = rank_labels(logits, sizes)

For class c the `sizes[c]` images of the highest logit become positives, the
lowest share of the pool negatives, and the others have no pseudo-label for c.
A threshold of confidence, as in FixMatch (arXiv 2001.07685), has no such
balance: frequent classes take over.
"""

import numpy as np
from scipy import special

# The fewest positives of a class.
LEAST = 10
NEGATIVE_SHARE = 0.6


def ranks(logits):
  """Rank of each image within each class, 0 for the highest logit."""
  order = np.argsort(-np.asarray(logits), axis=0, kind="stable")
  return np.argsort(order, axis=0, kind="stable")


def class_sizes(class_prior, count, share, least=LEAST):
  """How many of `count` pool images become positives of each class.

  `share * class_prior * count`, but at least `least`, and `least` is at most
  half of the pool.

  Args:
    class_prior: `[classes]`, the share of images that shows each class.
    count: number of images in the pool.
    share: of the images that the prior leads to expect.
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
  """Pseudo-labels for several labels an image.

  Args:
    logits: `[P, classes]` of the pool.
    sizes: int `[classes]`, or one int: the positives of each class.
    negative_share: of the pool, from the lowest rank up, are negatives.
  Returns:
    label and weight, float32 `[P, classes]` of 0 and 1; weight 0: no label.
  """
  rank, count = ranks(logits), len(logits)
  positive = rank < sizes
  negative = rank >= count - int(negative_share * count)
  return positive.astype(np.float32), (positive | negative).astype(np.float32)


def best_rank_labels(logits, sizes):
  """Pseudo-labels for one label an image.

  An image among the first of several classes gets the class where its rank is
  the smallest part of the class's size; the other images get none.

  Args:
    logits, sizes: as of `rank_labels`.
  Returns:
    label and weight, as of `rank_labels`; the weights of a row are equal.
  """
  relative = ranks(special.log_softmax(logits, axis=-1)) / np.asarray(sizes)
  best, chosen = relative.argmin(-1), relative.min(-1) < 1
  label = np.zeros(relative.shape, np.float32)
  label[chosen, best[chosen]] = 1
  weight = np.repeat(chosen[:, np.newaxis], relative.shape[1], 1)
  return label, weight.astype(np.float32)
