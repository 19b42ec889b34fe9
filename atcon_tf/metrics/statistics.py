"""How far a number, or a difference between two runs, can be trusted.

Three sources of chance, one tool each:

* which images are in the test set: `bootstrap`, `paired_bootstrap`,
  `paired_permutation`. They know nothing of training: a second seed can fall
  outside such an interval.
* which images were labelled, in which order: `stratified_paired_test` over
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


def paired_permutation(a, b, samples=9999, seed=0):
  """Do two methods differ in a per-image score such as a hit or an IoU?

  Null hypothesis: for each image, which method got which value is a coin
  toss. Exact over all `2 ** n` tosses where `samples` allows, else a random
  part of them (`scipy.stats.permutation_test`). Images are independent: when
  an image has several pairs, average them first.

  Args:
    a, b: `[n]`, values of the same images, finite.
    samples: tosses at most.
    seed: of the random part.
  Returns:
    `{"difference": mean(a - b), "p": two-sided}`. a = [1, 1, 1], b = 0: 2 of
    the 8 tosses are as extreme, p = 0.25.
  """
  a, b = _finite("a", a), _finite("b", b)
  if a.shape != b.shape:
    raise ValueError(f"a and b must pair up, not {len(a)} and {len(b)} values")
  weights = np.full(len(a), 1 / len(a))
  return {"difference": float((a - b) @ weights),
          "p": _sign_flip(a - b, weights, samples, seed)}


def stratified_paired_test(differences, strata, level=LEVEL, samples=9999,
                           seed=0):
  """Does a method help over seeds, when the setting also varies?

  Pairs of runs (same seed, same split, two methods) at 2, 4 and 8 shots are
  not nine repetitions of one thing: shots change the size of the difference.
  So they are strata. The estimate is the mean of the stratum means,
  `D = (1/K) sum_k mean_k`, each stratum counting the same; its error comes
  from the spread between the seeds *within* the strata only:

      v_k = s_k^2 / (K^2 n_k),  variance = sum_k v_k,
      interval = D +- t(df) sqrt(variance),
      df = variance^2 / sum_k v_k^2 / (n_k - 1)      (Satterthwaite 1946)

  which for one stratum is the paired t interval. (A bootstrap of three seeds
  would be much too narrow.) p flips the sign of each difference: exact where
  the `2 ** pairs` flips are at most `samples`, never below `2 / 2 ** pairs`.

  Assumes: pairs independent of each other, also between strata (few-shot
  splits of one seed that are nested are not quite: use other seeds for other
  shots where it matters); for the interval, differences roughly normal within
  a stratum; for p, differences symmetric about 0 if the method does nothing.
  It speaks for these strata, not for other shot counts.

  Args:
    differences: `[n]`, score of the method minus score of the baseline.
    strata: n numbers or names, the stratum of each difference, e.g. the
      shots; at least two differences in each.
    level: of the interval.
    samples, seed: as in `paired_permutation`.
  Returns:
    `{"difference", "interval": [low, high], "p", "pairs": n,
    "strata": {stratum: mean difference}}`.
  """
  differences = _finite("differences", differences)
  names, member = np.unique(np.asarray(strata), return_inverse=True)
  if member.shape != differences.shape:
    raise ValueError(f"{len(differences)} differences but strata "
                     f"{list(np.shape(strata))}")
  groups = [differences[member == k] for k in range(len(names))]
  for name, group in zip(names, groups):
    if len(group) < 2:
      raise ValueError(f"stratum {name} has one pair; two are needed to see a "
                       "spread")
  size = np.array([len(g) for g in groups])
  means = np.array([g.mean() for g in groups])
  parts = np.array([g.var(ddof=1) for g in groups]) / (len(names)**2 * size)
  half = 0.0
  if parts.any():
    freedom = parts.sum()**2 / (parts**2 / (size - 1)).sum()
    half = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(parts.sum())
  weights = 1 / (len(names) * size[member])
  return {"difference": float(means.mean()),
          "interval": [float(means.mean() - half), float(means.mean() + half)],
          "p": _sign_flip(differences, weights, samples, seed),
          "pairs": len(differences),
          "strata": dict(zip(names.tolist(), means.tolist()))}


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


def _sign_flip(differences, weights, samples, seed):
  """Two-sided p of the weighted sum when every sign is a coin toss."""
  test = stats.permutation_test(
      (differences,), lambda d, axis: (d * weights).sum(axis),
      permutation_type="samples", vectorized=True, n_resamples=samples,
      # SciPy holds a batch at once: about 8 MB of it.
      batch=max(1, 10**6 // len(differences)),
      rng=np.random.default_rng(seed))
  return float(test.pvalue)


def _finite(name, values):
  values = np.asarray(values, np.float64)
  if values.ndim != 1 or not values.size or not np.isfinite(values).all():
    raise ValueError(f"{name} must be a list of finite numbers")
  return values
