"""Coherency, complexity and ADCC: three wishes in one number.

Poppi et al., "Revisiting the evaluation of class activation mapping for
explainability", CVPR workshops 2021. H is a map scaled to [0, 1].
"""

import numpy as np

from atcon_tf.evaluation.metrics import faithfulness


def coherency(explain, images, maps, black=0.0):
  """Is the map of what the map shows the same map? In [0, 1].

  `(1 + r) / 2`, r Pearson's correlation of the map of x and the map of
  `x * H` of the same class; 0.5 if one of the two is constant. Higher is
  better.

  Args:
    explain: `images [P, H, W, C] -> maps [P, H, W]`, of the pairs' classes.
    images, maps: see `faithfulness`.
    black: the value of a black pixel; see
      `faithfulness.masked_probabilities`.
  Returns:
    `[P]`.

  Example:
    >>> adcc.coherency(explain, images, maps)
    array([1., 1.])
  """
  again = np.asarray(explain(faithfulness.masked(images, maps, 0., black)))
  result = np.full(len(maps), 0.5)
  for pair, (a, b) in enumerate(zip(np.asarray(maps, np.float64), again)):
    if np.ptp(a) and np.ptp(b):
      result[pair] = (1 + np.corrcoef(a.ravel(), b.ravel())[0, 1]) / 2
  return result


def map_size(maps):
  """The mean of H, in [0, 1], which the paper calls complexity.

  Lower is better. `complexity.complexity` is the entropy instead.

  Example:
    >>> adcc.map_size(maps)
    array([0.5, 0.5])
  """
  return faithfulness.unit(maps).mean((1, 2))


def adcc(whole, masked, coherencies, sizes):
  """ADCC: the harmonic mean of coherency, 1 - size and 1 - average drop.

  Higher is better; in [0, 1], and 0 if one of the three is.

  Args:
    whole, masked: y and y_masked, `[P]`; see `faithfulness.average_drop`.
    coherencies: from `coherency`, `[P]`.
    sizes: from `map_size`, `[P]`.

  Example:
    >>> adcc.adcc(np.array([.5]), np.array([.5]), np.array([1.]),
    ...           np.array([.5]))
    array([0.75])
  """
  parts = np.stack([coherencies, 1 - sizes,
                    1 - faithfulness.average_drop(whole, masked) / 100])
  return np.where((parts > 0).all(0),
                  3 / (1 / np.where(parts > 0, parts, 1)).sum(0), 0.0)
