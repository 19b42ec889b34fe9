"""The interval of a share of images, where a bootstrap would fail.

    interval(12, 12)                   # of 12 images, all of them
    of_units(hits, patient)            # of images in groups

A bootstrap of 12 right answers of 12 gives [1, 1]. The exact interval
(Clopper, Pearson, Biometrika 26, 1934) holds for any number of images. Images
of one group are alike, so there it is that of the effective number of images
(Korn, Graubard, Survey Methodology 24, 1998).
"""

import numpy as np
from scipy import stats

from atcon_tf.evaluation.metrics.statistics import LEVEL


def interval(count, number, level=LEVEL):
  """The exact interval `[low, high]` of a share, `count` of `number`.

  The quantiles of the beta distribution that give it are also defined for
  numbers that are not whole.

  Example:
    >>> [round(end, 3) for end in proportion.interval(0, 20)]
    [0.0, 0.139]
  """
  tail, misses = (1 - level) / 2, number - count
  low = stats.beta.ppf(tail, count, misses + 1) if count > 0 else 0
  high = stats.beta.ppf(1 - tail, count + 1, misses) if misses > 0 else 1
  return [float(low), float(high)]


def of_units(hits, units=None, share=None, level=LEVEL):
  """The interval of a share of trials, of which some are of one unit.

  With G units the effective number of N trials is

      N v / V (t(N - 1) / t(G - 1))^2, at most N before the last factor,

  where v = p (1 - p) / (N - 1) is the variance of the share p if all trials
  were independent, V its variance between units, and t the quantiles of
  Student's distribution. Where p is 0 or 1, N v / V is taken for G. With one
  trial a unit it is N.

  Args:
    hits: `[N]`, 0 or 1.
    units: `[N]`, the unit of each trial, such as an image with several boxes,
      or a group of images; None: each trial is its own.
    share: the measured share, if it is not the mean of `hits`.
  Returns:
    `[low, high]`; None if there is no trial, or one unit of several trials.

  Example:
    >>> [round(end, 3) for end in proportion.of_units(np.ones(12))]
    [0.779, 1.0]
  """
  hits = np.asarray(hits, float)
  number = len(hits)
  unit = np.unique(np.arange(number) if units is None else units,
                   return_inverse=True)[1]
  count = unit.max() + 1 if number else 0
  if not number or count == 1 < number:
    return None
  mean = hits.mean()
  share = mean if share is None else share
  effective = float(number)
  if count < number:
    off = np.bincount(unit, hits - mean)
    between = count / (count - 1) * (off ** 2).sum() / number ** 2
    alone = mean * (1 - mean) / (number - 1)
    effective = (min(number, number * alone / between) if between > 0
                 else float(count))
    effective *= (stats.t.ppf((1 + level) / 2, number - 1)
                  / stats.t.ppf((1 + level) / 2, count - 1)) ** 2
  return interval(share * effective, effective, level)
