"""Does a map depend on what was learned? (Adebayo et al., arXiv 1810.03292)

A map that stays the same when the weights, or the labels that they were
trained on, become random explains the image and not the classifier.

    rows = parameter_randomization(explain, randomize, layers)
    verdict([row["similarity"] for row in rows])          # "passes"
"""

import numpy as np
from scipy import ndimage
from scipy import stats

from atcon_tf.evaluation.metrics import faithfulness

# The similarity, with all weights random, below which a method passes and
# above which it fails. The structure of a convolutional network alone gives
# some similarity.
PASSES, FAILS = 0.3, 0.6


def similarity(first, second, absolute=True):
  """Spearman correlation of |map| of two sets of maps, `[P]`.

  Absolute values are compared, since a gradient may change its sign
  everywhere. The correlation is 0 if one of the two maps is constant.

  Args:
    first, second: `[P, H, W]`.
    absolute: False: of the maps themselves.

  Example:
    >>> sanity.similarity(maps, 3 * maps)
    array([1., 1.])
  """
  result = np.zeros(len(first))
  if absolute:
    first, second = np.abs(first), np.abs(second)
  for pair, (a, b) in enumerate(zip(first, second)):
    a, b = (stats.rankdata(m) for m in (a, b))
    if a.std() and b.std():
      result[pair] = np.corrcoef(a, b)[0, 1]
  return result


def ssim(first, second):
  """Structural similarity of two sets of maps, `[P]`, in [-1, 1].

  Wang et al., "Image quality assessment", TIP 2004, of each map scaled to
  [0, 1]: an 11 x 11 Gaussian window of sigma 1.5, C1 = 1e-4, C2 = 9e-4, the
  mean over all pixels; the edge is mirrored. 1: the maps are the same.

  Args:
    first, second: `[P, H, W]`.

  Example:
    >>> sanity.ssim(maps, 3 * maps + 1)
    array([1., 1.])
  """
  a, b = faithfulness.unit(first), faithfulness.unit(second)
  mean_a, mean_b, square_a, square_b, product = (
      ndimage.gaussian_filter(m, [0, 1.5, 1.5], radius=[0, 5, 5])
      for m in (a, b, a * a, b * b, a * b))
  covariance = product - mean_a * mean_b
  variances = square_a - mean_a**2 + square_b - mean_b**2
  values = ((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)) / (
      (mean_a**2 + mean_b**2 + 1e-4) * (variances + 9e-4))
  return values.mean((1, 2))


def parameter_randomization(explain, randomize, layers, restore=None):
  """Cascading randomisation, from the logits down; or of one layer each.

  Args:
    explain: a function without arguments that returns the maps `[P, H, W]`
      of the network with its present weights.
    randomize: `layer -> None`, makes one layer's weights random.
    layers: names, the one nearest to the logits first.
    restore: `() -> None`, puts all trained weights back. It is called after
      each layer (independent randomisation); None: a layer stays random, and
      the next one becomes so, too (cascading).
  Returns:
    `[{"layer", "similarity", "ssim"}, ...]`: the mean `similarity` and `ssim`
    of the maps to those of the trained network, when this layer, and, when
    cascading, all before it are random.

  Example:
    >>> weights = {"conv": maps.copy(), "logits": maps.copy()}
    >>> rows = sanity.parameter_randomization(
    ...     lambda: weights["conv"] * weights["logits"],
    ...     lambda layer: random.shuffle(weights[layer].reshape(-1)),
    ...     ["logits", "conv"])
    >>> [row["layer"] for row in rows]
    ['logits', 'conv']
  """
  trained = np.asarray(explain())
  rows = []
  for layer in layers:
    randomize(layer)
    maps = np.asarray(explain())
    rows.append({"layer": layer,
                 "similarity": float(similarity(trained, maps).mean()),
                 "ssim": float(ssim(trained, maps).mean())})
    if restore:
      restore()
  return rows


def data_randomization(maps, maps_of_random_labels):
  """Similarity of the maps of two networks of the same images.

  Args:
    maps: `[P, H, W]` of the network trained on the labels.
    maps_of_random_labels: `[P, H, W]` of one trained on the labels in random
      order.
  Returns:
    float, the mean similarity.

  Example:
    >>> round(sanity.data_randomization(maps, maps[:, :, ::-1]), 3)
    -1.0
  """
  return float(similarity(maps, maps_of_random_labels).mean())


def verdict(similarities):
  """"passes", "fails" or "unclear".

  Args:
    similarities: after each stage of randomisation, or one number. The
      verdict is that of the last one, when all weights are random.

  Example:
    >>> sanity.verdict([0.9, 0.5, 0.1])
    'passes'
  """
  last = float(np.ravel(similarities)[-1])
  if not np.isfinite(last):
    return "unclear"
  return "passes" if last < PASSES else (
      "fails" if last > FAILS else "unclear")
