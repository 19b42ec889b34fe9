"""Arithmetic on attribution maps `[B, height, width]`, or of clips
`[B, time, height, width]`.

Every function works on a batch, keeps the dtype, and can be differentiated
twice, since ATCON trains through these maps.
"""

import numpy as np
import tensorflow as tf

from atcon_tf.models import geometry

# How a map looks over an image, wherever it is drawn: the image in grey levels
# `GREY_FROM + GREY_RANGE * grey`; over it the colours of COLORMAP with the
# opacity `OPACITY_FROM + OPACITY_RANGE * map`, of a map in [0, 1].
GREY_FROM, GREY_RANGE = 0.25, 0.5
OPACITY_FROM, OPACITY_RANGE = 0.15, 0.75


def _spatial(m):
  """All axes but that of the batch."""
  return list(range(1, len(m.shape)))


def _centre(m):
  """`m - mean(m)` and the mean, `[B, 1, ...]`.

  The minimum is subtracted first (as a constant: it cancels out of the
  derivative). So a constant map gives exactly 0. Its mean alone would leave a
  rounding error, which `standardize` would divide by itself.
  """
  axes = _spatial(m)
  low = tf.stop_gradient(tf.reduce_min(m, axes, keepdims=True))
  rest = m - low
  mean = tf.reduce_mean(rest, axes, keepdims=True)
  return rest - mean, low + mean


def moments(m):
  """Mean and unbiased variance (divided by n - 1) of each map.

  Args:
    m: `[B, *spatial]`.
  Returns:
    mean and variance, both `[B, 1, ...]`.
  """
  rest, mean = _centre(m)
  n = tf.cast(tf.reduce_prod(tf.shape(m)[1:]), m.dtype)
  square = tf.reduce_sum(tf.square(rest), _spatial(m), keepdims=True)
  return mean, square / tf.maximum(n - 1, 1)


def constant(m):
  """Whether each map has one value everywhere, up to rounding; bool `[B]`."""
  low, high = (f(m, _spatial(m)) for f in (tf.reduce_min, tf.reduce_max))
  return high - low <= 1e-6 * tf.maximum(tf.abs(low), tf.abs(high))


def std(m):
  """Unbiased standard deviation of each map, `[B, 1, ...]`; 1 where it is 0.

  A constant map has the deviation 0, at which the derivative of the square
  root is infinite; 1 instead keeps values and gradients finite.
  """
  _, variance = moments(m)
  return tf.sqrt(tf.where(variance > 0, variance, tf.ones_like(variance)))


def standardize(m):
  """`(m - mean) / std` of each map; 0 everywhere for a constant map."""
  return _centre(m)[0] / std(m)


def min_max(m, epsilon=0.0):
  """`(m - min) / (max - min + epsilon)` of each map, in [0, 1].

  A constant map gives 0 everywhere. Minimum and maximum are differentiated.
  """
  axes = _spatial(m)
  low = tf.reduce_min(m, axes, keepdims=True)
  span = tf.reduce_max(m, axes, keepdims=True) - low + epsilon
  return (m - low) / tf.where(span > 0, span, tf.ones_like(span))


def soft_mask(m, intensity=8.0, scale="none"):
  """ATCON's soft mask `sigmoid(k (m - (mean(m) + std(m) / 2)))`.

  Args:
    m: `[B, *spatial]`, larger where a pixel matters more.
    intensity: the slope k.
    scale: "none", as in the paper's code; or "std": m is divided by its
      standard deviation first. A raw guided-backpropagation map of a small
      network is of the order 1e-3, and without scaling its mask is close to
      0.5 everywhere.
  Returns:
    the mask in (0, 1), of m's shape.
  """
  if scale == "std":
    m = m / std(m)
  mean, variance = moments(m)
  spread = tf.where(variance > 0, tf.sqrt(tf.where(
      variance > 0, variance, tf.ones_like(variance))), 0)
  return tf.sigmoid(intensity * (m - (mean + spread / 2)))


def pearson(a, b):
  """Pearson correlation of each pair of maps, `[B]`, in [-1, 1].

  0 where one of the two is constant.
  """
  axes = _spatial(a)
  a, b = _centre(a)[0], _centre(b)[0]
  squares = [tf.reduce_sum(m * m, axes) for m in (a, b)]
  varies = (squares[0] > 0) & (squares[1] > 0)
  # Two square roots: the product of the two sums of squares underflows in
  # float32 for small maps.
  norms = [tf.sqrt(tf.where(varies, s, tf.ones_like(s))) for s in squares]
  return tf.where(
      varies, tf.reduce_sum(a * b, axes) / norms[0] / norms[1], 0)


def ssim(a, b):
  """Structural similarity of each pair of maps, `[B]` (Wang et al., 2004).

  11x11 Gaussian window of sigma 1.5, zeros beyond the edge, C1 = 1e-4,
  C2 = 9e-4 (of a range of 1), local variances `E[q^2] - E[q]^2`; the mean
  over all pixels. The window of a clip is as long in time.
  """
  blurred = [_gaussian(m) for m in (a, b, a * a, b * b, a * b)]
  mean_a, mean_b, square_a, square_b, product = blurred
  covariance = product - mean_a * mean_b
  variances = square_a - mean_a**2 + square_b - mean_b**2
  score = ((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)) / (
      (mean_a**2 + mean_b**2 + 1e-4) * (variances + 9e-4))
  return tf.reduce_mean(score, _spatial(score))


def _gaussian(m):
  """The 11x11 Gaussian of SSIM as products with band matrices."""
  def band(size):
    distance = np.arange(size)[:, None] - np.arange(size)
    weight = np.exp(-distance**2 / (2 * 1.5**2)) * (np.abs(distance) <= 5)
    return weight / np.exp(-np.arange(-5, 6)**2 / (2 * 1.5**2)).sum()

  return geometry.along_axes(m, [band(n) for n in m.shape[1:]])


def pool(m, size):
  """Mean pooling of maps to a smaller `size`, `[B, *size]`.

  Each axis is cut into equal parts, and a cell is the mean over its part. A
  pixel on a border between parts counts for both by its share.
  """
  def matrix(pixels, cells):
    edge = np.arange(cells + 1)[:, None] * pixels / cells
    covered = np.clip(edge - np.arange(pixels), 0, 1)
    return (covered[1:] - covered[:-1]) * cells / pixels

  if tuple(m.shape[1:]) == tuple(size):
    return m
  return geometry.along_axes(m, [matrix(*pair) for pair in zip(
      m.shape[1:], size, strict=True)])
