"""Scores of maps against boxes, on grids small enough to draw."""

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from atcon_tf.evaluation.metrics import localization

# Three parts: two pixels at the top left, three at the top right, of which
# one touches by its corner only, and one at the bottom.
MASK = np.array([[1, 0, 0, 1],
                 [1, 0, 0, 1],
                 [0, 0, 1, 0],
                 [0, 0, 0, 0],
                 [1, 0, 0, 0]], bool)
# A peak of 4 in the top left quarter, and a weaker, larger hill on the right.
MAP = np.array([[4, 0, 2, 2],
                [0, 0, 2, 2],
                [0, 0, 2, 2],
                [-9, -1, 0, 0]], np.float32)
LEFT, RIGHT = [0, 0, .25, .25], [.5, 0, 1, .75]


class BoxTest(parameterized.TestCase):

  def test_largest_component(self):
    found = localization.largest_component(MASK)
    expected = np.zeros_like(MASK)
    expected[[0, 1, 2], [3, 3, 2]] = True
    np.testing.assert_array_equal(found, expected)

  def test_first_of_equal_components(self):
    found = localization.largest_component(np.array([[0, 1, 0, 1]]))
    np.testing.assert_array_equal(found, [[False, True, False, False]])

  def test_empty(self):
    nothing = np.zeros([3, 4], bool)
    self.assertFalse(localization.largest_component(nothing).any())
    np.testing.assert_array_equal(localization.box_of(nothing), np.zeros(4))

  def test_box_of(self):
    # Columns 2 and 3 of 4, rows 0 to 2 of 5.
    box = localization.box_of(localization.largest_component(MASK))
    np.testing.assert_allclose(box, [2 / 4, 0, 1, 3 / 5])

  def test_iou(self):
    # [0, .5] x [0, 1] and [.25, 1] x [0, 1]: .25 / (.5 + .75 - .25).
    found = localization.iou([0, 0, .5, 1], [
        [.25, 0, 1, 1], [0, 0, .5, 1], [.6, 0, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_allclose(found, [.25, 1, 0, 0])
    self.assertEqual(localization.iou(np.zeros(4), np.zeros([1, 4])), 0)

  def test_box_iou_by_hand(self):
    found = localization.box_iou([MAP], [[RIGHT]], [.25, .75])
    # Above 1: the hill of 6 pixels is the larger part, exactly the box.
    # Above 3: the peak alone, which is elsewhere.
    np.testing.assert_allclose(found, [[1, 0]])
    # Each threshold may be nearest to another box.
    found = localization.box_iou([MAP], [[RIGHT, LEFT]], [.25, .75])
    np.testing.assert_allclose(found, [[1, 1]])
    # The whole image is the box: 6 and 1 pixels of 16.
    found = localization.box_iou([MAP], [[[0, 0, 1, 1]]], [.25, .75])
    np.testing.assert_allclose(found, [[6 / 16, 1 / 16]])

  def test_maps_without_a_positive_value_find_nothing(self):
    maps = np.stack([np.zeros([4, 4]), -np.ones([4, 4])])
    boxes = [[[0, 0, 1, 1]]] * 2
    np.testing.assert_array_equal(
        localization.box_iou(maps, boxes), np.zeros([2, 19]))
    np.testing.assert_array_equal(
        localization.energy_pointing_game(maps, boxes), [0, 0])

  def test_a_scale_changes_nothing(self):
    maps = np.random.default_rng(0).normal(size=[3, 7, 9])
    boxes = [[[.1, .2, .6, .9]]] * 3
    np.testing.assert_allclose(localization.box_iou(maps, boxes),
                               localization.box_iou(1e-3 * maps, boxes))

  def test_best_threshold(self):
    # Column means .3, .5, .5: the first of the best.
    scores = [[.2, .9, .4], [.4, .1, .6]]
    self.assertEqual(localization.best_threshold(scores, [.1, .2, .3]), .2)
    with self.assertRaisesRegex(ValueError, r"\[pairs, 19\], not \[2, 3\]"):
      localization.best_threshold(scores)

  @parameterized.parameters(
      ([MAP, MAP], [[LEFT]], "2 maps but boxes of 1"),
      (MAP, [[LEFT]], r"maps must be \[pairs"),
      ([MAP * np.nan], [[LEFT]], "pair 0 is not finite"),
      ([MAP], [np.zeros([0, 4])], "boxes of pair 0 must be"),
      ([MAP], [LEFT], "boxes of pair 0 must be"),
      ([MAP], [[[.5, 0, .2, 1]]], "not x_min, y_min"))
  def test_refuses(self, maps, boxes, message):
    for score in (localization.box_iou, localization.pointing_game,
                  localization.energy_pointing_game):
      with self.assertRaisesRegex(ValueError, message):
        score(maps, boxes)

  def test_refuses_a_threshold(self):
    with self.assertRaisesRegex(ValueError, r"in \[0, 1\)"):
      localization.box_iou([MAP], [[LEFT]], [1.0])


class PointTest(parameterized.TestCase):

  @parameterized.parameters(
      ([LEFT], 0, 1),
      ([RIGHT], 0, 0),
      ([RIGHT, LEFT], 0, 1),
      # The peak's centre is (.125, .125); the edge counts.
      ([[.125, .125, 1, 1]], 0, 1),
      ([[.13, .125, 1, 1]], 0, 0),
      ([[.13, .125, 1, 1]], .01, 1))
  def test_pointing_game(self, boxes, tolerance, expected):
    hits = localization.pointing_game([MAP], [boxes], tolerance)
    np.testing.assert_array_equal(hits, [expected])

  def test_rows_are_not_columns(self):
    maps = np.zeros([1, 2, 4])
    maps[0, 1, 0] = 1  # x = 1/8, y = 3/4
    self.assertEqual(
        localization.pointing_game(maps, [[[0, .6, .2, 1]]]), 1)
    self.assertEqual(
        localization.pointing_game(maps, [[[.5, 0, 1, .25]]]), 0)

  def test_negative_maps_point_too(self):
    hits = localization.pointing_game([MAP - 10], [[LEFT]])
    np.testing.assert_array_equal(hits, [1])

  @parameterized.parameters(0.0, 5.0, -5.0)
  def test_a_constant_map_points_nowhere(self, value):
    constant = np.full([4, 4], value, np.float32)
    rounded = constant * np.linspace(1, 1 + 2e-7, 16).reshape(4, 4)
    hits = localization.pointing_game(
        [constant, rounded], [[[0, 0, 1, 1]]] * 2)
    np.testing.assert_array_equal(hits, [0, 0])

  def test_energy(self):
    # relu(MAP) sums to 4 + 6 * 2 = 16: 4 at the left, 12 at the right.
    shares = localization.energy_pointing_game(
        [MAP] * 3, [[LEFT], [RIGHT], [RIGHT, RIGHT, LEFT]])
    np.testing.assert_allclose(shares, [4 / 16, 12 / 16, 1])

  def test_energy_of_a_constant_is_the_area(self):
    share = localization.energy_pointing_game(
        np.ones([1, 10, 10]), [[[0, 0, .5, .3]]])
    np.testing.assert_allclose(share, [.15])

  def test_trivial_point(self):
    hits = localization.centre_point([[LEFT], [RIGHT], [[.4, .4, .6, .6]]])
    # RIGHT begins at x = .5: its edge counts.
    np.testing.assert_array_equal(hits, [0, 1, 1])

  def test_trivial_box(self):
    boxes = [[LEFT, [.25, .25, .75, .75]], [[0, 0, 1, 1]]]
    # A half by a half: the very box; a quarter of the whole image.
    np.testing.assert_allclose(localization.centre_box(boxes, .5), [1, .25])
    # Side f between .5 and 1 scores (.25 / f^2 + f^2) / 2: highest, 5/8, at
    # both ends, of which the lower is taken.
    self.assertEqual(localization.best_centre_box(boxes), .5)
    self.assertEqual(localization.best_centre_box(boxes[1:]), 1)
    with self.assertRaisesRegex(ValueError, "not 0"):
      localization.centre_box(boxes, 0)


if __name__ == "__main__":
  absltest.main()
