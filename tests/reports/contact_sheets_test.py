"""Overlays, boxes and notes of maps over pictures, by hand."""

import numpy as np
import pytest

from atcon_tf.reports.figures import canvas
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
  assert canvas.blank(np.ones([3, 3])) == "the same everywhere"
  assert canvas.blank(-np.arange(9.).reshape(3, 3)
                      ) == "no evidence for this class"
  assert canvas.blank(np.zeros([3, 3])) == "no evidence for this class"
  assert canvas.blank(np.arange(9.).reshape(3, 3)) == ""


def test_a_box_that_points_at_nothing_is_not_drawn():
  assert not contact_sheets.pointing([.1, .1, .9, .9], (100, 50))
  assert "more than 70%" in contact_sheets.pointing([0, .1, .9, 1], (100, 50))
  assert "a line" in contact_sheets.pointing([.1, .1, .15, .9], (100, 50))
  image = np.zeros([60, 60, 3], np.uint8)
  sheets = [contact_sheets.sheet(image, ["a"], [("cat", [(image, found, "")])])
            for found in ([], [[.1, .1, .5, .5]])]
  assert ["Box: around" in s._supxlabel.get_text() for s in sheets] == [
      False, True]


def test_the_legend_tells_dots_from_areas():
  image = np.zeros([60, 60, 3], np.uint8)
  names = ["grad_cam", "guided_backprop"]
  rows = [("cat", [(image, [], "")] * 2)]
  words = [" ".join(contact_sheets.sheet(
      image, names, rows, dotted=dotted)._supxlabel.get_text().split())
           for dotted in ([], names[1:])]
  assert words[0] == contact_sheets.LEGEND
  assert words[1].endswith("In the dots of guided_backprop: pixels on which "
                           "the score of the class depends most.")


def test_a_long_name_is_broken_evenly():
  name = "abcdefghijklmnopqrstuvwxyz.jpg"
  assert canvas.wrapped(name + "x", 30).splitlines() == [
      name[:16], (name + "x")[16:]]
  assert canvas.wrapped(f"is: cat\n{name}", 30) == f"is: cat\n{name}"
