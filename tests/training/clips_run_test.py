"""Runs on clips end to end: data, objectives, scores, the run folder."""

import json

import numpy as np
import pytest

from atcon_tf import evaluation
from atcon_tf import runs
from atcon_tf import training
from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.evaluation import class_boxes
from atcon_tf.reports import tables
from tests.data import drawn_clips

CLASSES = ("dark", "bright")


@pytest.fixture(scope="module", name="clips")
def _clips(tmp_path_factory):
  """Class folders of 10 recordings of 8 frames each; only to be read."""
  root = tmp_path_factory.mktemp("session") / "clips"
  for c, name in enumerate(CLASSES):
    for i in range(10):
      drawn_clips.folder(root / name / f"{i:02d}", 8, first=10 * c + i // 3)
  return root


def _config(clips, **settings):
  settings = dict(
      dataset="video", data_dir=str(clips), frames=4, image_size=24, shots=2,
      batch_size=2, unlabeled_batch_size=2, steps=2, eval_every=2,
      bootstrap=0, summary_images=0, model="tiny_cnn",
      clip_cache=str(clips.parent / "cache")) | settings
  if settings["objective"] == "probe":
    for name in ("batch_size", "unlabeled_batch_size", "steps", "eval_every"):
      del settings[name]
  return Config(**settings).resolve()


def test_a_run(clips, tmp_path):
  config = _config(clips, objective="self_training", start="ranked_probe",
                   atcon_weight=.1)
  result = training.train_and_evaluate(config, tmp_path / "run")
  assert {"f1_macro", "accuracy", "per_class", "confusion"} <= set(
      result["test"])
  assert set(result["test"]["per_class"]) == set(CLASSES)
  assert np.sum(result["test"]["confusion"]) == result["data"]["test"]
  assert result["config"]["frames"] == 4
  assert result["test"]["accuracy"] == 1  # the colour of a frame tells
  run = runs.load(tmp_path / "run")
  assert run.classifier.frames == 4
  assert run.classifier.temporal_weights == "per_step"
  again = evaluation.evaluate_run.evaluate(run, "test")
  assert again["test"]["loss"] == pytest.approx(result["test"]["loss"],
                                                abs=1e-5)
  with pytest.raises(UserError, match="sees clips of 4 frames"):
    run.predict(np.zeros([24, 24, 3], np.uint8))
  paths = runs.recording_labels.find([str(clips / "bright"),
                                      str(clips / "dark" / "0*")])
  assert len(paths) == 20
  (clips.parent / "broken.mp4").write_bytes(b"no video")
  read, probability, bad = runs.recording_labels.predict(
      run, [*paths, str(clips.parent / "broken.mp4")])
  assert read == paths and len(bad) == 1
  records, images = runs.load_part(run)
  known = [paths.index(str(clips / r.id)) for r in records]
  np.testing.assert_allclose(
      probability[known], evaluation.predictor.Predictor(
          run.classifier, False).probability(images, records), atol=1e-5)


def test_several_clips_of_a_recording(clips, tmp_path):
  """The score is that of the mean; that of single clips stands beside it."""
  config = _config(clips, objective="probe", start="probe", test_clips=3)
  result = training.train_and_evaluate(config, tmp_path / "run")
  assert result["clip_level"]["clips"] == 3
  run = runs.load(tmp_path / "run")
  records, images = runs.load_part(run)
  predictor = evaluation.predictor.Predictor(run.classifier, False)
  found = predictor.predict(images, records, views=3)
  assert found.clip_probability.shape == (len(records), 3, 2)
  np.testing.assert_allclose(found.clip_probability.mean(1),
                             found.probability)
  # 4 of 8 frames: from 0, from 2 (the one clip of a score without the flag)
  # and from 4.
  alone = predictor.predict(images, records)
  np.testing.assert_allclose(found.clip_probability[:, 1], alone.probability,
                             atol=1e-5)
  assert np.abs(found.clip_probability[:, 0] - alone.probability).max() > 1e-5
  again = evaluation.evaluate(run)
  for text in (tables.scores_table({"probe": result}),
               tables.scores_table({"probe": again})):
    assert "F1, macro, single clips" in text
    assert "updates on unlabelled clips" in text and "image" not in text
  stored = json.loads((tmp_path / "run/result.json").read_text())
  assert stored["clip_level"] == result["clip_level"]


def test_events_in_windows(tmp_path):
  """Where the table says when, maps are held to it."""
  rows = ["path,label,start,end"]
  for i in range(12):
    drawn_clips.folder(tmp_path / f"{i:02d}", 20, first=0)
    # At 25 frames a second a window of 0.4 s has frames 0 to 9 or 10 to 19.
    rows += [f"{i:02d},{CLASSES[i % 2]},0.16,0.4",
             f"{i:02d},{CLASSES[1 - i % 2]},0.4,0.64"]
  (tmp_path / "clips.csv").write_text("\n".join(rows))
  config = _config(tmp_path, objective="probe", start="probe", data_dir="",
                   table=str(tmp_path / "clips.csv"), window_seconds=.4,
                   frames=10)
  result = training.train_and_evaluate(config, tmp_path / "run")
  for name in ("moment_iou", "moment_pointing_game", "centre_moment_iou",
               "centre_moment_pointing_game"):
    assert 0 <= result["test"][name] <= 1
  assert "box_iou" not in result["test"]
  records, _ = runs.load_part(runs.load(tmp_path / "run"))
  for record in records:
    (c, box), = class_boxes.of_record(record).items()
    assert record.label[c] == 1
    first = record.image.start == 0
    np.testing.assert_allclose(
        box, [[.4, 0, 1, 1] if first else [0, 0, .6, 1]], atol=1e-6)
