"""Does a map show what the classifier used? Scores without ground truth.

Every score is one number for each of P pairs of an image and a class, `[P]`.

    maps: `[P, H, W]`, higher where a pixel is evidence for the class.
    images: `[P, H, W, C]`. Removed pixels become 0, so 0 should be a neutral
      colour: for most networks these are normalised images. Only the scores
      of masked images make pixels black, as their papers do.
    predict: `(images [n], pairs int [n]) -> [n]`, the classifier's
      probability, for each image, of the class of the pair. It is called with
      at most `BATCH` images.

Higher is better; of a drop, deletion, sensitivity or infidelity, lower is.
"""

import math

import numpy as np
from scipy import ndimage

BATCH = 32
STEPS = 10


def unit(maps):
  """Each map scaled to [0, 1]; a constant map becomes 0 everywhere.

  Example:
    >>> faithfulness.unit([[[2, 3], [4, 6]]]).tolist()
    [[[0.0, 0.25], [0.5, 1.0]]]
  """
  maps = np.asarray(maps, np.float64)
  low = maps.min((1, 2), keepdims=True)
  span = maps.max((1, 2), keepdims=True) - low
  return (maps - low) / np.where(span > 0, span, 1)


def keep_top(maps, dropped):
  """Maps whose lowest pixels, a share `dropped` of all, are set to 0.

  As in TAME (Ntrougkas et al., ISM 2022): of n pixels, those below the
  `floor(dropped n)`-th smallest value become 0. Then pixels equal to that
  value become 0, in reading order, until `ceil((1 - dropped) n)` pixels are
  positive.

  Args:
    maps: `[P, H, W]`, not negative.
    dropped: in [0, 1).

  Example:
    >>> faithfulness.keep_top([[[1., 2.], [2., 3.]]], 0.5).tolist()
    [[[0.0, 0.0], [2.0, 3.0]]]
  """
  if not 0 <= dropped < 1:
    raise ValueError(f"dropped must be in [0, 1), not {dropped}")
  out = np.array(maps, np.float64)
  count = out[0].size
  rank = math.floor(dropped * count)
  kept = math.ceil((1 - dropped) * count)
  for flat in out.reshape(len(out), -1) if rank else ():
    level = np.partition(flat, rank - 1)[rank - 1]
    flat[flat < level] = 0
    surplus = max(np.count_nonzero(flat > 0) - kept, 0)
    flat[np.flatnonzero(flat == level)[:surplus]] = 0
  return out


def ask(predict, images, pairs):
  """`predict` of all images, BATCH at once, float64 `[n]`."""
  parts = [predict(images[first:first + BATCH], pairs[first:first + BATCH])
           for first in range(0, len(images), BATCH)]
  return np.concatenate([np.asarray(p, np.float64) for p in parts])


def _pairs(maps):
  """The index of every pair, `[P]`."""
  return np.arange(len(maps))


def probabilities(predict, images):
  """The probabilities y of the images themselves, `[P]`."""
  return ask(predict, images, _pairs(images))


def masked_probabilities(predict, images, maps, dropped=0.0, black=0.0):
  """The probabilities y_masked of the images times their maps, `[P]`.

  The map is scaled to [0, 1], and its lowest pixels are set to 0 (`keep_top`).
  TAME and L-CAM keep 100, 50 and 15 %, that is, dropped is 0, 0.5 and 0.85.

  Args:
    predict, images, maps: see the top of this file.
    dropped: share of the pixels that are set to 0.
    black: the value of a black pixel in `images`, a number or `[C]`. The
      papers multiply images in [0, 1], before their normalisation, in which
      the pixels outside of the map become black.

  Example:
    >>> faithfulness.masked_probabilities(predict, images, maps)
    array([1., 1.])
  """
  return probabilities(predict, masked(images, maps, dropped, black))


def masked(images, maps, dropped=0.0, black=0.0):
  """The images times their maps; see `masked_probabilities`.

  Example:
    >>> faithfulness.masked(images, maps).shape
    (2, 8, 8, 1)
  """
  mask = keep_top(unit(maps), dropped).astype(images.dtype)[..., None]
  black = np.asarray(black, images.dtype)
  return black + (images - black) * mask


def average_drop(whole, masked):
  """Average drop (Chattopadhay et al., arXiv 1710.11063), in percent.

  `100 max(y - y_masked, 0) / y` of each pair. Lower is better.

  Args:
    whole: y, `[P]`.
    masked: y_masked, `[P]`.

  Example:
    >>> faithfulness.average_drop(np.array([.5, .8]), np.array([.25, .9]))
    array([50.,  0.])
  """
  return 100 * np.maximum(whole - masked, 0) / np.maximum(whole, 1e-12)


def increase_in_confidence(whole, masked):
  """Increase in confidence: 100 where `y_masked > y`, else 0.

  It is from the paper of `average_drop`, and has the same arguments.

  Example:
    >>> faithfulness.increase_in_confidence(np.array([.5, .8]),
    ...                                     np.array([.25, .9]))
    array([  0., 100.])
  """
  return 100.0 * (masked > whole)


def average_gain(whole, masked):
  """Average gain (Zhang et al., Opti-CAM, arXiv 2301.07002), in percent.

  `100 max(y_masked - y, 0) / (1 - y)` of each pair. It has the arguments of
  `average_drop`.

  Example:
    >>> faithfulness.average_gain(np.array([.5, .8]), np.array([.25, .9]))
    array([ 0., 50.])
  """
  return 100 * np.maximum(masked - whole, 0) / np.maximum(1 - whole, 1e-12)


def blurred(images, sigma):
  """Images blurred by a Gaussian of `sigma` pixels."""
  return ndimage.gaussian_filter(images, [0, sigma, sigma, 0],
                                 mode="nearest")


def curve(predict, images, others, maps, steps=STEPS):
  """The probability while pixels are replaced, highest of the map first.

  Args:
    predict, images, maps: see the top of this file.
    others: `[P, H, W, C]`, the new pixels.
    steps: number of equal parts in which the pixels are replaced. Pixels of
      the same value are replaced in reading order.
  Returns:
    `[P, steps + 1]`.
  """
  rank = np.argsort(np.argsort(-np.asarray(maps).reshape(len(maps), -1),
                               kind="stable"), kind="stable")
  count = rank.shape[1]
  rank = rank.reshape(np.shape(maps))[..., None]
  columns = [ask(predict, np.where(rank < count * step // steps, others,
                                   images), _pairs(maps))
             for step in range(steps + 1)]
  return np.stack(columns, 1)


def area(values):
  """Area under curves `[P, steps + 1]` over [0, 1], by trapezoids."""
  return (values[:, 1:] + values[:, :-1]).mean(1) / 2


def deletion(predict, images, maps, steps=STEPS):
  """Deletion (Petsiuk et al., RISE, arXiv 1806.07421): lower is better.

  The area under `curve` while the highest pixels are set to 0.

  Example:
    >>> faithfulness.deletion(predict, images, maps, steps=4)
    array([0.25, 0.25])
  """
  return area(curve(predict, images, np.zeros_like(images), maps, steps))


def deletion_blur(predict, images, maps, steps=STEPS):
  """Deletion by the blurred image instead of 0, without hard edges.

  Example:
    >>> faithfulness.deletion_blur(predict, images, maps, steps=4).round(2)
    array([0.98, 0.98])
  """
  return area(curve(predict, images, _blur_of(images), maps, steps))


def insertion(predict, images, maps, steps=STEPS):
  """Insertion (the same paper): higher is better.

  The area under `curve` while the highest pixels replace a blurred image's.

  Example:
    >>> faithfulness.insertion(predict, images, maps, steps=4).round(2)
    array([0.99, 0.99])
  """
  return area(curve(predict, _blur_of(images), images, maps, steps))


def _blur_of(images):
  """The images that stand for "no details" in insertion and deletion_blur."""
  return blurred(images, max(images.shape[1:3]) / 16)


def infidelity(predict, images, maps, samples=32, share=0.3, seed=0):
  """Infidelity (Yeh et al., arXiv 1901.09392): lower is better.

  `E_I (beta sum_I Phi - (y(x) - y(x without I)))^2 / E_I (y(x) - y(x without
  I))^2`, I random rectangles whose sides are up to `share` of the image's,
  and beta the best scale of the map (the authors' normalisation). It is 0 if
  the sums of the map are proportional to the drops, and 1 if they do not
  correlate.

  Args:
    predict, images, maps: see the top of this file.
    samples: number of rectangles.
    share: see above.
    seed: of the rectangles.

  Example:
    >>> faithfulness.infidelity(predict, images, maps).round(3)
    array([0., 0.])
  """
  random = np.random.default_rng(seed)
  height, width = images.shape[1:3]
  whole = ask(predict, images, _pairs(maps))
  sums, drops = [], []
  for _ in range(samples):
    tall = random.integers(1, max(2, round(share * height) + 1))
    wide = random.integers(1, max(2, round(share * width) + 1))
    top = random.integers(height - tall + 1)
    left = random.integers(width - wide + 1)
    part = slice(top, top + tall), slice(left, left + wide)
    without = images.copy()
    without[:, part[0], part[1]] = 0
    drops.append(whole - ask(predict, without, _pairs(maps)))
    sums.append(np.asarray(maps, np.float64)[:, part[0], part[1]].sum((1, 2)))
  sums, drops = np.stack(sums, 1), np.stack(drops, 1)
  energy = (sums**2).sum(1)
  beta = (sums * drops).sum(1) / np.where(energy > 0, energy, 1)
  rest = ((beta[:, None] * sums - drops)**2).sum(1)
  size = (drops**2).sum(1)
  return np.where(size > 0, rest / np.where(size > 0, size, 1), 1.0)

