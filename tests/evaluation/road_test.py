"""ROAD against numbers done by hand."""

import numpy as np
import pytest

from atcon_tf.evaluation.metrics import road


def _impute(rows, removed, **options):
  image = np.array(rows, float)[..., None]
  return road.impute(image, np.array(removed, bool), **options)[..., 0]


def test_a_pixel_is_the_mean_of_its_neighbours():
  # Sides 6 with 4/6 of the weight, corners 12 with 4/12: 4 + 4.
  image = [[12, 6, 12], [6, 0, 6], [12, 6, 12]]
  middle = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
  np.testing.assert_allclose(_impute(image, middle)[1, 1], 8)


def test_at_a_corner_the_weights_still_add_up_to_one():
  # (6 / 6 + 6 / 6 + 12 / 12) / (1/6 + 1/6 + 1/12) = 7.2
  np.testing.assert_allclose(
      _impute([[0, 6], [6, 12]], [[1, 0], [0, 0]]), [[7.2, 6], [6, 12]])


def test_removed_neighbours_are_solved_together():
  """Along a line the values between two known ones are linear."""
  np.testing.assert_allclose(
      _impute([[1, 0, 0, 4, 9]], [[0, 1, 1, 0, 0]]), [[1, 2, 3, 4, 9]])


def test_noise_falls_on_removed_pixels_alone():
  image = np.zeros([40, 40])
  removed = np.arange(1600).reshape(40, 40) % 2 == 0
  noisy = _impute(image, removed, noise=0.1, seed=1)
  assert (noisy[~removed] == 0).all()
  assert noisy[removed].std() == pytest.approx(0.1, rel=.1)
  np.testing.assert_array_equal(
      noisy, _impute(image, removed, noise=0.1, seed=1))


def test_nothing_and_everything_removed():
  np.testing.assert_array_equal(_impute([[1, 2]], [[0, 0]]), [[1, 2]])
  with pytest.raises(ValueError, match="every pixel is removed"):
    _impute([[1, 2]], [[1, 1]])


def test_road_of_a_sum():
  """y is the sum; the last pixel is all of it, and the highest of the map."""
  images = np.array([[[0.], [0.], [0.], [4.]]])[None]
  maps = np.array([[[1., 2., 3., 4.]]])
  predict = lambda x, pairs: x.sum((1, 2, 3))
  # A quarter: the lowest leaves 4, the highest becomes its neighbour's 0.
  options = dict(shares=[.25], noise=0)
  np.testing.assert_allclose(
      road.removal(predict, images, maps, **options), [[0]])
  np.testing.assert_allclose(road.removal(
      predict, images, maps, lowest_first=True, **options), [[4]])
  np.testing.assert_allclose(
      road.road(predict, images, maps, **options), [2])
  np.testing.assert_allclose(
      road.road(predict, images, -maps, **options), [-2])
