"""How much of an image does a map speak of? Scores of the map alone."""

import numpy as np


def _shares(maps):
  """`|map|` of each pixel, `[P, H W]`, and its sum, `[P]`."""
  flat = np.abs(np.asarray(maps, np.float64)).reshape(len(maps), -1)
  return flat, flat.sum(1)


def sparseness(maps):
  """Gini index of |map| (Chalasani et al., arXiv 1810.06583), in [0, 1).

  It is 0 if all pixels are the same, and `1 - 1/n` if only one of n pixels is
  not 0. Higher is better.

  Example:
    >>> complexity.sparseness([[[0, 0], [0, 2]], [[1, 1], [1, 1]]])
    array([0.75, 0.  ])
  """
  flat, total = _shares(maps)
  flat, n = np.sort(flat, axis=1), flat.shape[1]
  weights = 2 * np.arange(1, n + 1) - n - 1
  return np.where(total > 0, (flat * weights).sum(1) / (
      n * np.where(total > 0, total, 1)), 0.0)


def complexity(maps):
  """Entropy of the shares of |map| (Bhatt et al., arXiv 2005.00631).

  `- sum_i p_i ln p_i`, p_i the share of pixel i in the sum of |map|. It is in
  [0, ln n], 0 if only one of n pixels is not 0 and ln n if all are the same,
  or all are 0. Lower is better.

  Example:
    >>> complexity.complexity([[[0, 0], [0, 2]], [[1, 1], [1, 1]]]).round(3)
    array([0.   , 1.386])
  """
  flat, total = _shares(maps)
  n = flat.shape[1]
  p = np.where(total[:, None] > 0,
               flat / np.where(total > 0, total, 1)[:, None], 1 / n)
  return -(p * np.log(np.where(p > 0, p, 1))).sum(1) + 0.0
