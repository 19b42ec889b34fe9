"""RandAugment: what is drawn, where pixels move, how colours change."""

import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.data import augment
from atcon_tf.data import rand_augment

SEED = tf.constant([3, 4], tf.int64)
N = len(rand_augment.OPERATIONS)


def _photo(batch=8, size=12):
  rng = np.random.default_rng(2)
  return tf.constant(rng.uniform(.1, .9, [batch, size, size, 3]), tf.float32)


def _one(name, sign=1., batch=8):
  """The draw in which each image has this operation, and then none."""
  number = rand_augment.OPERATIONS.index(name)
  return (tf.constant([[number] * batch, [0] * batch], tf.int64),
          tf.constant([[sign] * batch] * 2, tf.float32))


def test_two_of_fourteen_for_each_image():
  operations, direction = rand_augment.draw(5000, SEED)
  assert operations.shape == direction.shape == (2, 5000)
  share = np.bincount(operations.numpy().ravel(), minlength=N) / 10000
  np.testing.assert_allclose(share, 1 / 14, atol=.015)
  assert set(np.unique(direction)) == {-1, 1}
  again, _ = rand_augment.draw(5000, SEED)
  np.testing.assert_array_equal(operations, again)


@pytest.mark.parametrize("name", rand_augment.OPERATIONS)
def test_each_operation_changes_pixels_or_colours(name):
  image = _photo()
  found = rand_augment.colours(image, *_one(name)).numpy()
  matrix = rand_augment.moves(*_one(name), 12).numpy()
  moved = np.abs(matrix - np.eye(3)).max() > .05
  changed = np.abs(found - image).max() > .01
  assert (moved, changed) == (name in rand_augment.MOVES,
                              name in rand_augment.COLOURS)
  assert found.min() >= 0 and found.max() <= 1


def test_moves_by_hand():
  """About the centre, 4.5 of 10 pixels; strength 9 of 10."""
  def matrix(name, sign=1.):
    return rand_augment.moves(*_one(name, sign, 1), 10).numpy()[0]
  np.testing.assert_allclose(matrix("translate_x"), [
      [1, 0, .45 * .9 * 10], [0, 1, 0], [0, 0, 1]], atol=1e-6)
  turned = matrix("rotate", -1.)
  np.testing.assert_allclose(turned @ [4.5, 4.5, 1], [4.5, 4.5, 1], atol=1e-5)
  np.testing.assert_allclose(turned[0, 1], np.sin(np.radians(27)), atol=1e-6)
  np.testing.assert_allclose(matrix("shear_x")[0], [1, .27, -.27 * 4.5],
                             atol=1e-6)
  both = tf.constant([[rand_augment.OPERATIONS.index("translate_x")],
                      [rand_augment.OPERATIONS.index("translate_y")]], tf.int64)
  np.testing.assert_allclose(
      rand_augment.moves(both, tf.ones([2, 1]), 10)[0, :2, 2], 4.05, atol=1e-5)


def test_colours_by_hand():
  image = np.tile(np.float32([[[[.2, .3, .4], [.6, .5, .4]]]]), [1, 4, 2, 1])
  def first(name, sign=1.):
    return rand_augment.colours(
        tf.constant(image), *_one(name, sign, 1)).numpy()[0, 0, 0]
  grey = .2989 * .2 + .5870 * .3 + .1140 * .4
  np.testing.assert_allclose(
      first("color", -1.), grey + (np.array([.2, .3, .4]) - grey) * .19,
      atol=1e-3)
  np.testing.assert_allclose(first("brightness"), [.362, .543, .724],
                             atol=1e-5)
  # Stretched by channel; the third channel is flat and stays.
  np.testing.assert_allclose(first("autocontrast"), [0, 0, .4], atol=1e-5)
  np.testing.assert_allclose(first("solarize"), [.8, .7, .6], atol=1e-5)
  # 4 of 8 bits: 51 -> 48, 76 -> 64, 102 -> 96.
  np.testing.assert_allclose(first("posterize"), np.array([48, 64, 96]) / 255,
                             atol=1e-5)


def test_equalize_by_hand():
  """Levels 10, 10, 20, 30 of a channel: 2 at the lowest, 1 and 2 above it."""
  image = np.zeros([2, 4, 4, 3], np.float32)
  image[0, ..., 0] = np.tile([[10, 10], [20, 30]], [2, 2]) / 255
  image[0, ..., 1] = .25  # one level: it stays
  image[1] = np.random.default_rng(0).uniform(size=[4, 4, 3])
  found = rand_augment.colours(tf.constant(image), *_one("equalize", batch=2))
  np.testing.assert_allclose(
      found[0, ..., 0], np.tile([[0, 0], [.5, 1]], [2, 2]), atol=1e-6)
  np.testing.assert_allclose(found[0, ..., 1], 64 / 255, atol=1e-6)
  alone = rand_augment.colours(tf.constant(image[1:]), *_one(
      "equalize", batch=1))
  np.testing.assert_array_equal(alone[0], found[1])


def test_the_transform_follows():
  """The mask of an image moves as the image does, and with the crop."""
  size = 15
  ramp = np.broadcast_to(np.arange(size) / size, [size, size])
  image = tf.constant(np.stack([ramp, ramp.T, 0 * ramp], -1)[np.newaxis].repeat(
      200, 0), tf.float32)
  changes = ("crop", "flip", "randaugment")
  _, transform = augment.distort(image, changes, SEED)
  plain = augment.random_transform(200, size, ("crop", "flip"), SEED)
  operations, _ = rand_augment.draw(200, augment._rand_augment_seed(SEED))
  moved = np.isin(operations.numpy(), [
      rand_augment.OPERATIONS.index(m) for m in rand_augment.MOVES]).any(0)
  # Two equal moves may take each other back.
  operations = operations.numpy()
  other = operations[0] != operations[1]
  plain, transform, moved = (x[other] for x in (
      plain.numpy(), transform.numpy(), moved))
  same = np.abs(transform - plain).max(1) < 1e-5
  np.testing.assert_array_equal(same, ~moved)
  assert 40 < moved.sum() < 180
  found, transform = augment.distort(image, changes, SEED)
  warped = augment.warp(image, transform).numpy()
  still = ~np.isin(operations, [
      rand_augment.OPERATIONS.index(c) for c in rand_augment.COLOURS]).any(0)
  np.testing.assert_allclose(found.numpy()[still], warped[still], atol=1e-5)
