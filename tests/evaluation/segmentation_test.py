"""Scores of maps against masks, on grids small enough to draw."""

from absl.testing import absltest
import numpy as np

from atcon_tf.data import class_masks
from atcon_tf.evaluation.metrics import segmentation

# A peak of 4 in the top left quarter, and a weaker, larger hill on the right.
MAP = np.array([[4, 0, 2, 2],
                [0, 0, 2, 2],
                [0, 0, 2, 2],
                [-9, -1, 0, 0]], np.float32)


class SegmentationTest(absltest.TestCase):

  def test_by_hand(self):
    mask = np.array([[1, 0, 1, 1],
                     [1, 0, 255, 255],
                     [0, 0, 0, 0],
                     [0, 0, 0, 0]], np.uint8)
    found = segmentation.mask_iou([MAP, MAP], [mask, mask.clip(0, 1)], .25)
    # Above 1: 7 pixels. Without the two void ones 5, of which 3 are among
    # the 4 of the mask: 3 / 6. With them: 5 of 7 and 6: 5 / 8.
    np.testing.assert_allclose(found, [3 / 6, 5 / 8])

  def test_maps_without_a_positive_value_cover_nothing(self):
    maps = np.stack([np.zeros([4, 4]), -np.ones([4, 4])])
    np.testing.assert_array_equal(
        segmentation.mask_iou(maps, np.ones([2, 4, 4]), .2), [0, 0])

  def test_many_thresholds(self):
    mask = np.zeros([4, 4], np.uint8)
    mask[:2, 2:] = 1
    found = segmentation.mask_ious(
        [MAP, MAP, MAP], [mask, 0 * mask, 255 + 0 * mask], [.25, .5])
    np.testing.assert_array_equal(np.isnan(found), [[0, 0], [1, 1], [1, 1]])
    for t, value in zip([.25, .5], found[0]):
      self.assertEqual(segmentation.mask_iou([MAP], [mask], t), value)

  def test_the_mask_of_one_class(self):
    mask = np.array([[0, 1, 2, 255], [2, 2, 0, 1]], np.uint8)
    np.testing.assert_array_equal(
        class_masks.class_mask(mask, 1, (2, 4)), [[0, 0, 1, 255],
                                                  [1, 1, 0, 0]])
    # The centres of 4 x 2 pixels: each row twice, columns 1 and 3.
    np.testing.assert_array_equal(
        class_masks.class_mask(mask, 1, (4, 2)),
        [[0, 255], [0, 255], [1, 0], [1, 0]])
    np.testing.assert_array_equal(class_masks.class_mask(None, 1, (1, 2)),
                                  [[255, 255]])

  def test_a_map_of_centred_rectangles(self):
    heat = segmentation.centre_map((4, 8))
    # Above a half: the middle half of the rows and of the columns.
    inside = np.zeros([4, 8], bool)
    inside[1:3, 2:6] = True
    np.testing.assert_array_equal(heat > .5, inside)

  def test_refuses(self):
    with self.assertRaisesRegex(ValueError, "pair 0 has no pixel"):
      segmentation.mask_iou([MAP], np.full([1, 4, 4], 255), .2)
    with self.assertRaisesRegex(ValueError, r"masks must be \[1, 4, 4\]"):
      segmentation.mask_iou([MAP], np.ones([4, 4]), .2)


if __name__ == "__main__":
  absltest.main()
