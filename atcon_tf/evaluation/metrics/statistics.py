"""How far a number, or a difference between two runs, can be trusted.

Two sources of chance:

* which images are in the test set: `bootstrap`, `paired_bootstrap`,
  `paired_permutation`. They know nothing of training: a second seed can fall
  outside such an interval.
* which images were labelled, in which order: `paired_seeds_test` over
  pairs of runs that share everything but the method.

Every interval has a `level`, 0.90 unless told otherwise (the paper's).
"""

import collections

import numpy as np
from scipy import stats

LEVEL = 0.90


def bootstrap(statistic, n, samples=500, level=LEVEL, seed=0):
  """Percentile intervals of statistics of n images.

  Draws n of n images with replacement, `samples` times (Efron and Tibshirani,
  "An introduction to the bootstrap", 1993, chapter 13). Assumes independent
  images. The usual bias of the method stays: intervals of F1 or mean average
  precision of few images are somewhat narrow.

      bootstrap(lambda i: evaluate(label[i], probability[i], 0.3), 500)

  Args:
    statistic: function of indices `[n]` that gives `{name: number}`. A name
      may be absent, or NaN, where a resample does not allow it.
    n: number of images.
    samples: number of resamples; with 0 the result is empty.
    level: share of the resamples inside the interval.
    seed: the same seed draws the same images.
  Returns:
    `{name: [low, high]}`, floats. A name that fewer than half of the
    resamples gave is absent; the others rest on the resamples that gave it.
  """
  values = _resample(statistic, n, samples, level, seed)
  return {name: _interval(v, level) for name, v in values.items()}


def paired_bootstrap(statistic_a, statistic_b, n, samples=500, level=LEVEL,
                     seed=0):
  """Is a better than b on these images? Both see the same resamples.

  The difference of two scores of the same images varies less than either.
  p is the smallest 1 - level at which the interval would leave out 0:
  `2 min(#(d <= 0) + 1, #(d >= 0) + 1) / (#d + 1)`, at most 1; approximate,
  like the interval, and never below `2 / (samples + 1)`.

  Args:
    statistic_a, statistic_b: as in `bootstrap`.
    n, samples, level, seed: as in `bootstrap`.
  Returns:
    `{name: {"difference": a - b on all images, "interval": [low, high],
    "p": two-sided}}` for the names that both give.
  """
  def difference(indices):
    a, b = statistic_a(indices), statistic_b(indices)
    return {name: a[name] - b[name] for name in a if name in b}

  observed = difference(np.arange(n))
  values = _resample(difference, n, samples, level, seed)
  return {
      name: {"difference": float(observed[name]),
             "interval": _interval(v, level),
             "p": float(min(1, 2 * (1 + min((v <= 0).sum(), (v >= 0).sum()))
                            / (len(v) + 1)))}
      for name, v in values.items() if np.isfinite(observed.get(name, np.nan))}


def paired_seeds_test(differences, level=LEVEL):
  """Does a method help over seeds, when the setting also varies?

  Pairs of runs (same seed, same split, two methods) at 2, 4 and 8 shots are
  not three repetitions of one thing: shots change the size of the difference,
  so they are strata that count the same. And few-shot splits of one seed are
  nested, so the runs of a seed share images and luck. What is independent is
  the seed: `D_s` is the mean of its differences over the strata, and

      D = mean_s D_s,  interval = D +- t(n - 1) std(D_s) / sqrt(n),

  p that of the paired t test. The spread between the strata costs nothing,
  as every seed has all of them. (A bootstrap of three seeds would be much too
  narrow, and signs flipped at random cannot fall below `2 / 2 ** n`.)

  Assumes: seeds independent, `D_s` roughly normal. It speaks for these
  strata, not for other shot counts.

  Args:
    differences: `[n, strata]`, score of the method minus score of the
      baseline, a row for each seed, n >= 2.
    level: of the interval.
  Returns:
    `{"difference", "interval": [low, high], "p": two-sided, "seeds": n}`.
    [[1, 3], [3, 5]]: seeds of 2 and 4, so 3 +- t(1), p = 0.2.
  Raises:
    ValueError: not finite numbers of two seeds or more.
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
  else:  # every seed says the same
    p = float(mean == 0)
  return {"difference": float(mean),
          "interval": [float(mean - half), float(mean + half)],
          "p": float(p), "seeds": len(means)}


def _resample(statistic, n, samples, level, seed):
  """`{name: finite values over the resamples}`, without the rare names."""
  if n < 1 or samples < 0 or not 0 < level < 1:
    raise ValueError("n must be at least 1, samples at least 0 and level "
                     f"between 0 and 1, not {n}, {samples} and {level}")
  random = np.random.default_rng(seed)
  values = collections.defaultdict(list)
  for _ in range(samples):
    for name, value in statistic(random.integers(n, size=n)).items():
      if np.isfinite(value):
        values[name].append(value)
  return {name: np.array(v) for name, v in values.items()
          if len(v) >= samples / 2}


def _interval(values, level):
  """The middle `level` of the values, as two floats."""
  return np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist()
