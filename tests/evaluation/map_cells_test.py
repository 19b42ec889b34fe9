"""A map whose cells are larger than the objects is called so."""

import dataclasses

import numpy as np

from atcon_tf import models
from atcon_tf.data.record import Record
from atcon_tf.evaluation import map_cells


def _records(*sides):
  return [Record(str(i), None, np.ones(1), np.array([[.1, .1, .1 + w, .1 + h]]),
                 np.zeros(1, int)) for i, (w, h) in enumerate(sides)]


def test_the_shorter_side_counts():
  records = _records((.1, .9), (.3, .2), (.5, .5), (.9, .1))
  assert map_cells.share_of_smaller_boxes(records, 4) == 0.75
  assert map_cells.share_of_smaller_boxes(records, 8) == 0.5
  assert map_cells.share_of_smaller_boxes(records, 16) == 0


def test_few_cells_are_said():
  fine, rough = (models.build("tiny_cnn", 2, image_size=s) for s in (64, 32))
  assert map_cells.coarse(fine) == ""
  assert "has 4 x 4 cells" in map_cells.coarse(rough)


def test_the_note():
  classifier = models.build("tiny_cnn", 2, image_size=64)  # 8 x 8 cells
  small, large = _records((.1, .1), (.1, .2), (.5, .5)), _records((.2, .2))
  assert map_cells.note(classifier, small) == (
      "note: 67% of the boxes are narrower than a cell of the map, which is 8 "
      "of 64 pixels wide, so the maps cannot follow them; a larger "
      "--image_size or an earlier --cam_layer (`python -m atcon_tf.explain "
      "--workdir=RUN --list_layers` names them) gives finer maps")
  masked = [dataclasses.replace(r, mask=lambda: None) for r in small]
  assert "67% of the boxes around the masks are" in map_cells.note(
      classifier, masked)
  assert map_cells.note(classifier, large) == ""
  without = [Record("a", None, np.ones(1), np.zeros([0, 4]),
                    np.zeros(0, int))]
  assert map_cells.note(classifier, without) == ""
