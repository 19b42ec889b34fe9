"""Superpixels, parts of similar colour, and IROF, which removes them."""

import numpy as np

from atcon_tf.evaluation.metrics import faithfulness


def slic(image, count=64, compactness=10.0, rounds=5):
  """Superpixels by k-means of colours and places (SLIC).

  Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel
  methods", TPAMI 2012: the distance of a pixel from a centre is
  `d_c^2 + (compactness / S)^2 d_s^2`, d_c that of the colours (each image's
  own range is 100), d_s that of the places in pixels and S the distance of
  two centres at the start, on a grid. Unlike there, all centres compete for
  every pixel, and a part may be in several pieces.

  Args:
    image: `[H, W, C]`, of any range.
    count: about how many parts.
    compactness: see above.
    rounds: of k-means.
  Returns:
    int `[H, W]`, the number of each pixel's part, from 0 on without gaps.

  Example:
    >>> segment_removal.slic(images[0], count=4).shape
    (8, 8)
  """
  image = np.asarray(image, np.float64)
  height, width = image.shape[:2]
  span = np.ptp(image)
  spacing = np.sqrt(height * width / count)
  place = np.stack(np.mgrid[:height, :width], -1) * (compactness / spacing)
  values = np.concatenate([100 * image / (span or 1), place], -1)
  rows, columns = (max(1, round(n / spacing)) for n in (height, width))
  y, x = np.arange(height) * rows // height, np.arange(width) * columns // width
  part = (y[:, None] * columns + x).ravel()
  values = values.reshape(height * width, -1)
  for _ in range(rounds):
    part = np.unique(part, return_inverse=True)[1]
    sizes = np.bincount(part)
    centres = np.stack([np.bincount(part, column) / sizes
                        for column in values.T], 1)
    # |v - c|^2 less |v|^2, which is the same for all centres.
    part = ((centres**2).sum(1) - 2 * values @ centres.T).argmin(1)
  return np.unique(part, return_inverse=True)[1].reshape(height, width)


def irof(predict, images, maps, count=64):
  """IROF (Rieger and Hansen, arXiv 2003.08747): higher is better.

  The superpixels of an image are replaced one after the other by its mean
  colour, the one with the highest mean of the map first. IROF is the area
  over the curve of `y / y(x)`, over [0, 1]: `1 - area`, at most 1, and
  negative if the probability grows.

  Args:
    predict, images, maps: see `faithfulness`.
    count: about how many superpixels an image has.
  Returns:
    `[P]`.

  Example:
    >>> segment_removal.irof(predict, images, maps, count=4).round(3)
    array([0.375, 0.375])
  """
  result = np.zeros(len(images))
  for pair, (image, heat) in enumerate(zip(
      images, np.asarray(maps, np.float64))):
    part = slic(image, count)
    sizes = np.bincount(part.ravel())
    means = np.bincount(part.ravel(), heat.ravel()) / sizes
    rank = np.empty(len(sizes), int)
    rank[np.argsort(-means, kind="stable")] = np.arange(len(sizes))
    colour = image.mean((0, 1)).astype(image.dtype)
    steps = np.stack([np.where((rank[part] < step)[..., None], colour, image)
                      for step in range(len(sizes) + 1)])
    values = faithfulness.ask(predict, steps, np.full(len(steps), pair))
    result[pair] = 1 - faithfulness.area(
        values[None] / max(values[0], 1e-12))[0]
  return result
