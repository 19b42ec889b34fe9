"""ROAD: remove and debias (Rong et al., arXiv 2202.00449).

The outline of pixels that are set to 0, or blurred, can itself reveal the
class. `impute` replaces removed pixels by an interpolation of their
neighbours plus a little noise instead. `predict`, `images` and `maps` are
those of `faithfulness`.
"""

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from atcon_tf.evaluation.metrics import faithfulness

# Shares of the pixels that are removed.
SHARES = (0.2, 0.4, 0.6, 0.8)
# The neighbours of a pixel and their weights, as in the authors' code: those
# beside, above and below have twice the weight of the diagonal ones.
_NEIGHBOURS = [((y, x), 1 / 12 if y and x else 1 / 6)
               for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]


def impute(image, removed, noise=0.0, seed=0):
  """Noisy linear imputation of the pixels of one image.

  Each removed pixel becomes the weighted mean of its up to eight neighbours.
  The weight is 1/6 for those beside, above and below, and 1/12 for the
  diagonal ones. As neighbours may be removed too, this is a system of linear
  equations.

  Args:
    image: `[H, W, C]`.
    removed: bool `[H, W]`; at least one pixel must stay.
    noise: standard deviation of the normal noise that is added to the removed
      pixels.
    seed: of the noise.
  Returns:
    `[H, W, C]` of the image's dtype; the other pixels are unchanged.
  Raises:
    ValueError: all pixels are removed.

  Example:
    >>> image = np.array([[[1.], [0.], [3.]]])
    >>> road.impute(image, np.array([[False, True, False]]))[0, :, 0]
    array([1., 2., 3.])
  """
  removed = np.asarray(removed, bool)
  if removed.all():
    raise ValueError("every pixel is removed: nothing to impute from")
  height, width = removed.shape
  rows, columns = np.nonzero(removed)
  number = np.full(removed.shape, -1)
  number[rows, columns] = np.arange(len(rows))
  known = np.zeros([len(rows), image.shape[-1]])
  weights, entries = np.zeros(len(rows)), []
  for (down, right), weight in _NEIGHBOURS:
    y, x = rows + down, columns + right
    inside = np.flatnonzero((y >= 0) & (y < height) & (x >= 0) & (x < width))
    weights[inside] += weight
    other = number[y[inside], x[inside]]
    given = inside[other < 0]
    known[given] += weight * image[y[given], x[given]]
    entries.append((inside[other >= 0], other[other >= 0], weight))
  i, j = (np.concatenate([e[k] for e in entries]) for k in (0, 1))
  values = np.concatenate([np.full(len(e[0]), -e[2]) for e in entries])
  size = len(rows), len(rows)
  matrix = sparse.diags(weights) + sparse.csc_matrix((values, (i, j)), size)
  out = image.copy()
  if len(rows):
    # The matrix is symmetric with a heavy diagonal, so no pivots are needed.
    solved = linalg.splu(
        matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0,
        options={"SymmetricMode": True}).solve(known)
    noise *= np.random.default_rng(seed).normal(size=solved.shape)
    out[rows, columns] = solved + noise
  return out


def removal(predict, images, maps, shares=SHARES, lowest_first=False,
            noise=0.01, seed=0):
  """The probability when the highest, or the lowest, pixels are imputed.

  Args:
    predict, images, maps: see `faithfulness`.
    shares: of the pixels that are removed, each in [0, 1).
    lowest_first: remove the lowest pixels; otherwise the highest.
    noise: of `impute`, as a share of the images' range.
    seed: of the noise.
  Returns:
    `[P, len(shares)]`.
  """
  order = np.asarray(maps).reshape(len(maps), -1) * (
      1 if lowest_first else -1)
  rank = np.argsort(np.argsort(order, kind="stable"), kind="stable").reshape(
      np.shape(maps))
  count = rank[0].size
  noise *= float(images.max() - images.min())
  columns = []
  for share in shares:
    changed = np.stack([
        impute(image, own < round(share * count), noise, [seed, number])
        for number, (image, own) in enumerate(zip(images, rank))])
    columns.append(faithfulness.ask(predict, changed, np.arange(len(images))))
  return np.stack(columns, 1)


def road(predict, images, maps, shares=SHARES, noise=0.01, seed=0):
  """ROAD, combined: higher is better.

  `mean_s (y_low(s) - y_high(s)) / 2`, y_low(s) the probability when the
  lowest share s of the pixels is imputed, and y_high(s) when the highest is.

  Args:
    predict, images, maps, shares, noise, seed: see `removal`.
  Returns:
    `[P]` in [-1/2, 1/2]; about 0 for a random map.

  Example:
    >>> score = road.road(predict, images, maps)
    >>> score.shape
    (2,)
  """
  low, high = (removal(predict, images, maps, shares, lowest_first, noise,
                       seed) for lowest_first in (True, False))
  return (low - high).mean(1) / 2
