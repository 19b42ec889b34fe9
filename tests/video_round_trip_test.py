"""Video files to a served answer: train, evaluate, explain, export, serve."""

import contextlib
import io
import pathlib

import numpy as np
import PIL.Image
import pytest

from atcon_tf import evaluation
from atcon_tf import runs
from atcon_tf import serving
from atcon_tf import training
from atcon_tf.config import Config
from atcon_tf.data import recordings
from atcon_tf.reports import explained_recordings
from atcon_tf.reports import explainer as explainers
from atcon_tf.serving import formats
from atcon_tf.serving.server import served_model
from tests.data import drawn_clips

CLASSES = ("bright", "dark")
# Ten frames, first slow and then fast.
UNEVEN = [0, .2, .4, .6, .65, .7, .75, .8, .85, .9]
LOST = "1 frame from 0.40 s on did not decode; each is replaced by the nearest"


@pytest.fixture(scope="module", name="clips")
def _clips(tmp_path_factory):
  """Class folders of 8 files: of variable rate, turned, with a lost packet."""
  root = tmp_path_factory.mktemp("session") / "clips"
  for c, name in enumerate(CLASSES):
    for i in range(8):
      path = drawn_clips.write(
          root / name / f"{i}.mp4", UNEVEN if i % 2 else drawn_clips.tenths(10),
          damaged=[4] if i == 6 else [], first=11 * (1 - c) + i // 4)
      if i % 3 == 0:
        drawn_clips.rotate(path)
  return root


@pytest.fixture(scope="module", name="run")
def _run(clips):
  with contextlib.redirect_stdout(io.StringIO()) as said:
    training.train_and_evaluate(Config(
        dataset="video", data_dir=str(clips), frames=4, stride=1,
        image_size=24, shots=0, objective="probe", start="probe",
        model="tiny_cnn", bootstrap=0, summary_images=0,
        clip_cache=str(clips.parent / "cache")).resolve(),
                                clips.parent / "run")
  for name in CLASSES:
    assert f"note: {clips / name / '6.mp4'}: {LOST}" in said.getvalue()
  return runs.load(clips.parent / "run")


def test_it_is_evaluated_as_in_training(run):
  again = evaluation.evaluate_run.evaluate(run, "test")["test"]
  for name in ("accuracy", "f1_macro", "loss"):
    assert again[name] == pytest.approx(run.result["test"][name], abs=1e-5)
  assert again["accuracy"] == 1  # the colour of a frame tells


def test_it_is_explained(run, clips, tmp_path):
  explainer = explainers.Explainer(run.classifier, run.class_names, False,
                                   ["grad_cam"])
  note, line, _ = explained_recordings.explain_recording(
      explainer, str(clips / "dark/6.mp4"), runs.cut_of(run.path), tmp_path,
      lambda p: [1])
  assert note.startswith(f"note: {clips / 'dark/6.mp4'}: {LOST}")
  assert line == f"{tmp_path / '6_grad_cam_dark.gif'}: 4 frames"
  with PIL.Image.open(tmp_path / "6_grad_cam_dark.gif") as played:
    assert played.n_frames == 4
    assert played.height > played.width  # upright


def test_it_is_served(run, clips, tmp_path, monkeypatch):
  """A client that picks frames as docs/serving.md says has its answers."""
  monkeypatch.setattr(formats, "FORMATS", {})  # another test writes them
  served = served_model.ServedModel(pathlib.Path(
      serving.export(run, tmp_path / "served")).parent)
  assert served.metadata["input"]["frames"] == 4
  records, images = runs.load_part(run)
  known = evaluation.predictor.Predictor(run.classifier, False).probability(
      images, records)
  for record, wanted in zip(records, known):
    one = recordings.recording(str(clips / record.id))
    middle = one.seconds / 2 + (np.arange(4) - 2) / one.rate
    sent = [_png(frame) for frame in one.each(middle.tolist(), [])]
    answer = served.predict("explain_bytes", {
        "image_bytes": np.array([sent], object),
        "class_index": np.array([-1])})
    np.testing.assert_allclose(answer["probabilities"][0], wanted, atol=1e-4)
    assert answer["grad_cam"].shape == (1, 4, 24, 24)


def _png(frame):
  file = io.BytesIO()
  PIL.Image.fromarray(frame).save(file, "PNG")
  return file.getvalue()
