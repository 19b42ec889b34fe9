"""The explain command: pictures in, sheets, maps, boxes and clips out."""

import json
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import UserError
from atcon_tf.data import image_files
from atcon_tf.data import pictures
from atcon_tf.data import recordings
from atcon_tf.data.sources import folder
from atcon_tf import models
from atcon_tf.models.build import stock
from atcon_tf.reports import explained_files
from atcon_tf.reports import explained_recordings
from atcon_tf.reports.explainer import choose_classes
from atcon_tf.reports.explainer import explain_image
from atcon_tf.reports.explainer import Explainer
from atcon_tf.reports import moving_pictures
from atcon_tf.runs.run import load_classifier
from tests import quiet_process
from tests.data import drawn_clips

NAMES = ("cat", "dog", "pot plant")


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
  keras.utils.set_random_seed(0)
  path = tmp_path_factory.mktemp("model") / "mine.keras"
  images = keras.Input([16, 16, 3])
  x = keras.layers.Conv2D(6, 3, activation="relu", name="map")(images)
  x = keras.layers.GlobalAveragePooling2D()(x)
  keras.Model(images, keras.layers.Dense(3, activation="softmax")(x)).save(
      path)
  return str(path)


@pytest.fixture(scope="module")
def explainer(model_file):
  return Explainer(
      *load_classifier(model=model_file, class_names=NAMES),
      ["grad_cam", "gradient"])


def _picture(mode="RGB", size=(40, 30)):
  rng = np.random.default_rng(0)
  image = PIL.Image.fromarray(rng.integers(
      0, 255, [size[1], size[0], 3], dtype=np.uint8))
  if mode == "I;16":
    return PIL.Image.fromarray(rng.integers(
        0, 65535, size[::-1], dtype=np.uint16))
  return image.convert(mode)


# Pictures.


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "I;16"])
def test_every_kind_of_picture_is_rgb(mode, tmp_path):
  _picture(mode).save(tmp_path / "x.png")
  image = pictures.read(tmp_path / "x.png")
  assert image.shape == (30, 40, 3) and image.dtype == np.uint8


def test_what_is_no_picture(tmp_path):
  _picture().save(tmp_path / "x.png")
  whole = (tmp_path / "x.png").read_bytes()
  (tmp_path / "cut.png").write_bytes(whole[:len(whole) // 2])
  with pytest.raises(UserError, match="cut.png: does not decode"):
    pictures.read(tmp_path / "cut.png")
  with pytest.raises(UserError, match="no image there"):
    pictures.find([str(tmp_path / "*.gif")])
  with pytest.raises(UserError, match=r"no image there \(no such file"):
    pictures.find([str(tmp_path / "none")])


def test_a_huge_picture_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
  _picture().save(tmp_path / "x.png")
  with pytest.raises(UserError, match="x.png: does not decode"):
    pictures.read(tmp_path / "x.png")


def test_files_folders_and_globs(tmp_path):
  for name in ("b.png", "a.jpg", "sub/c.png", "notes.txt", "._a.jpg",
               "__MACOSX/d.png"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if name.endswith("txt"):
      path.write_text("x")
    else:
      _picture().save(path)
  said = []
  found = pictures.find([str(tmp_path), str(tmp_path / "*.png")], said.append)
  assert said == [f"left out of {tmp_path}: 1 file that is no picture (1 .txt)"]
  assert [p.name for p in found] == ["a.jpg", "b.png", "c.png"]


def test_class_folders_take_the_same_pictures(tmp_path):
  for name in ("cat", "dog"):
    (tmp_path / name).mkdir()
    for i, ending in enumerate(image_files.ENDINGS):
      _picture().save(tmp_path / name / f"{i}{ending.upper()}")
  data = folder.load(str(tmp_path))
  found = {r.image for records in data.splits.values() for r in records}
  assert found == set(map(str, pictures.find([str(tmp_path)])))
  assert len(found) == 2 * len(image_files.ENDINGS)


def test_names_of_files_are_distinct_on_every_system():
  names = explained_files.unique_names(
      ["1", "1", "A", "a", "cafe\u0301", "caf\xe9", "a/b", "a_b", "50% $x$",
       "\u732b" * 200])
  assert names[:9] == ["1", "1_2", "A", "a_2", "cafe\u0301", "caf\xe9_2", "a_b",
                       "a_b_2", "50% $x$"]
  assert names[9] == "\u732b" * (explained_files.LONGEST // 3)


# Boxes.


@pytest.mark.parametrize("box_format, box", [
    ("pascal", [4.0, 6.0, 20.0, 12.0]), ("coco", [4.0, 6.0, 16.0, 6.0])])
def test_box_formats(box_format, box):
  result = {"boxes": {("grad_cam", 1): [
      {"box": [.1, .2, .5, .4], "score": 1.0}]}, "probability": [.1, .9, 0]}
  row, = explained_files.box_rows("x", "a/x.jpg", np.zeros([30, 40, 3]), result,
                                  NAMES, box_format)
  assert row["box"] == box and row["class"] == "dog"
  assert row["image"] == "x" and row["path"] == "a/x.jpg"


# Classes.


def test_choice_of_classes():
  probability = np.array([.2, .7, .6])
  choose = choose_classes
  assert choose(probability, NAMES) == [1]
  assert choose(probability, NAMES, top=2) == [1, 2]
  assert choose(probability, NAMES, positive=True) == [1, 2]
  assert choose(probability / 2, NAMES, positive=True) == [1]
  assert choose(probability, NAMES, labels=["cat"]) == [0]
  with pytest.raises(UserError, match="label='cow': no such class"):
    choose(probability, NAMES, labels=["cow"])
  with pytest.raises(UserError, match="top=4: there are 3"):
    choose(probability, NAMES, top=4)


def test_what_is_explained_is_the_label():
  """Of two classes by the run's threshold, as predict says it."""
  names, p = ("fine", "broken"), np.array([.77, .23])
  for positive in (False, True):
    assert choose_classes(p, names, positive=positive, threshold=.15,
                          multi_label=False) == [1]
    assert choose_classes(p, names, positive=positive, threshold=.3,
                          multi_label=False) == [0]
    assert choose_classes(p, names, positive=positive,
                          multi_label=False) == [0]
  assert choose_classes(p, names, top=2, threshold=.15,
                        multi_label=False) == [0, 1]
  assert choose_classes(p, names, positive=True, threshold=.2) == [0, 1]


def test_explain_image(explainer):
  image = np.asarray(_picture())
  result = explain_image(explainer, image, [0, 2])
  assert set(result["maps"]) == {(m, c) for m in ("grad_cam", "gradient")
                                 for c in (0, 2)}
  assert result["maps"]["grad_cam", 0].shape == (16, 16)
  assert result["overlays"]["gradient", 2].shape == (30, 40, 3)
  assert result["probability"].sum() == pytest.approx(1)
  png = explained_files.draw(explainer, image, result, [0, 2])
  assert png.startswith(b"\x89PNG")


def test_a_class_alone_is_explained_by_its_own_probability():
  """Of one logit a softmax is 1, whatever is hidden."""
  keras.utils.set_random_seed(0)
  images = keras.Input([16, 16, 3])
  x = keras.layers.Conv2D(6, 3, activation="relu")(images)
  x = keras.layers.GlobalAveragePooling2D()(x)
  model = models.wrap(keras.Model(images, keras.layers.Dense(1)(x)))
  seen = np.random.default_rng(0).random([1, 16, 16, 3], np.float32)
  heat, flat = (Explainer(
      model, ("yes",), multi_label, ["occlusion"]).maps(
          seen, "occlusion", np.array([0])) for multi_label in (True, False))
  assert np.ptp(heat) > 1e-5 and np.abs(flat).max() < 1e-6


def test_names_that_are_there_twice(model_file):
  names = load_classifier(model=model_file,
                          class_names=["crane", "ox", "crane"])[1]
  assert names == ("crane", "ox", "crane 2")


def test_a_very_tall_picture_has_a_sheet(explainer):
  image = np.asarray(_picture(size=(20, 800)))
  result = explain_image(explainer, image, [0])
  assert explained_files.draw(explainer, image, result, [0])[:4] == b"\x89PNG"


def test_a_sheet_says_from_where_on_a_class_is_said(model_file):
  """The operating threshold of a run may be far from a half."""
  probability = np.array([.7, .3])
  for threshold, last in (None, "dog 30%"), (.125, "(dog is said from 12.5%"
                                                   " on)"):
    one = Explainer(models.wrap(keras.models.load_model(model_file)),
                    NAMES[:2], False, [], threshold=threshold)
    text = explained_files.subtitle(one, probability)
    assert text.startswith("cat 70%\ndog 30%") and text.endswith(last)


def test_a_recording(explainer, tmp_path):
  """Every frame alone; the file plays as fast as the recording."""
  times = [0, .1, .2, .7]  # the third is shown for as long as five others
  path = drawn_clips.write(tmp_path / "walk.mp4", times, key_every=1,
                           damaged=[1])
  lines = list(explained_recordings.explain_frames(
      explainer, path, tmp_path / "out", lambda p: [1], "mp4"))
  assert lines[0] == (f"note: {path}: 1 frame from 0.10 s on did not decode; "
                      "each is replaced by the nearest earlier one")
  assert [line.rpartition("/")[2] for line in lines[1:]] == [
      "walk_grad_cam_dog.mp4: 4 frames", "walk_gradient_dog.mp4: 4 frames"]
  shown = recordings.recording(str(tmp_path / "out/walk_grad_cam_dog.mp4"))
  assert shown.seconds == pytest.approx(.8, abs=.05)


@pytest.mark.parametrize("write", [moving_pictures.gif, moving_pictures.mp4])
def test_what_is_written_is_read(write, tmp_path):
  """In H.264 sides that are odd lose a row or a column."""
  frames = [np.full([31, 41, 3], 60 * i, np.uint8) for i in (1, 2, 3)]
  path = tmp_path / f"clip.{write.__name__}"
  path.write_bytes(write(frames, .2))
  found = recordings.recording(str(path))
  assert found.seconds == pytest.approx(.6) and found.rate == pytest.approx(5)
  read = list(found.each(found.frame_seconds, []))
  odd = write is moving_pictures.gif
  assert [f.shape for f in read] == [(30 + odd, 40 + odd, 3)] * 3
  for before, after in zip(frames, read):
    assert abs(after.mean() - before.mean()) < 4


def test_mp4_without_its_encoder(monkeypatch):
  monkeypatch.setattr(moving_pictures.av, "codecs_available", {"mpeg4"})
  with pytest.raises(UserError, match="video_format='mp4': needs .*libx264"):
    moving_pictures.check_mp4()


def test_stock_models_and_what_to_explain():
  with pytest.raises(UserError, match="give either workdir"):
    load_classifier()
  with pytest.raises(UserError, match="model='lenet': must be a .keras"):
    load_classifier(model="lenet")
  with pytest.raises(UserError, match="no such file"):
    load_classifier(model="none.keras")
  classifier = stock("mobilenet", "none")
  assert classifier.num_classes == 1000


@pytest.mark.parametrize("units, activation, multi_label", [
    (3, "softmax", False), (3, "sigmoid", True), (3, "linear", False)])
def test_a_file_that_ends_in_a_sigmoid_has_independent_classes(
    units, activation, multi_label, tmp_path):
  images = keras.Input([16, 16, 3])
  x = keras.layers.Conv2D(6, 3, activation="relu")(images)
  x = keras.layers.GlobalAveragePooling2D()(x)
  model = keras.Model(images, keras.layers.Dense(units)(x) if (
      activation == "linear") else keras.layers.Dense(
          units, activation=activation)(x))
  model.save(tmp_path / "mine.keras")
  loaded = load_classifier(model=str(tmp_path / "mine.keras"))
  assert loaded[2] == multi_label
  explainer = Explainer(*loaded, ["grad_cam"])
  seen = explainer.see(np.asarray(_picture()))
  if activation != "linear":
    np.testing.assert_allclose(explainer.probability(seen),
                               model.predict(seen, verbose=0), atol=1e-6)


@pytest.mark.parametrize("end, says", [
    ([keras.layers.Conv2D(3, 1)], "must be a number for each class"),
    ([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)],
     "has one output")])
def test_a_file_that_is_no_classifier_is_refused(end, says, tmp_path):
  path = str(tmp_path / "mine.keras")
  keras.Sequential([keras.Input([16, 16, 3]), keras.layers.Conv2D(
      6, 3, activation="relu"), *end]).save(path)
  with pytest.raises(UserError, match=f"model='.*mine.keras': .*{says}"):
    load_classifier(model=path)


def test_broken_recordings(explainer, tmp_path):
  (tmp_path / "bad.gif").write_bytes(b"GIF89a, and no more")
  (tmp_path / "bad.txt").write_text("no video")
  (tmp_path / "empty").mkdir()
  for name, says in [("bad.gif", "does not decode"),
                     ("bad.txt", r"does not decode \(no video, or cut off"),
                     ("empty", r"does not decode \(holds no frame \(0 s"),
                     ("none.gif", "no such file")]:
    with pytest.raises(UserError, match=f"video='.*{name}': {says}"):
      list(explained_recordings.explain_frames(
          explainer, str(tmp_path / name), tmp_path / "out", lambda p: [0]))
  assert not (tmp_path / "out").exists()


def _command(*arguments):
  return subprocess.run(
      [sys.executable, "-m", "atcon_tf.explain", *arguments],
      capture_output=True, text=True, check=False)


def test_the_command(model_file, tmp_path):
  _picture().save(tmp_path / "a.png")
  (tmp_path / "bad.png").write_bytes(b"x")
  done = _command(f"--model={model_file}", f"--images={tmp_path}",
                  "--class_names=cat,dog,pot plant", "--top=2",
                  f"--out={tmp_path / 'out'}", "--box_format=coco",
                  "--methods=grad_cam,guided_backprop")
  quiet_process.output(done)
  assert "left out" in done.stdout and "1 sheet" in done.stdout
  names = {p.name for p in (tmp_path / "out").iterdir()}
  assert {"a_sheet.png", "a.npz", "boxes.json", "boxes.csv"} <= names
  with np.load(tmp_path / "out" / "a.npz") as arrays:
    assert len(arrays.files) == 4
  rows = json.loads((tmp_path / "out" / "boxes.json").read_text())
  assert rows["format"] == "coco"
  header = (tmp_path / "out" / "boxes.csv").read_text().split("\n")[0]
  assert header == "path,image,method,class,probability,x,y,width,height,score"


def test_pictures_of_which_none_can_be_read(model_file, tmp_path):
  for name in "ab":
    (tmp_path / f"{name}.png").write_bytes(b"x")
  done = _command(f"--model={model_file}", f"--images={tmp_path}",
                  f"--out={tmp_path / 'out'}")
  assert done.returncode == 2 and "none of the 2 can be read" in done.stderr
  assert not (tmp_path / "out").exists()


def test_list_layers(model_file):
  done = _command(f"--model={model_file}", "--list_layers")
  quiet_process.output(done)
  assert [line.split() for line in done.stdout.splitlines()] == [
      ["map", "14", "x", "14", "x", "6", "cam,", "tame"]]


@pytest.mark.parametrize("flags, says", [
    (["--images={}/none*.png"], "--images="),
    (["--weights=x.h5"], "--weights=x.h5: not used with "),
    (["--label=cat", "--top=2"], "--top=2: not used with "),
    (["--video_format=mp4"], "--video_format=mp4: not used with "),
    (["--list_layers"], "--images={0}/a.png: not used with --list_layers"),
    (["--images=", "--video={0}", "--box_format=coco"],
     "--box_format=coco: not used with --video alone"),
    (["--images=", "--video={0}", "--event_threshold=0.3"],
     "--event_threshold=0.3: used with --window_seconds alone"),
    (["--window_seconds=2"], "--window_seconds=2.0: not used with --images"),
    (["--examples=2"], "--examples=2: needs --workdir=RUN"),
    (["--class_names={0}/a.png"], "--class_names={0}/a.png: not a UTF-8"),
    (["--out={}/a.png/x"], "--out={0}/a.png/x: {0}/a.png is a file")])
def test_one_line_for_a_mistake(model_file, tmp_path, flags, says):
  _picture().save(tmp_path / "a.png")
  done = _command(f"--model={model_file}", f"--images={tmp_path / 'a.png'}",
                  *(flag.format(tmp_path) for flag in flags))
  assert done.returncode == 2
  assert done.stderr.strip().splitlines()[-1].startswith(
      f"error: {says.format(tmp_path)}")
