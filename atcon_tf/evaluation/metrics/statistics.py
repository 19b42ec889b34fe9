"""Intervals and tests of a score, or of the difference between two runs.

There are two sources of chance:

* the choice of the test images: `bootstrap` and `paired_bootstrap`. They do
  not include the chance of training, so a run with another seed can fall
  outside of such an interval. Images of one group, as a patient, are alike:
  groups are drawn whole.
* the choice and the order of the training images: `paired_seeds_test`, over
  pairs of runs that differ in the method alone.

The `level` of an interval is 0.90 by default, as in the paper.
"""

import collections

import numpy as np
from scipy import stats

LEVEL = 0.90


def bootstrap(statistic, n, samples=500, level=LEVEL, seed=0, units=None):
  """Percentile intervals of statistics of n images.

  Draws n of n images with replacement, `samples` times (Efron and Tibshirani,
  "An introduction to the bootstrap", 1993, chapter 13), which assumes that
  images are independent; or G of G groups of images, each with all its images
  (Field and Welsh, JRSS B 69, 2007). As usual for this method, intervals of F1
  or mean average precision of few images are somewhat narrow.

      bootstrap(lambda i: evaluate(label[i], probability[i], 0.3), 500)

  Args:
    statistic: function of indices `[n]` that returns `{name: number}`. A name
      may be absent, or its number NaN, if a resample does not allow it.
    n: number of images.
    samples: number of resamples; with 0 the result is empty.
    level: share of the resamples inside of the interval.
    seed: the same seed draws the same images.
    units: `[n]`, the group of each image; None: images are independent.
  Returns:
    `{name: [low, high]}`, floats, of the resamples that have the name. A name
    that fewer than half of the resamples have is absent.
  """
  values = _resample(statistic, n, samples, level, seed, units)
  return {name: _interval(v, level) for name, v in values.items()}


def paired_bootstrap(statistic_a, statistic_b, n, samples=500, level=LEVEL,
                     seed=0, units=None, carriers=None):
  """Is a better than b on these images?

  Both scores are computed on the same resamples, since the difference of two
  scores of the same images varies less than either score. p is the smallest
  1 - level at which the interval does not contain 0: `2 min(#(d <= 0) + 1,
  #(d >= 0) + 1) / (#d + 1)`, at most 1. It is approximate, like the interval,
  and never below `2 / (samples + 1)`.

  A bootstrap of few units is much too narrow. k units with differences of one
  sign have p = 2 / 2^k in the exact test that flips signs (Fisher, "The Design
  of Experiments", 1935), so p is not below that, and there is no interval of a
  level that no k units could reach: with 0.90, of fewer than 5.

  Args:
    statistic_a, statistic_b: as in `bootstrap`.
    n, samples, level, seed, units: as in `bootstrap`.
    carriers: function of a name that returns the number k of the units in
      which the two differ; 0: they are equal. None: they are many.
  Returns:
    `{name: {"difference": a - b on all images, "interval": [low, high] or
    None, "p": two-sided}}` for the names that both have.
  """
  def least(name):
    count = carriers(name) if carriers else 0
    return 2.0 ** (1 - count) if count else 0.0

  def difference(indices):
    a, b = statistic_a(indices), statistic_b(indices)
    return {name: a[name] - b[name] for name in a if name in b}

  observed = difference(np.arange(n))
  values = _resample(difference, n, samples, level, seed, units)
  return {
      name: {"difference": float(observed[name]),
             "interval": None if least(name) > 1 - level + 1e-9
             else _interval(v, level),
             "p": float(min(1, max(least(name), 2 * (
                 1 + min((v <= 0).sum(), (v >= 0).sum())) / (len(v) + 1))))}
      for name, v in values.items() if np.isfinite(observed.get(name, np.nan))}


def paired_seeds_test(differences, level=LEVEL):
  """Does a method help over seeds, when the setting also varies?

  Pairs of runs (same seed, same split, two methods) at 2, 4 and 8 shots are
  not three repetitions of one experiment. The number of shots changes the
  size of the difference, so the shots are strata of equal weight. The
  few-shot splits of one seed are nested, so the runs of one seed share
  images. Only the seeds are independent. `D_s` is the mean of the differences
  of seed s over the strata, and

      D = mean_s D_s,  interval = D +- t(n - 1) std(D_s) / sqrt(n),

  with p of the paired t test. Differences between strata do not widen the
  interval: each seed has a run in every stratum, so they cancel in its mean.
  (A bootstrap of three seeds would be much too narrow, and the p of randomly
  flipped signs cannot fall below `2 / 2 ** n`.)

  The test assumes that seeds are independent and that `D_s` is roughly
  normal. Its result holds for these strata, not for other numbers of shots.

  Args:
    differences: `[n, strata]`, the score of the method minus that of the
      baseline; a row for each seed, n >= 2.
    level: of the interval.
  Returns:
    `{"difference", "interval": [low, high], "p": two-sided, "seeds": n}`.
    Of [[1, 3], [3, 5]] the means of the seeds are 2 and 4, so the interval
    is 3 +- t(1), and p = 0.2.
  Raises:
    ValueError: a number is not finite, or there are fewer than two seeds.
  """
  differences = np.asarray(differences, np.float64)
  if (differences.ndim != 2 or len(differences) < 2
      or not np.isfinite(differences).all()):
    raise ValueError("differences must be [seeds, strata], finite, of two "
                     f"seeds or more, not {list(differences.shape)}")
  means = differences.mean(1)
  error = means.std(ddof=1) / np.sqrt(len(means))
  mean, freedom = means.mean(), len(means) - 1
  half = error * stats.t.ppf((1 + level) / 2, freedom)
  if error:
    p = 2 * stats.t.sf(abs(mean) / error, freedom)
  else:  # all seeds have the same mean
    p = float(mean == 0)
  return {"difference": float(mean),
          "interval": [float(mean - half), float(mean + half)],
          "p": float(p), "seeds": len(means)}


def certain(interval):
  """Whether there is no interval, or all resamples gave one value.

  Then nothing can be said.
  """
  return interval is None or interval[1] - interval[0] < 1e-9


def _resample(statistic, n, samples, level, seed, units=None):
  """`{name: its finite values}`, of the names of half of the resamples."""
  if n < 1 or samples < 0 or not 0 < level < 1:
    raise ValueError("n must be at least 1, samples at least 0 and level "
                     f"between 0 and 1, not {n}, {samples} and {level}")
  random = np.random.default_rng(seed)
  values = collections.defaultdict(list)
  number = np.unique(np.arange(n) if units is None else units,
                     return_inverse=True)[1]
  members = np.split(np.argsort(number, kind="stable"),
                     np.cumsum(np.bincount(number))[:-1])
  for _ in range(samples):
    drawn = random.integers(len(members), size=len(members))
    indices = np.concatenate([members[i] for i in drawn]) if (
        len(members) < n) else drawn
    for name, value in statistic(indices).items():
      if np.isfinite(value):
        values[name].append(value)
  return {name: np.array(v) for name, v in values.items()
          if len(v) >= samples / 2}


def _interval(values, level):
  """The middle `level` of the values, as two floats."""
  return np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist()
