"""Events of a clip as boxes on the axis of its frames, by hand."""

import dataclasses

import numpy as np

from atcon_tf.data import record
from atcon_tf.evaluation import class_boxes
from atcon_tf.evaluation.metrics import localization


@dataclasses.dataclass(frozen=True)
class _Clip(record.Clip):
  frames: int
  seconds: np.ndarray


def _record(*events):
  """Frames at 10, 11, ... 19 s."""
  return record.Record(
      "a", _Clip(10, np.arange(10, 20.)), np.array([1., 0]),
      events=np.array([e[1:] for e in events], float),
      event_label=np.array([e[0] for e in events], np.int32))


def test_frames_of_an_event():
  found = class_boxes.of_record(_record(
      (1, 12, 14), (1, 13.5, 99), (0, 0, 10.5), (0, 30, 40)))
  np.testing.assert_allclose(found[0], [[0, 0, .1, 1]])
  np.testing.assert_allclose(found[1], [[.2, 0, .4, 1], [.4, 0, 1, 1]])
  assert not class_boxes.of_record(_record((0, 0, 99)))  # says nothing of when


def test_scores_over_time():
  curve = np.zeros([2, 10, 4, 4])
  curve[0, 2:4] = 1
  curve[1, 7] = 1
  heat = np.asarray(class_boxes.evidence(curve))
  assert heat.shape == (2, 1, 10)
  boxes = [[[.2, 0, .4, 1]], [[.2, 0, .4, 1]]]
  np.testing.assert_allclose(localization.pointing_game(heat, boxes), [1, 0])
  np.testing.assert_allclose(
      localization.box_iou(heat, boxes, [.5])[:, 0], [1, 0])
  # The middle 40 % and the event share 0.1 of 0.5.
  np.testing.assert_allclose(localization.centre_box(
      boxes[:1], .4, full_height=True), [.2])
