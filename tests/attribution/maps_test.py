"""Map arithmetic against numbers by hand, TensorFlow's own and finite
differences."""

import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.attribution import maps
from atcon_tf.models import geometry

# Rows 0 2 / 4 6: mean 3, squared distances 9 1 1 9, variance 20 / 3.
SQUARE = tf.constant([[[0., 2.], [4., 6.]]], tf.float64)
# Among them values whose mean over 7x7 cells is rounded in float32.
CONSTANTS = (0.0, 0.07, 0.11, -3e4, 1e-20)


def _random(*shape, seed=0):
  return tf.constant(np.random.default_rng(seed).normal(size=shape))


def _check_second_order(function, *arguments, delta=1e-5):
  """The Hessian of a weighted sum of `function` by finite differences."""
  weights = _random(*function(*arguments).shape, seed=9)

  def gradient(*x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      value = tf.reduce_sum(weights * function(*x))
    return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(value, x)],
                     0)

  assert np.abs(gradient(*arguments)).max() > 0
  for exact, numeric in zip(
      *tf.test.compute_gradient(gradient, list(arguments), delta)):
    np.testing.assert_allclose(exact, numeric, atol=1e-6, rtol=1e-5)


def test_moments_by_hand():
  mean, variance = maps.moments(SQUARE)
  assert mean.shape == variance.shape == [1, 1, 1]
  np.testing.assert_allclose(mean, [[[3]]])
  np.testing.assert_allclose(variance, [[[20 / 3]]])
  np.testing.assert_allclose(maps.std(SQUARE), [[[(20 / 3) ** .5]]])


def test_each_map_of_a_batch_has_its_own_moments():
  m = tf.concat([SQUARE, 10 * SQUARE + 1], 0)
  mean, variance = maps.moments(m)
  np.testing.assert_allclose(tf.reshape(mean, [-1]), [3, 31])
  np.testing.assert_allclose(tf.reshape(variance, [-1]), [20 / 3, 2000 / 3])


def test_one_cell_is_constant():
  mean, variance = maps.moments(tf.constant([[[5.]]]))
  assert (mean.numpy().item(), variance.numpy().item()) == (5, 0)
  np.testing.assert_array_equal(maps.standardize(tf.constant([[[5.]]])), 0)


def test_standardize_by_hand():
  expected = np.array([[[-3, -1], [1, 3]]]) / (20 / 3) ** .5
  np.testing.assert_allclose(maps.standardize(SQUARE), expected)


def test_min_max_by_hand():
  np.testing.assert_allclose(maps.min_max(SQUARE),
                             [[[0, 1 / 3], [2 / 3, 1]]])
  # Span 6, and 2 added: a quarter of the range is lost.
  np.testing.assert_allclose(maps.min_max(SQUARE, 2.0),
                             [[[0, 1 / 4], [1 / 2, 3 / 4]]])


@pytest.mark.parametrize("scale", ["none", "std"])
def test_soft_mask_by_hand(scale):
  spread = (20 / 3) ** .5
  m = np.array([[[0, 2], [4, 6]]])
  threshold = 3 + spread / 2
  if scale == "std":  # the map divided by its spread has a spread of 1
    m, threshold = m / spread, 3 / spread + 1 / 2
  np.testing.assert_allclose(
      maps.soft_mask(SQUARE, 8.0, scale),
      1 / (1 + np.exp(-8 * (m - threshold))))


def test_a_scaled_soft_mask_does_not_see_the_size_of_the_map():
  m = _random(2, 5, 5)
  np.testing.assert_allclose(maps.soft_mask(m, 8.0, "std"),
                             maps.soft_mask(1e-3 * m, 8.0, "std"))
  # Unscaled, a small map gives a mask that masks nothing.
  np.testing.assert_allclose(maps.soft_mask(1e-3 * m), np.full(m.shape, .5),
                             atol=.01)


def test_pearson_by_hand():
  # Distances from the mean -1 0 1 and -1 -1 2: 3 / sqrt(2 * 6).
  a = tf.constant([[[0., 1., 2.]]])
  b = tf.constant([[[1., 1., 4.]]])
  np.testing.assert_allclose(maps.pearson(a, b), [3 / 12 ** .5], rtol=1e-6)
  np.testing.assert_allclose(maps.pearson(a, 5 - 2 * a), [-1], rtol=1e-6)
  np.testing.assert_allclose(maps.pearson(a, a), [1], rtol=1e-6)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_pearson_of_small_and_large_maps_in_float32(size):
  a, b = (tf.cast(_random(3, 7, 7, seed=s), tf.float32) for s in (0, 1))
  expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1]
              for x, y in zip(a.numpy(), b.numpy())]
  np.testing.assert_allclose(maps.pearson(size * a, size * b), expected,
                             rtol=1e-4)


@pytest.mark.parametrize("value", CONSTANTS)
def test_constant_maps(value):
  """Their own values, and gradients that are finite."""
  constant = tf.fill([1, 7, 7], tf.constant(value, tf.float32))
  varied = tf.cast(_random(1, 7, 7), tf.float32)
  cases = {
      "std": (maps.std, 1),
      "standardize": (maps.standardize, 0),
      "min_max": (maps.min_max, 0),
      "soft_mask": (maps.soft_mask, .5),
      "soft_mask, std": (lambda m: maps.soft_mask(m, scale="std"), .5),
      "pearson, other": (lambda m: maps.pearson(m, varied), 0),
      "pearson, itself": (lambda m: maps.pearson(m, m), 0),
  }
  for name, (function, expected) in cases.items():
    with tf.GradientTape() as outer:
      outer.watch(constant)
      with tf.GradientTape() as inner:
        inner.watch(constant)
        found = function(constant)
        weights = tf.cast(_random(*found.shape, seed=9), tf.float32)
        total = tf.reduce_sum(found * weights)
      first = inner.gradient(total, constant)
      again = tf.reduce_sum(first * first)
    np.testing.assert_array_equal(found, np.full(found.shape, expected), name)
    assert np.isfinite(first).all(), name
    second = outer.gradient(again, constant)
    assert second is None or np.isfinite(second).all(), name


@pytest.mark.parametrize("function", [
    lambda m: maps.moments(m)[1], maps.std, maps.standardize, maps.min_max,
    maps.soft_mask, lambda m: maps.soft_mask(m, 3.0, "std"),
    lambda m: maps.pearson(m, tf.tanh(m + _random(2, 2, 3, seed=4))),
    lambda m: tf.square(geometry.resize(m, (5, 4))),
], ids=["variance", "std", "standardize", "min_max", "soft_mask",
        "soft_mask_std", "pearson", "resize"])
def test_second_order(function):
  _check_second_order(function, _random(2, 2, 3))


# Resizing.


def test_resize_aligned_by_hand():
  np.testing.assert_allclose(
      geometry.resize(SQUARE, (3, 3), geometry.ALIGNED),
      [[[0, 1, 2], [2, 3, 4], [4, 5, 6]]])


def test_resize_half_pixel_by_hand():
  # Pixel i lies at cell (i + .5) / 2 - .5 = -.25 .25 .75 1.25 of 0 .. 1.
  row = [0, .5, 1.5, 2]
  np.testing.assert_allclose(
      geometry.resize(SQUARE, (4, 4)), [np.add.outer([0, 1, 3, 4], row)])


def test_resize_geometry_by_hand():
  # Columns: cells at pixels 1 and 3. Rows: at pixels 0 and 4.
  np.testing.assert_allclose(
      geometry.resize(SQUARE, (5, 5), ((0, 4), (1, 2))),
      [np.add.outer([0, 1, 2, 3, 4], [0, 0, 1, 2, 2])])


@pytest.mark.parametrize("cells, size", [
    ((3, 4), (11, 8)), ((7, 7), (5, 3)), ((1, 2), (4, 6)), ((4, 4), (4, 4)),
    ((2, 3), (1, 1))])
def test_resize_like_tensorflow(cells, size):
  m = tf.cast(_random(2, *cells), tf.float32)
  np.testing.assert_allclose(
      geometry.resize(m, size)[..., tf.newaxis],
      tf.image.resize(m[..., tf.newaxis], size), atol=1e-6)
  np.testing.assert_allclose(
      geometry.resize(m, size, geometry.ALIGNED)[..., tf.newaxis],
      tf.compat.v1.image.resize_bilinear(m[..., tf.newaxis], size,
                                         align_corners=True), atol=1e-6)


def test_named_alignments_are_geometries():
  # 4 cells of 5 pixels each; 4 cells from pixel 0 to pixel 18.
  m = _random(1, 4, 4)
  np.testing.assert_allclose(geometry.resize(m, (20, 20)),
                             geometry.resize(m, (20, 20), ((2, 5), (2, 5))))
  np.testing.assert_allclose(geometry.resize(m, (19, 19), geometry.ALIGNED),
                             geometry.resize(m, (19, 19), ((0, 6), (0, 6))))


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_dtype_is_kept(dtype):
  m = tf.cast(SQUARE, dtype)
  for found in (maps.standardize(m), maps.min_max(m), maps.soft_mask(m),
                maps.pearson(m, m), geometry.resize(m, (3, 5))):
    assert found.dtype == dtype
