"""Lists labelled by a classifier: what it says, what can be read again."""

import shutil
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest

from atcon_tf.data.sources import image_list
from tests import quiet_process
from tests.conftest import ROOT


@pytest.fixture(name="photos", scope="module")
def _photos(tmp_path_factory):
  """Class folders of JPEGs, red and blue; some red ones lie among the blue."""
  root = tmp_path_factory.mktemp("label_list") / "photos"
  for part, count in (("train", 6), ("val", 4), ("test", 2)):
    for name, color in (("blue", (0, 0, 250)), ("red", (250, 0, 0))):
      (root / part / name).mkdir(parents=True)
      for i in range(count):
        wrong = name == "blue" and i == 0
        PIL.Image.new("RGB", (20, 16), (250, 0, 0) if wrong else color).save(
            root / part / name / f"my {i}.jpg")
  return root


@pytest.fixture(name="keras_file", scope="module")
def _keras_file(photos):
  """Logits are the mean blue and the mean red of a picture."""
  images = keras.Input([16, 16, 3])
  layer = keras.layers.Conv2D(2, 1, use_bias=False, name="map")
  x = keras.layers.GlobalAveragePooling2D()(layer(images))
  layer.set_weights([np.array([[[[0, 1], [0, 0], [1, 0]]]], np.float32)])
  path = photos.parent / "colors.keras"
  keras.Model(images, x).save(path)
  return path


def _run(*arguments):
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.label", *map(str, arguments)],
      capture_output=True, text=True, cwd=ROOT)
  assert "Traceback" not in done.stderr, done.stderr[-2000:]
  return done


def test_predictions_of_a_keras_file(photos, keras_file, tmp_path):
  out = tmp_path / "train.txt"
  data = ["--dataset=folder", f"--data_dir={photos}"]
  done = _run(f"--model={keras_file}", *data, f"--out={out}")
  quiet_process.output(done)
  # 1 of 12 is called red and lies in the folder of blue.
  assert "91.7% are one of the image's own labels" in done.stdout
  assert out.read_text().splitlines() == [
      f"train/blue/my {i}.jpg\t{'blue' if i else 'red'}"
      for i in range(6)] + [f"train/red/my {i}.jpg\tred" for i in range(6)]
  classes = tmp_path / "train_classes.txt"
  assert classes.read_text() == "blue\nred\n"
  # What was written is read again.
  val = tmp_path / "val.txt"
  done = _run("--labels=truth", *data, "--part=val", f"--out={val}")
  quiet_process.output(done)
  lists = image_list.load(str(photos), str(out), "", str(val), str(classes))
  label = {r.id: int(r.label.argmax())
           for part in lists.splits.values() for r in part}
  assert label["train/blue/my 0.jpg"] == 1  # as it was called
  assert label["val/blue/my 0.jpg"] == 0  # as it is
  assert len(label) == 20 and lists.class_names == ("blue", "red")


def test_of_a_run_and_its_data(photos, tmp_path):
  flags = ["--dataset=folder", f"--data_dir={photos}", "--model=tiny_cnn",
           "--image_size=32", "--objective=supervised", "--shots=2",
           "--steps=1", "--bootstrap=0", "--summary_images=0"]
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.train", *flags,
       f"--workdir={tmp_path / 'run'}"], capture_output=True, text=True,
      cwd=ROOT)
  quiet_process.output(done)
  out = tmp_path / "list.txt"
  done = _run(f"--workdir={tmp_path / 'run'}", "--part=test", f"--out={out}")
  quiet_process.output(done)
  with np.load(tmp_path / "run" / "predictions.npz") as stored:
    said = dict(zip(stored["id"], stored["probability"].argmax(-1)))
  assert out.read_text().splitlines() == [
      f"{i}\t{('blue', 'red')[c]}" for i, c in said.items()]


def test_classes_that_are_called_by_numbers(photos, tmp_path):
  """The second of 1, 10, 2 is no class called 1."""
  root = tmp_path / "photos"
  for part in ("train", "test"):
    for name in ("1", "10", "2"):
      shutil.copytree(photos / "train/red", root / part / name)
  for part in ("train", "test"):
    done = _run("--labels=truth", "--dataset=folder", f"--data_dir={root}",
                f"--part={part}", f"--out={tmp_path / part}.txt")
    quiet_process.output(done)
  data = image_list.load(
      str(root), f"{tmp_path}/train.txt", test_list=f"{tmp_path}/test.txt",
      class_list=f"{tmp_path}/train_classes.txt")
  for record in data.splits["train"] + data.splits["test"]:
    assert data.class_names[record.label.argmax()] == record.id.split("/")[1]


@pytest.mark.parametrize("flags, message", [
    (["--out=x.txt"], "--workdir: needed by --labels=prediction"),
    (["--out=x.txt", "--labels=truth"], "is no file, so no list can name it"),
])
def test_mistakes_are_one_line(flags, message):
  done = _run(*flags)
  line, = [l for l in done.stderr.splitlines() if l.startswith("error: ")]
  assert done.returncode == 2 and message in line
