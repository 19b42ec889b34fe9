"""The predict command: pictures in, a table of labels out."""

import csv
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.models import probabilities
from atcon_tf import predict
from atcon_tf import runs
from atcon_tf.reports import predicted_labels
from atcon_tf.runs import picture_labels
from atcon_tf.runs import run_data
from atcon_tf.runs import stored_predictions
from tests import quiet_process


def _command(*arguments):
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.predict", *map(str, arguments)],
      capture_output=True, text=True, check=False)
  assert "Traceback" not in done.stderr, done.stderr[-2000:]
  return done


def _rows(path):
  with open(path, encoding="utf-8", newline="") as file:
    return list(csv.DictReader(file))


def _photo(path, orientation=1, size=(90, 60)):
  small = np.random.default_rng(3).integers(0, 256, (6, 9, 3), np.uint8)
  exif = PIL.Image.Exif()
  exif[0x0112] = orientation
  PIL.Image.fromarray(small).resize(size).save(path, "JPEG", exif=exif)
  with PIL.Image.open(path) as image:
    return np.asarray(PIL.ImageOps.exif_transpose(image).convert("RGB"))


def test_a_run_labels_pictures_as_it_did_when_it_was_tested(tiny_run,
                                                            tmp_path):
  """PNG of its test images; a JPEG that its EXIF turns; one that is broken."""
  run = runs.load(tiny_run)
  records, images = run_data.load_part(run)
  folder = tmp_path / "photos"
  folder.mkdir()
  names = [f"scene {i}, left.png" for i in range(3)]
  for name, pixels in zip(names, images.pixels):
    PIL.Image.fromarray(pixels).save(folder / name)
  upright = _photo(folder / "turned.jpg", 6)
  assert upright.shape == (90, 60, 3)
  (folder / "broken.jpg").write_bytes(
      (folder / "turned.jpg").read_bytes()[:300])
  out = tmp_path / "labels.csv"
  done = _command(f"--workdir={tiny_run}", f"--images={folder}",
                  f"--out={out}", "--batch_size=2")
  quiet_process.output(done)
  assert f"left out: {folder}/broken.jpg: does not decode" in done.stdout
  assert done.stdout.splitlines()[-1] == (
      f"{out}: 4 pictures, 6 classes; 1 could not be read")
  rows = _rows(out)
  assert list(rows[0]) == ["path", "labels", *run.class_names]
  assert [row["path"] for row in rows] == [
      str(folder / name) for name in [*names, "turned.jpg"]]
  found = np.array([[float(row[name]) for name in run.class_names]
                    for row in rows])
  stored = stored_predictions.load_predictions(tiny_run)
  place = list(stored["id"]).index(records[1].id)
  np.testing.assert_allclose(found[1], stored["probability"][place],
                             atol=1e-5)
  seen = pictures.squeeze(upright, run.classifier.image_size[0])[np.newaxis]
  np.testing.assert_allclose(found[3], probabilities.probability(
      run.classifier.model(seen, training=False).numpy(), True)[0], atol=1e-5)
  threshold = run.result["thresholds"]["probability"]
  for row, probability in zip(rows, found):
    assert row["labels"] == ";".join(
        name for name, p in zip(run.class_names, probability)
        if p >= threshold)


@pytest.fixture(name="keras_file", scope="module")
def _keras_file(tmp_path_factory):
  """Logits are the mean blue and the mean red of a picture."""
  images = keras.Input([16, 16, 3])
  layer = keras.layers.Conv2D(2, 1, use_bias=False, name="map")
  x = keras.layers.GlobalAveragePooling2D()(layer(images))
  layer.set_weights([np.array([[[[0, 1], [0, 0], [1, 0]]]], np.float32)])
  path = tmp_path_factory.mktemp("model") / "colors.keras"
  keras.Model(images, x).save(path)
  return path


def test_a_keras_file_with_one_label_an_image(keras_file, tmp_path):
  for name, color in (("a", (0, 0, 250)), ("b", (250, 0, 0))):
    PIL.Image.new("RGB", (20, 16), color).save(tmp_path / f"{name}.png")
  (tmp_path / "names.txt").write_text("sky, clear\nred \"brick\"\n")
  out = tmp_path / "labels.csv"
  done = _command(f"--model={keras_file}", f"--images={tmp_path}/*.png",
                  f"--class_names={tmp_path}/names.txt", f"--out={out}")
  quiet_process.output(done)
  rows = _rows(out)
  assert [row["labels"] for row in rows] == ["sky, clear", 'red "brick"']
  odds = np.exp(250 / 255)
  assert float(rows[0]["sky, clear"]) == pytest.approx(
      odds / (1 + odds), abs=1e-5)


def test_labels_at_a_threshold():
  probability = np.array([[.6, .3, .1], [.5, .5, 0], [.1, .2, .3]])
  names, paths = ("a", "b", "c"), ["1", "2", "3"]

  def labels(multi_label, threshold, p=probability, names=names):
    text = predicted_labels.table(paths, p, names, picture_labels.named(
        p, multi_label, names, threshold))
    return [row["labels"] for row in csv.DictReader(text.splitlines())]

  assert labels(True, .5) == labels(True, None) == ["a", "a;b", ""]
  assert labels(False, None) == ["a", "a", "c"]
  two = np.array([[.6, .4], [.5, .5], [.9, .1]])
  assert labels(False, .3, two, names[:2]) == ["b", "b", "a"]


def test_a_run_predicts_in_python(tiny_run):
  run = runs.load(tiny_run)
  records, _ = run_data.load_part(run)
  pictures_ = [r.image() for r in records[:3]]
  names, probability = run.predict(pictures_)
  stored = stored_predictions.load_predictions(tiny_run)
  place = list(stored["id"]).index(records[1].id)
  np.testing.assert_allclose(probability[1], stored["probability"][place],
                             atol=1e-2)
  assert probability.shape == (3, len(run.class_names))
  threshold = run.result["thresholds"]["probability"]
  assert names[1] == tuple(
      n for n, p in zip(run.class_names, probability[1]) if p >= threshold)
  alone, _ = run.predict(pictures_[0])
  assert alone == names[:1]
  for wrong, why in [(np.zeros([3, 4, 4, 3]), "uint8"), ([], "at least one"),
                     ("nowhere.jpg", "no image there")]:
    with pytest.raises(UserError, match=why):
      run.predict(wrong)


def test_masks_beside_the_pictures_get_no_labels(capsys):
  names = ["7.jpg", "7m.png", "8.png", "arm.png", "other/8m.png"]
  paths = [pathlib.Path("parts") / name for name in names]
  config = types.SimpleNamespace(dataset="binary_masks")
  kept = picture_labels.without_masks(paths, config, print)
  assert [p.name for p in kept] == ["7.jpg", "8.png", "arm.png", "8m.png"]
  assert "left out: 1 masks of other pictures" in capsys.readouterr().out
  config.dataset = "folder"
  assert picture_labels.without_masks(paths, config, print) == paths


@pytest.mark.parametrize("flags, message", [
    (["--images={0}/*.png"], "--images={0}/*.png: none of the 2 pictures can"),
    ([], "--images: needed"),
    (["--images={0}/*.png", "--threshold=1.3"], "--threshold=1.3")])
def test_mistakes_are_one_line(keras_file, flags, message, tmp_path):
  for name in "ab":
    (tmp_path / f"{name}.png").write_bytes(b"x")
  done = _command(f"--model={keras_file}", f"--out={tmp_path / 'out.csv'}",
                  *(f.format(tmp_path) for f in flags))
  line, = [l for l in done.stderr.splitlines() if l.startswith("error: ")]
  assert done.returncode == 2 and message.format(tmp_path) in line
  assert not (tmp_path / "out.csv").exists()
