"""Do two networks of one task give the same reasons? (Fel et al., WACV 2022)

"How good is your explanation? Algorithmic stability measures to assess the
quality of explanations for deep neural networks", arXiv 2009.04521. The two
networks were trained on other halves of the data, or from other seeds. Their
maps of one image and class are compared by

    d = sqrt(1 - |rho|), in [0, 1], rho Spearman's correlation over the pixels

as the authors' code does. S= holds the distances of the pairs that both
networks classify correctly, S!= of those that one of the two does.
"""

import numpy as np

from atcon_tf.evaluation.metrics import sanity


def distances(first, second):
  """d of two sets of maps, `[P]`; 1 if one of two maps is constant.

  Args:
    first, second: `[P, H, W]`, of the same images and classes.

  Example:
    >>> algorithmic_stability.distances(maps, -2 * maps).round(3)
    array([0., 0.])
  """
  rho = sanity.similarity(first, second, absolute=False)
  return np.sqrt(np.maximum(1 - np.abs(rho), 0))


def mean_generalizability(distance, right_first, right_second):
  """MeGe: `1 / (1 + mean S=)`, in [0.5, 1]; higher is better.

  Args:
    distance: `[P]`, of `distances`.
    right_first, right_second: bool `[P]`, whether the network is right.
  Returns:
    float; NaN if S= is empty.

  Example:
    >>> float(algorithmic_stability.mean_generalizability(
    ...     np.array([0., 1., 1.]), np.array([True, True, False]),
    ...     np.array([True, True, True])).round(2))
    0.67
  """
  same = distance[right_first & right_second]
  return 1 / (1 + same.mean()) if len(same) else np.nan


def relative_consistency(distance, right_first, right_second):
  """ReCo: does a contradiction of the maps tell one of the predictions?

  `max_t TPR(t) + TNR(t) - 1`, in [0, 1], where TPR is the share of S= with
  `d <= t` and TNR the share of S!= with `d > t`. Higher is better: 1 if maps
  of agreeing predictions are always closer than maps of others, 0 if the
  distances say nothing about the predictions.

  Args:
    distance, right_first, right_second: see `mean_generalizability`.
  Returns:
    float; NaN if S= or S!= is empty.

  Example:
    >>> float(algorithmic_stability.relative_consistency(
    ...     np.array([.1, .2, .9]), np.array([True, True, False]),
    ...     np.array([True, True, True])))
    1.0
  """
  same = distance[right_first & right_second]
  other = distance[right_first ^ right_second]
  if not len(same) or not len(other):
    return np.nan
  return max(0.0, *((same <= t).mean() + (other > t).mean() - 1
                    for t in np.unique(distance)))
