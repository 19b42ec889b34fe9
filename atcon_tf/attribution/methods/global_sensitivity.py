"""Sobol and HSIC: which cells of an image does the output depend on?

Both multiply the image by masks of a grid of cells, quasi-random ones (a Sobol
sequence, which fills the space of masks evenly), and relate y_c to each cell's
value in the mask. Neither needs a gradient.

    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    masks: the budget, at most so many masks for an image.
    cells: number of cells of a mask along each side.
    times: of clips, number of cells along time; at most one a frame.
    output: what y_c is: the "probability" of the class (a softmax), its
      "sigmoid" or its "logit".
    seed: of the sequence's scrambling; None: it is not scrambled, which is a
      poor choice for few masks.
    batch_size: most images in the network at once.
"""

import math

import numpy as np
from scipy.stats import qmc
import tensorflow as tf

from atcon_tf.attribution.methods import perturbation
from atcon_tf.attribution import variations
from atcon_tf.config import UserError
from atcon_tf.models import geometry

MASKS = {"sobol": 800, "hsic": 512}


def sobol(pass_, class_index, masks=MASKS["sobol"], cells=7, times=4,
          output="probability", seed=0, batch_size=32):
  """Sobol attribution (Fel et al., NeurIPS 2021, arXiv 2111.04138).

  The total Sobol index of a cell i: the share of the variance of y_c under
  random masks that is lost if i is fixed, alone or together with others. By
  Jansen's estimator it is

      S_i = 1 / (2 N) sum_n (y_c(x A_n) - y_c(x A_n^i))^2 / Var_n y_c(x A_n)

  A_n a mask in [0, 1]^cells and A_n^i the same with another value in cell i.
  With d cells, N is the largest power of two with `N (d + 1) <= masks`. (Others
  run N (d + 2) masks; Jansen's estimator does not read the last N.)

  Args:
    pass_, class_index, masks, cells, times, output, seed, batch_size: see the
      top of this file.
  Returns:
    `[B, H, W]`, not negative.
  Raises:
    UserError: too few masks for the cells.

  Example:
    >>> attribution.explain(classifier, images, "sobol", masks=40,
    ...                     cells=4).shape
    TensorShape([2, 32, 32])
  """
  grid = _grid(pass_.normalized.shape[1:-1], cells, times)
  count = math.prod(grid)
  designs = _designs(masks, count)
  points = _sequence(designs, 2 * count, seed)
  first, other = points[:, :count], points[:, count:]
  own = np.eye(count, dtype=bool)[:, None]
  table = np.concatenate([first[None], np.where(own, other, first)])
  answers = _answers(pass_, class_index, table.reshape(-1, count), grid,
                     output, batch_size)
  answers = tf.reshape(answers, [-1, count + 1, designs])
  whole, changed = answers[:, :1], answers[:, 1:]
  variance = tf.math.reduce_variance(whole, -1) * designs / (designs - 1)
  index = tf.math.divide_no_nan(
      tf.reduce_mean(tf.square(whole - changed), -1) / 2, variance)
  return _paint(index, grid, pass_)


def hsic(pass_, class_index, masks=MASKS["hsic"], cells=7, times=4,
         output="probability", seed=0, batch_size=32):
  """HSIC attribution (Novello, Fel, Vigouroux, NeurIPS 2022, 2206.06219).

  How much y_c depends on a cell of random binary masks, as the
  Hilbert-Schmidt independence criterion `tr(K H L H) / N^2` measures it: K
  compares the cell's value in two masks (equal or not), L the outputs, by
  `exp(-(y - y')^2 / (2 s^2))`, H centres. s is the standard deviation of y_c
  over the masks. (The authors take the median of the y_c, which means nothing
  for logits around 0.) It needs far fewer masks than `sobol`.

  Args:
    pass_, class_index, masks, cells, times, output, seed, batch_size: see the
      top of this file.
  Returns:
    `[B, H, W]`, not negative.
  Raises:
    UserError: fewer than 2 masks.

  Example:
    >>> attribution.explain(classifier, images, "hsic", masks=40,
    ...                     cells=4).shape
    TensorShape([2, 32, 32])
  """
  if masks < 2:
    raise UserError("masks", masks, "must be at least 2")
  grid = _grid(pass_.normalized.shape[1:-1], cells, times)
  table = (_sequence(masks, math.prod(grid), seed) > .5).astype(np.float32)
  answers = _answers(pass_, class_index, table, grid, output, batch_size)
  spread = tf.math.reduce_std(answers, -1)[:, tf.newaxis, tf.newaxis]
  apart = tf.math.divide_no_nan(
      answers[:, :, tf.newaxis] - answers[:, tf.newaxis], spread)
  alike = tf.exp(-tf.square(apart) / 2)
  # K is 1 + 1/2 - (m - m')^2; of m in {0, 1}, H K H = 2 (H m) (H m)^T.
  centred = tf.constant(table - table.mean(0), answers.dtype)
  score = 2 / masks**2 * tf.reduce_sum(
      centred * tf.einsum("bnm,mi->bni", alike, centred), 1)
  return _paint(score, grid, pass_)


def passes(method, extent):
  """Forward passes of an image, by default options.

  Args:
    method: "sobol" or "hsic".
    extent: of a `models.Classifier`.
  """
  if method == "hsic":
    return MASKS[method]
  count = math.prod(_grid(extent, 7, 4))
  return _designs(MASKS[method], count) * (count + 1)


def _grid(size, cells, times):
  """Numbers of cells along the axes of an image, or of a clip."""
  perturbation.at_least_one(cells=cells, times=times)
  return [*(min(times, n) for n in size[:-2]),
          *(min(cells, n) for n in size[-2:])]


def _designs(masks, count):
  """N of `sobol`."""
  if masks < 2 * (count + 1):
    raise UserError("masks", masks, f"must be at least {2 * (count + 1)}, "
                    f"2 for each of {count} cells and 2 for all")
  return 1 << int(math.log2(masks // (count + 1)))


def _sequence(count, dimensions, seed):
  """The first points of a Sobol sequence, `[count, dimensions]` in [0, 1)."""
  draw = qmc.Sobol(dimensions, scramble=seed is not None, seed=seed)
  points = draw.random_base2(math.ceil(math.log2(count)))
  return points[:count].astype(np.float32)


def _answers(pass_, class_index, table, grid, output, batch_size):
  """y_c of each image under each mask of a table, `[B, masks]`."""
  x = pass_.normalized
  table = tf.constant(table.reshape(-1, *grid), x.dtype)

  def score(image, sample):
    mask = tf.gather(table, sample)
    for axis, (cells, pixels) in enumerate(zip(grid, x.shape[1:-1])):
      mask = tf.gather(mask, np.arange(pixels) * cells // pixels,
                       axis=axis + 1)
    return perturbation.masked_score(pass_, class_index, image, mask, output)

  return variations.scores(score, pass_.logits, table.shape[0], batch_size)


def _paint(values, grid, pass_):
  """Values `[B, cells]`, enlarged to the size of the image."""
  return geometry.resize(tf.reshape(values, [-1, *grid]),
                         pass_.normalized.shape[1:-1])
