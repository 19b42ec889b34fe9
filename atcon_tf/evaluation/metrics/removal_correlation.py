"""Does a map's value of some pixels tell how the output drops without them?

Each score removes sets of pixels, `[P, H, W]`, and compares the sums of the
map over them with the drops of the probability, `y(x) - y(x without S)`.
The arguments are those of `faithfulness`; a removed pixel becomes 0.

A correlation is 0 where the sums or the drops are all the same.
"""

import numpy as np
from scipy import stats

from atcon_tf.evaluation.metrics import faithfulness


def _sums_and_drops(predict, images, maps, sets):
  """Of each set of pixels, `[P, S]` each.

  Args:
    predict, images, maps: see `faithfulness`.
    sets: iterable of S arrays, bool `[H, W]` or `[P, H, W]`.
  """
  maps = np.asarray(maps, np.float64)
  whole = faithfulness.probabilities(predict, images)
  sums, drops = [], []
  for chosen in sets:
    chosen = np.broadcast_to(chosen, maps.shape)
    without = np.where(chosen[..., None], 0, images).astype(images.dtype)
    drops.append(whole - faithfulness.probabilities(predict, without))
    sums.append((maps * chosen).sum((1, 2)))
  return np.stack(sums, 1), np.stack(drops, 1)


def _correlations(first, second, ranks=False):
  """Pearson's (of ranks: Spearman's) correlation of rows, `[P]`."""
  result = np.zeros(len(first))
  for pair, (a, b) in enumerate(zip(first, second)):
    if ranks:
      a, b = stats.rankdata(a), stats.rankdata(b)
    # Sums that differ in their last digits alone are the same.
    if np.ptp(a) > 1e-12 * np.abs(a).max() and (
        np.ptp(b) > 1e-12 * np.abs(b).max()):
      result[pair] = np.corrcoef(a, b)[0, 1]
  return result


def _random_pixels(random, size, count):
  """A random set of `count` pixels, bool `[H, W]`."""
  chosen = np.zeros(size, bool)
  chosen.flat[random.choice(chosen.size, count, replace=False)] = True
  return chosen


def faithfulness_correlation(predict, images, maps, samples=50, share=0.2,
                             seed=0):
  """Faithfulness correlation (Bhatt et al., arXiv 2005.00631), in [-1, 1].

  Pearson's correlation of sums and drops over random sets of pixels, all of
  the same size. Higher is better.

  Args:
    predict, images, maps: see `faithfulness`.
    samples: number of sets, the same for all pairs.
    share: of the pixels that are in a set.
    seed: of the sets.

  Example:
    >>> removal_correlation.faithfulness_correlation(predict, images, maps)
    array([1., 1.])
  """
  random, size = np.random.default_rng(seed), np.shape(maps)[1:]
  count = max(1, round(share * np.prod(size)))
  return _correlations(*_sums_and_drops(predict, images, maps, (
      _random_pixels(random, size, count) for _ in range(samples))))


def sensitivity_n(predict, images, maps, sizes=5, samples=20, seed=0):
  """Sensitivity-n (Ancona et al., arXiv 1711.06104), in [-1, 1].

  The faithfulness correlation at several sizes n of the sets, from a
  hundredth to 0.8 of all pixels in equal ratios; the mean over n. Higher is
  better; it is 1 if the map's sums are the drops.

  Args:
    predict, images, maps: see `faithfulness`.
    sizes: number of sizes n.
    samples: number of sets of each size.
    seed: of the sets.

  Example:
    >>> removal_correlation.sensitivity_n(predict, images, maps).round(3)
    array([1., 1.])
  """
  return np.mean([faithfulness_correlation(
      predict, images, maps, samples, share, [seed, i])
      for i, share in enumerate(np.geomspace(.01, .8, sizes))], 0)


def mu_fidelity(predict, images, maps, cells=9, share=0.2, samples=50,
                seed=0):
  """MuFidelity (Bhatt et al., arXiv 2005.00631, as in Fel et al.'s Xplique).

  Spearman's correlation of sums and drops, in [-1, 1], over random sets of
  the cells of a grid. Higher is better.

  Args:
    predict, images, maps: see `faithfulness`.
    cells: of the grid along each side.
    share: of the cells that are in a set.
    samples: number of sets, the same for all pairs.
    seed: of the sets.

  Example:
    >>> removal_correlation.mu_fidelity(predict, images, maps).round(1)
    array([1., 1.])
  """
  random, (height, width) = np.random.default_rng(seed), np.shape(maps)[1:]
  rows, columns = (np.arange(n) * cells // n for n in (height, width))
  count = max(1, round(share * cells**2))
  return _correlations(*_sums_and_drops(predict, images, maps, (
      _random_pixels(random, (cells, cells), count)[rows][:, columns]
      for _ in range(samples))), ranks=True)


def faithfulness_estimate(predict, images, maps,
                          steps=faithfulness.STEPS):
  """Faithfulness estimate (Alvarez-Melis and Jaakkola, arXiv 1806.07538).

  Pearson's correlation of sums and drops, in [-1, 1], over the sets of the
  highest pixels, the next ones, and so on to the lowest, each removed alone.
  Higher is better.

  Args:
    predict, images, maps: see `faithfulness`.
    steps: number of sets, which have equal sizes. Pixels of the same value
      are taken in reading order.

  Example:
    >>> removal_correlation.faithfulness_estimate(predict, images, maps)
    array([1., 1.])
  """
  order = np.argsort(np.argsort(-np.reshape(maps, [len(maps), -1]),
                                kind="stable"), kind="stable")
  step = (order * steps // order.shape[1]).reshape(np.shape(maps))
  return _correlations(*_sums_and_drops(
      predict, images, maps, (step == s for s in range(steps))))


def monotonicity(predict, images, maps, steps=faithfulness.STEPS):
  """Monotonicity (Arya et al., AIX360, arXiv 1909.03012): 1 or 0.

  1 if the probability never falls while pixels are put onto an empty image
  (all 0), the lowest of the map first; else 0. Higher is better.

  Args:
    predict, images, maps: see `faithfulness`.
    steps: number of equal parts in which the pixels are put.

  Example:
    >>> removal_correlation.monotonicity(predict, images, maps)
    array([1., 1.])
  """
  values = faithfulness.curve(predict, np.zeros_like(images), images,
                              -np.asarray(maps, np.float64), steps)
  return (np.diff(values, axis=1) >= -1e-9).all(1).astype(float)
