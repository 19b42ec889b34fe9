"""What is seen of clips: strips, overlays that play, events, the page."""

import csv
import dataclasses

import numpy as np
import PIL.Image
import pytest

from atcon_tf import attribution
from atcon_tf import runs
from atcon_tf import training
from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.reports import explained_recordings
from atcon_tf.reports import explainer as explainers
from atcon_tf.reports import moving_pictures
from atcon_tf.reports import recording_events
from atcon_tf.reports import run_page
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import film_strips
from atcon_tf.reports.figures import timelines
from tests.data import drawn_clips

CLASSES = ("bright", "dark")


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory):
  """A probe of a small network on dark and bright clips; only to be read."""
  root = tmp_path_factory.mktemp("session")
  for c, name in enumerate(CLASSES):
    for i in range(8):
      drawn_clips.folder(root / "clips" / name / f"{i:02d}", 8,
                         first=10 * (1 - c) + i // 3)
  training.train_and_evaluate(Config(
      dataset="video", data_dir=str(root / "clips"), frames=4, image_size=24,
      shots=2, objective="probe", start="probe", model="tiny_cnn", bootstrap=0,
      summary_images=3, clip_cache=str(root / "cache")).resolve(),
      root / "run")
  return runs.load(root / "run")


@pytest.fixture(name="explainer")
def _explainer(run):
  return explainers.Explainer(run.classifier, run.class_names, False,
                              ["grad_cam"])


@pytest.fixture(name="film", scope="module")
def _film(tmp_path_factory):
  """A recording of 1.6 s: 0.8 s dark, then 0.8 s bright; a folder."""
  place = tmp_path_factory.mktemp("film")
  for n in range(40):
    image = drawn_clips.picture(n % 3 if n < 20 else 14 + n % 3)
    PIL.Image.fromarray(image).save(place / f"{n}.png")
  return place


def _cut(run, **changes):
  return dataclasses.replace(runs.cut_of(run.path), **changes)


def test_the_run_leaves_strips_and_statistics(run):
  height, width = PIL.Image.open(run.path / "figures" / "maps.png").size[::-1]
  assert width > 500 and height > 300
  rows = run.result["clips"]
  assert {row["part"] for row in rows} == {
      "train_labeled", "train_unlabeled", "val", "test"}
  assert sum(row["clips"] for row in rows) == 16
  assert all(row["mean_seconds"] == .32 for row in rows if row["clips"])
  assert sum(run.result["groups"].values()) == 16


def test_the_page_plays_clips(run):
  text = run_page.report(run)
  assert text.count("data:image/gif;base64,") == 2
  assert "<caption>Clips of each class in each part" in text
  assert "--video=LONG.mp4 --window_seconds=4" in text


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_a_clip_is_explained(run, explainer, film, tmp_path, ending):
  lines = list(explained_recordings.explain_recording(
      explainer, str(film), _cut(run), tmp_path, lambda p: [0], ending))
  name = f"{film.name}_grad_cam_bright.{ending}"
  assert lines[0] == f"{tmp_path / name}: 4 frames"
  assert {p.name for p in tmp_path.iterdir()} == {
      name, f"{film.name}_strip.png", f"{film.name}.npz"}
  with np.load(tmp_path / f"{film.name}.npz") as arrays:
    # Frames 18 to 21: two are dark, two are bright.
    np.testing.assert_allclose(arrays["seconds"] * 25, [18, 19, 20, 21])
    heat = arrays["grad_cam/bright"]
  seen = np.concatenate([explainer.see(drawn_clips.picture(n))
                         for n in (0, 1, 16, 14)])[np.newaxis]
  np.testing.assert_allclose(heat, attribution.enlarge(
      run.classifier, attribution.explain(run.classifier, seen, "grad_cam",
                                          0))[0], atol=1e-5)


def test_events_of_a_long_recording(run, explainer, film, tmp_path,
                                    monkeypatch):
  monkeypatch.setattr(timelines, "FRAMES", 3)  # fewer than the windows
  list(recording_events.explain_windows(
      explainer, str(film), _cut(run, window_seconds=.2), tmp_path))
  with open(tmp_path / f"{film.name}_events.csv", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
  assert [(r["start"], r["end"], r["class"]) for r in rows] == [
      ("0.00", "0.80", "dark"), ("0.80", "1.60", "bright")]
  assert all(.5 < float(r["probability"]) <= 1 for r in rows)
  with open(tmp_path / f"{film.name}_windows.csv", encoding="utf-8") as file:
    assert len(file.readlines()) == 1 + 8
  assert (tmp_path / f"{film.name}_timeline.png").stat().st_size > 5000
  assert len(list(tmp_path.glob(f"{film.name}_at_*_grad_cam_*.gif"))) == 2


def test_what_cannot_be_explained(run, explainer, tmp_path):
  sound = drawn_clips.audio(tmp_path / "radio.mp4")
  for path, why in ((tmp_path / "none.mp4", "no such file or folder"),
                    (sound, r"does not decode \(no video stream, only audio")):
    for cut in (_cut(run), _cut(run, window_seconds=1.)):
      function = (recording_events.explain_windows if cut.window_seconds
                  else explained_recordings.explain_recording)
      more = () if cut.window_seconds else (lambda p: [0],)
      with pytest.raises(UserError, match=f"^video='{path}': {why}"):
        list(function(explainer, str(path), cut, tmp_path / "out", *more))
  assert not (tmp_path / "out").exists()


def test_events_by_hand():
  windows = [(0, 2), (2, 4), (4, 7), (7, 9)]
  p = np.array([[.9, .1], [.6, .4], [.2, .8], [.45, .55]])
  def shown(*options):
    return [(*e[:3], round(e.probability, 4))
            for e in recording_events.events_of(windows, p, *options)]
  assert shown(False) == [(0, 4, 0, .75), (4, 9, 1, round(3.5 / 5, 4))]
  assert shown(False, .7) == [(0, 2, 0, .9), (4, 7, 1, .8)]
  assert shown(True, .4) == [(0, 4, 0, .75), (2, 9, 1, round(4.3 / 7, 4)),
                             (7, 9, 0, .45)]
  assert shown(False, .95) == []


def test_evidence_over_time_by_hand():
  heat = np.zeros([3, 2, 2])
  heat[1], heat[2, 0, 0], heat[2, 1, 1] = 2, 4, -4
  assert film_strips.evidence(heat).tolist() == [0, 1, .5]
  assert film_strips.evidence(-np.ones([3, 2, 2])).tolist() == [0, 0, 0]
  assert film_strips.chosen(5).tolist() == [0, 1, 2, 3, 4]
  assert film_strips.chosen(16)[[0, -1]].tolist() == [0, 15]


def test_a_map_is_as_bright_as_its_clip_allows():
  """The scale is that of the whole clip: a weak frame stays dark."""
  clip = np.full([2, 3, 3, 3], .5)
  heat = np.stack([np.full([3, 3], .1), np.full([3, 3], 1.)])
  found = film_strips.overlays(clip, heat, heat.max())
  assert found[1].mean() > found[0].mean() + .1


def test_the_curve_is_bright_up_to_the_frame():
  frames = [np.full([30, 40, 3], 90, np.uint8)] * 4
  found = moving_pictures.with_curve(frames, np.ones(4), np.arange(4), "x")
  assert len(found) == 4 and found[0].shape[1] == 320
  panel = [f[240:].astype(int) for f in found]
  colored = [(p[..., 0] > p[..., 2] + 40).sum() for p in panel]
  assert colored[0] < colored[1] < colored[2] < colored[3]


def test_a_timeline_of_many_classes():
  windows = [(5 * k, 5 * k + 5) for k in range(30)]
  p = np.full([30, 40], .01)
  p[:10, 7] = p[20:, 3] = .6
  picture = np.zeros([9, 16, 3], np.uint8)
  events = recording_events.events_of(windows, p, False)
  figure = timelines.timeline([(0, 150, picture)], windows, p, [
      f"class {c}" for c in range(40)], events, .5, "long.mp4")
  assert [a.get_ylabel() for a in figure.axes[1:]] == ["class 7", "class 3"]
  assert canvas.to_png(figure)[:4] == b"\x89PNG"
  assert timelines.clock(75, 90) == "1:15"
  assert timelines.clock(3700, 4000) == "1:01:40"
