"""Random changes of images: windows, mirrors, turns and colours by hand."""

import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.config import settings
from atcon_tf.data.augment import _cut_out
from atcon_tf.data.augment import _jitter
from atcon_tf.data.augment import distort
from atcon_tf.data.augment import GREY
from atcon_tf.data.augment import random_transform
from atcon_tf.data.augment import warp

SEED = tf.constant([3, 4], tf.int64)


def _photo(batch=64, size=9):
  rng = np.random.default_rng(2)
  return tf.constant(rng.uniform(size=[batch, size, size, 3]), tf.float32)


def _distorted(image, augment, seed=SEED, **options):
  return distort(image, augment, seed, **options)[0].numpy()


def test_nothing_asked_nothing_changed():
  image = _photo()
  np.testing.assert_array_equal(_distorted(image, ()), image)


@pytest.mark.parametrize("name, flipped", [
    ("flip", lambda x: x[:, :, ::-1]), ("vertical_flip", lambda x: x[:, ::-1])])
def test_flips(name, flipped):
  image = _photo().numpy()
  found = _distorted(tf.constant(image), (name,))
  same = np.abs(found - image).max((1, 2, 3)) < 1e-6
  mirrored = np.abs(found - flipped(image)).max((1, 2, 3)) < 1e-6
  np.testing.assert_array_equal(same, ~mirrored)
  assert 16 < mirrored.sum() < 48  # of 64, half of them expected


def test_each_augmentation_changes_the_image():
  image = _photo()
  for name in settings.AUGMENTATIONS:
    assert np.abs(_distorted(image, (name,)) - image).max() > .01, name


def test_crop_window():
  """Corners of the output, where they lie on the input."""
  size, area = 11, .3
  t = random_transform(500, size, ("crop",), SEED, area).numpy()
  first = np.stack([t[:, 2], t[:, 5]], 1)
  scale = np.stack([t[:, 0], t[:, 4]], 1)
  last = first + scale * (size - 1)
  np.testing.assert_array_equal(t[:, [1, 3, 6, 7]], 0)
  assert first.min() >= -1e-5 and last.max() <= size - 1 + 1e-5
  share = scale.prod(1)
  assert share.min() >= area - 1e-6 and share.max() <= 1 + 1e-6
  ratio = scale[:, 0] / scale[:, 1]
  assert ratio.min() >= .75 - 1e-6 and ratio.max() <= 4 / 3 + 1e-6
  # Windows of all sizes, everywhere.
  assert share.min() < .35 and share.max() > .9
  assert first.min(0).max() < .2 and first.max(0).min() > 2
  assert ratio.min() < .8 and ratio.max() > 1.25


def test_crop_shows_the_window():
  # Brightness is the column in one channel, the row in another: bilinear
  # interpolation gives back the very position.
  size = 11
  ramp = np.broadcast_to(np.arange(size) / size, [size, size])
  image = np.stack([ramp, ramp.T, 0 * ramp], -1)[np.newaxis].repeat(20, 0)
  found, t = distort(
      tf.constant(image, tf.float32), ("crop", "flip"), SEED)
  t = t.numpy()
  column = t[:, 2:3] + t[:, 0:1] * np.arange(size)
  row = t[:, 5:6] + t[:, 4:5] * np.arange(size)
  np.testing.assert_allclose(found[:, 4, :, 0], column / size, atol=1e-5)
  np.testing.assert_allclose(found[:, :, 4, 1], row / size, atol=1e-5)


def test_rotation_turns_about_the_centre_by_up_to_15_degrees():
  t = random_transform(500, 9, ("rotation",), SEED).numpy()
  matrix = t[:, [0, 1, 3, 4]].reshape(-1, 2, 2)
  np.testing.assert_allclose(matrix @ matrix.transpose(0, 2, 1),
                             np.broadcast_to(np.eye(2), [500, 2, 2]),
                             atol=1e-6)
  np.testing.assert_allclose(np.linalg.det(matrix), 1, atol=1e-6)
  angle = np.degrees(np.arcsin(matrix[:, 1, 0]))
  assert 14 < angle.max() <= 15 and -15 <= angle.min() < -14
  centre = matrix @ [4, 4] + t[:, [2, 5]]
  np.testing.assert_allclose(centre, 4, atol=1e-5)


def test_warp_by_hand():
  image = np.arange(12, dtype=np.float32).reshape([1, 2, 2, 3])
  # Output (x, y) shows input (1 - x, y).
  found = warp(tf.constant(image),
               tf.constant([[-1., 0, 1, 0, 1, 0, 0, 0]]))
  np.testing.assert_array_equal(found, image[:, :, ::-1])


def test_all_together_are_repeatable_and_in_range():
  image = tf.round(_photo())  # black and white: nothing is far from an end
  everything = settings.AUGMENTATIONS
  first = _distorted(image, everything)
  np.testing.assert_array_equal(_distorted(image, everything), first)
  compiled = tf.function(lambda x, s: distort(x, everything, s)[0])
  np.testing.assert_allclose(compiled(image, SEED), first, atol=1e-5)
  assert first.min() >= 0 and first.max() <= 1
  assert np.abs(_distorted(image, everything, SEED + 1) - first).max() > .1


def test_color_by_hand(monkeypatch):
  draws = np.reshape([1.2, 1.3, .7], [3, 1, 1, 1, 1])
  monkeypatch.setattr(tf.random, "stateless_uniform",
                      lambda *_: tf.constant(draws, tf.float32))
  # Two pixels. Brighter by 1.2: (.12 .24 .36), (.48 .6 .72), mean .42.
  # Contrast 1.3: .42 + 1.3 (x - .42): (.03 .186 .342), (.498 .654 .81).
  # Saturation .7 about the greys .186 and .654.
  image = tf.constant([[[[.1, .2, .3], [.4, .5, .6]]]])
  found = _jitter(image, SEED)
  np.testing.assert_allclose(
      found[0, 0], [[.186 - .7 * .156, .186, .186 + .7 * .156],
                    [.654 - .7 * .156, .654, .654 + .7 * .156]], atol=1e-6)


@pytest.mark.parametrize("size", [20, 25])
def test_cutout_is_a_grey_square_of_two_fifths_of_the_side(size):
  image = tf.zeros([400, size, size, 3])
  found = _distorted(image, ("cutout",))
  grey = found[..., 0] > 0
  np.testing.assert_array_equal(found[grey], np.float32(GREY))
  share = grey.mean((1, 2))
  assert share.max() <= .16 + 1e-6
  # A centre anywhere: a quarter of the square at a corner, all of it inside.
  assert share.min() < .06 and share.max() > .15
  rows, columns = grey.any(2), grey.any(1)
  np.testing.assert_array_equal(
      grey, rows[:, :, np.newaxis] & columns[:, np.newaxis])
  for side in (rows, columns):
    assert side.sum(1).min() >= size // 5 and side.sum(1).max() <= 2 * size / 5
    # One stretch of it each, and every place has its turn.
    assert (np.abs(np.diff(side.astype(int), axis=1)).sum(1) <= 2).all()
    assert side.any(0).all() and not side.all(0).any()


def test_cutout_leaves_the_rest_and_the_transform_alone():
  image = _photo(size=20)
  found, transform = distort(image, ("cutout",), SEED)
  same = np.all(found == image, -1)
  assert .84 <= same.mean((1, 2)).min() and not same.all((1, 2)).any()
  np.testing.assert_array_equal(
      transform, np.broadcast_to([1, 0, 0, 0, 1, 0, 0, 0], [64, 8]))
  # The square is cut out of what crop and flip show, and moves neither.
  both, moved = distort(image, ("crop", "flip", "cutout"), SEED)
  without, plain = distort(image, ("crop", "flip"), SEED)
  np.testing.assert_array_equal(moved, plain)
  cut = np.any(both != without, -1)
  np.testing.assert_array_equal(cut, ~same)


def test_cutout_is_repeatable_and_differs_by_seed_and_image():
  image = tf.zeros([64, 20, 20, 3])
  first = _distorted(image, ("cutout",))
  np.testing.assert_array_equal(_distorted(image, ("cutout",)), first)
  other = _distorted(image, ("cutout",), SEED + 1)
  assert (first != other).any((1, 2, 3)).mean() > .9
  assert len(np.unique(first[..., 0].reshape(64, -1), axis=0)) > 32


def test_cutout_by_hand(monkeypatch):
  # The centre is row .15, column .55 of the side: of five pixels, centred on
  # .1 .3 .5 .7 .9, rows below .35 and columns between .35 and .75.
  monkeypatch.setattr(tf.random, "stateless_uniform",
                      lambda *_: tf.constant([[.15, .55]]))
  found = _cut_out(tf.ones([1, 5, 5, 3]), SEED)[0, :, :, 0].numpy()
  want = np.ones([5, 5], np.float32)
  want[:2, 2:4] = GREY
  np.testing.assert_array_equal(found, want)


def test_of_wide_images():
  """Each axis has its own length: mirrors, windows, a square cut out."""
  rng = np.random.default_rng(2)
  image = rng.uniform(.5, 1, size=[64, 8, 12, 3]).astype(np.float32)
  found = _distorted(tf.constant(image), ("flip", "vertical_flip"))
  ways = np.stack([image, image[:, ::-1], image[:, :, ::-1],
                   image[:, ::-1, ::-1]])
  error = np.abs(ways - found).max((2, 3, 4))
  assert (error.min(0) < 1e-5).all()
  assert len(set(error.argmin(0).tolist())) == 4
  t = random_transform(500, (8, 12), ("crop",), SEED, .3).numpy()
  last = t[:, [2, 5]] + t[:, [0, 4]] * [11, 7]
  assert t[:, [2, 5]].min() >= -1e-5 and (last <= [11 + 1e-4, 7 + 1e-4]).all()
  grey = (_cut_out(tf.constant(image), SEED).numpy() == np.float32(GREY))
  rows, columns = grey.all(-1).any(2).sum(1), grey.all(-1).any(1).sum(1)
  assert rows.max() == 4 and columns.max() == 5  # 40 % of 8 and of 12


@pytest.mark.parametrize("name", [
    *(n for n in settings.AUGMENTATIONS if n != "randaugment")])
def test_the_frames_of_a_clip_change_alike(name):
  """A clip of one repeated frame changes as its frame alone does."""
  image = _photo(batch=24)
  clip = tf.repeat(image[:, tf.newaxis], 3, 1)
  found = _distorted(clip, (name,))
  assert found.shape == (24, 3, 9, 9, 3)
  for t in range(3):
    np.testing.assert_allclose(found[:, t], _distorted(image, (name,)),
                               atol=2e-6)


def test_randaugment_of_clips():
  """All frames alike, but for the rows that meet, which "sharpness" mixes.

  "contrast" after it takes the mean of these rows, too.
  """
  image = _photo(batch=48)
  clip = tf.repeat(image[:, tf.newaxis], 3, 1)
  found = _distorted(clip, ("randaugment",))
  alone = _distorted(image, ("randaugment",))
  inner = np.s_[:, 2:-2]
  for t in range(3):
    np.testing.assert_allclose(found[:, t][inner], alone[inner], atol=3e-3)


def test_a_clip_keeps_the_order_of_its_frames():
  clip = tf.constant(np.random.default_rng(1).uniform(
      size=[6, 4, 5, 7, 3]), tf.float32)
  transform = random_transform(6, (5, 7), ("crop", "flip", "rotation"), SEED)
  for t in range(4):
    np.testing.assert_allclose(warp(clip, transform)[:, t],
                               warp(clip[:, t], transform), atol=1e-6)
