"""Masks of classes by hand, and how they follow their images."""

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import UserError
from atcon_tf import data
from atcon_tf.data import class_masks
from atcon_tf.data import image_store
from atcon_tf.data import pipeline

DRAWN = np.array([[1, 1, 0, 0],
                  [1, 255, 0, 3],
                  [0, 0, 0, 3],
                  [2, 2, 0, 0]], np.uint8)


def _record(name, mask=None, label=(1, 0, 1), image=None, **others):
  image = np.zeros([4, 4, 3], np.uint8) if image is None else image
  return data.Record(
      name, lambda: image, np.array(label, np.float32),
      mask=None if mask is None else lambda: mask, **others)


def test_of_a_drawn_mask():
  """Classes 0 and 2 are labelled: class 1, mask value 2, is left out."""
  records = [_record("without"), _record("with", DRAWN)]
  found = class_masks.ClassMasks(records, 4)
  assert found.shape == (2, 4, 4, 3)
  first, second, third = np.moveaxis(found[[1]][0], -1, 0)
  np.testing.assert_array_equal(
      first, [[1, 1, 0, 0], [1, 255, 0, 0], [0] * 4, [0] * 4])
  np.testing.assert_array_equal(second, 0)
  np.testing.assert_array_equal(
      third, [[0] * 4, [0, 255, 0, 1], [0, 0, 0, 1], [0] * 4])
  np.testing.assert_array_equal(found[[0, 1]], np.stack(
      [np.zeros([4, 4, 3]), found[[1]][0]]))
  assert class_masks.ClassMasks(
    records, 8)[[1]][0, 0, :4, 0].tolist() == [1] * 4


def test_of_boxes():
  """A pixel that a box touches is inside; two boxes of a class, one mask."""
  boxes = np.array([[0, 0, .5, .3], [.75, .75, 1, 1], [.5, 0, .6, 1]],
                   np.float32)
  records = [_record("a", boxes=boxes, box_label=np.array([0, 0, 2]))]
  first, second, third = np.moveaxis(
      class_masks.ClassMasks(records, 4, "boxes")[[0]][0], -1, 0)
  np.testing.assert_array_equal(
      first, [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0, 0, 0, 1]])
  np.testing.assert_array_equal(second, 0)
  np.testing.assert_array_equal(third, [[0, 0, 1, 0]] * 4)


def test_a_share_of_the_masks():
  records = [_record(str(i), DRAWN if i % 2 else None) for i in range(20)]
  used = [class_masks.ClassMasks(
      records, 4, fraction=share, seed=3).used.tolist()
          for share in (.01, .5, 1)]
  assert [len(u) for u in used] == [1, 5, 10]
  assert set(used[0]) <= set(used[1]) <= set(used[2]) == set(range(1, 20, 2))
  found = class_masks.ClassMasks(records, 4, fraction=.5, seed=3)
  given = found[np.arange(20)].any((1, 2, 3))
  np.testing.assert_array_equal(np.flatnonzero(given), used[1])
  assert used[1] != class_masks.ClassMasks(records, 4, fraction=.5,
                                           seed=4).used.tolist()


def test_what_does_not_fit(tmp_path):
  path = str(tmp_path / "a.png")
  PIL.Image.new("RGB", [6, 4]).save(path)
  wide = data.Record(path, path, np.ones([3], np.float32),
                     mask=lambda: DRAWN)
  with pytest.raises(UserError, match=r"a.png: its mask has 4 x 4 pixels, "
                     "the image 6 x 4"):
    class_masks.ClassMasks([wide], 4)
  with pytest.raises(UserError, match="^x: its mask has the value 3; must be "
                     "0, the number of a class, 1 to 2, or 255"):
    class_masks.ClassMasks([_record("x", DRAWN, (1, 1))], 4)
  with pytest.raises(UserError, match="none of the 2 labelled images has a "
                     "mask of its classes.*ex_masks=boxes"):
    class_masks.ClassMasks([_record("a"), _record("b", 0 * DRAWN)], 4)
  with pytest.raises(UserError, match="has a box of.*ex_masks=masks"):
    class_masks.ClassMasks([_record("a", DRAWN)], 4, "boxes")


def test_a_mask_follows_its_image():
  """The object is bright in the image; where is it after the changes?"""
  rng, size = np.random.default_rng(0), 24
  records = []
  for i in range(6):
    mask = np.zeros([size, size], np.uint8)
    y, x = rng.integers(2, 12, 2)
    mask[y:y + 9, x:x + 6] = 1
    records.append(_record(
        str(i), mask, (1, 0), np.repeat(200 * mask[..., None], 3, -1)))
  images = image_store.Images(records, size)
  columns = {"label": np.stack([r.label for r in records]),
             "mask": class_masks.ClassMasks(records, size)}
  batches = pipeline.training_batches(
      images, records, 6, 1, 1, 0, 4, ("crop", "flip", "rotation"), columns)
  moved = 0
  for batch in batches:
    assert batch["mask"].dtype == np.uint8
    bright = batch["image"].numpy()[..., 0] / (200 / 255)
    mask = batch["mask"].numpy()[..., 0]
    # The nearest of four pixels is a quarter of their mixture, or more.
    assert np.abs(bright - mask).max() <= .75 + 1e-4
    still = np.stack([r.mask() for r in records])
    moved += sum(not (m == still).all((1, 2)).any() for m in mask)
  assert moved > 18


def test_of_wide_images():
  """Rows and columns each by their own length, for masks and for boxes."""
  record = _record("wide", DRAWN, boxes=np.float32([[0, .5, .5, 1]]),
                   box_label=np.int32([2]))
  found = class_masks.ClassMasks([record], (4, 8))[[0]][0]
  assert found.shape == (4, 8, 3)
  np.testing.assert_array_equal(found[0, :, 0], [1, 1, 1, 1, 0, 0, 0, 0])
  (plane,) = class_masks.filled(record, (4, 8)).values()
  np.testing.assert_array_equal(
      plane, np.repeat([[0], [0], [1], [1]], 8, 1) * ([1] * 4 + [0] * 4))
  assert image_store.decode(record, (4, 8)).shape == (4, 8, 3)
