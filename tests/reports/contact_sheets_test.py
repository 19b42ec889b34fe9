"""Overlays, boxes and notes of maps over pictures, by hand."""

import numpy as np
import pytest

from atcon_tf.reports.figures import contact_sheets


def test_overlay_is_grey_where_the_map_is_zero():
  image = np.full([4, 4, 3], 100, np.uint8)
  light = np.zeros([4, 4])
  light[0, 0] = 1
  picture = contact_sheets.overlay(image, light, alpha=1)
  assert (picture[1:] == picture[1, 1]).all()
  assert len(set(picture[1, 1])) == 1
  assert tuple(picture[0, 0]) != tuple(picture[1, 1])
  assert contact_sheets.brightness(-np.ones([2, 2])).max() == 0


def test_boxes_by_hand():
  heat = np.zeros([10, 10])
  heat[2:4, 1:5] = 1.0
  heat[8, 8] = .8
  assert contact_sheets.boxes(heat, .5) == [
      {"box": [.1, .2, .5, .4], "score": 1.0}]
  both = contact_sheets.boxes(heat, .5, largest=False)
  assert [b["box"] for b in both] == [[.1, .2, .5, .4], [.8, .8, .9, .9]]
  assert both[1]["score"] == pytest.approx(.8)
  assert contact_sheets.boxes(np.zeros([3, 3])) == []


def test_a_map_that_shows_nothing_says_so():
  assert contact_sheets.note(np.ones([3, 3])) == "the same everywhere"
  assert contact_sheets.note(-np.arange(9.).reshape(3, 3)
                             ) == "no evidence for this class"
  assert contact_sheets.note(np.zeros([3, 3])) == "no evidence for this class"
  assert contact_sheets.note(np.arange(9.).reshape(3, 3)) == ""
