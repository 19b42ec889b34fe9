"""Binary inspection data: the layout, its mistakes, and whole runs on it."""

import dataclasses
import json
import shutil
import subprocess
import sys

from absl.testing import parameterized
import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing import event_accumulator

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.data import class_masks
from atcon_tf.data import image_store
from atcon_tf.data.sources import binary_masks
from atcon_tf.evaluation import comparison
from atcon_tf.evaluation import evaluate_run
from atcon_tf.evaluation.metrics import classification
from atcon_tf.reports import run_page
from atcon_tf.reports import tables
from atcon_tf import runs
from atcon_tf.runs import stored_predictions
from atcon_tf import training
from tests.conftest import ROOT
from tests.refusals import refused

POSITIVES = "training/positives"


class LayoutTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def _folder(self, tmp_path):
    self.root = tmp_path / "parts"

  def make(self, *splits, positives="positives", negatives="negatives"):
    """Five images of each class in each split."""
    for split in splits or ("training", "validation"):
      for below in (positives, negatives):
        for i in range(5):
          self.save(f"{split}/{below}/{i}.jpg", np.zeros([6, 8, 3]))

  def save(self, name, values, mode=None):
    path = self.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.fromarray(np.asarray(values, np.uint8))
    (image.convert(mode) if mode else image).save(path)
    return path

  def mask(self):
    """Two stains of 6 x 8 pixels: the left column, and two that touch."""
    values = np.zeros([6, 8])
    values[:, 0] = values[2, 4] = values[3, 5] = 255
    return values

  def ids(self, **options):
    return {split: [r.id for r in records] for split, records in
            binary_masks.load(str(self.root), **options).splits.items()}

  def refuses(self, message):
    with self.assertRaisesRegex(UserError, message) as caught:
      binary_masks.load(str(self.root))
    self.assertNotIn("\n", str(caught.exception))

  def test_a_mask_and_its_boxes(self):
    self.make()
    self.save(f"{POSITIVES}/3m.png", self.mask())
    data = binary_masks.load(str(self.root))
    self.assertEqual(data.class_names, ("negative", "positive"))
    self.assertFalse(data.multi_label)
    every = {r.id: r for part in data.splits.values() for r in part}
    self.assertLen(every, 20)
    record = every.pop(f"{POSITIVES}/3.jpg")
    np.testing.assert_array_equal(record.label, [0, 1])
    np.testing.assert_array_equal(record.mask(), self.mask() / 255 * 2)
    # Columns 0 to 1 of 8; columns 4 to 6, rows 2 to 4 of 6.
    np.testing.assert_allclose(
        record.boxes, [[0, 0, 1 / 8, 1], [1 / 2, 1 / 3, 3 / 4, 2 / 3]])
    np.testing.assert_array_equal(record.box_label, [1, 1])
    for other in every.values():
      self.assertIsNone(other.mask)
      self.assertEqual(other.boxes.shape, (0, 4))
      self.assertEqual(other.label[1], "positives" in other.id)

  def test_a_mask_is_of_the_photo_as_it_is_shown(self):
    self.make()
    photo = PIL.Image.open(self.save(f"{POSITIVES}/3.jpg",
                                     np.zeros([8, 6, 3])))
    exif = photo.getexif()
    exif[0x0112] = 6  # stored lying, shown standing
    photo.save(self.root / POSITIVES / "3.jpg", exif=exif)
    self.save(f"{POSITIVES}/3m.png", self.mask())
    every = sum(binary_masks.load(str(self.root)).splits.values(), [])
    marked, = (r for r in every if r.mask)
    self.assertEqual(marked.mask().shape, image_store.to_rgb(
        PIL.Image.open(marked.image)).size[::-1])
    class_masks.ClassMasks([marked], 16)[[0]]
    self.save(f"{POSITIVES}/3m.png", self.mask().T)
    self.refuses("3m.png: a mask of 6 x 8 pixels, but its image 3.jpg has 8")

  @parameterized.parameters("1", "L", "P")
  def test_kinds_of_masks(self, mode):
    self.make()
    values = self.mask() / 255  # 0 and 1
    bits = mode == "1"
    path = self.save(f"{POSITIVES}/0m.png", values * (255 if bits else 1),
                     "1" if bits else None)
    if mode == "P":
      image = PIL.Image.fromarray(values.astype(np.uint8))
      image.putpalette([0, 0, 0, 200, 30, 30])
      image.save(path)
    with PIL.Image.open(path) as stored:
      self.assertEqual(stored.mode, mode)
    every = sum(binary_masks.load(str(self.root)).splits.values(), [])
    mask, = (r.mask() for r in every if r.mask)
    np.testing.assert_array_equal(mask, 2 * values)

  def test_the_names_of_the_re_implementation(self):
    self.make(positives="Pos", negatives="Neg")
    self.save("training/Pos/1m.png", self.mask())
    self.save("training/Neg/film.jpg", np.zeros([6, 8, 3]))
    ids = sum(self.ids().values(), [])
    self.assertIn("training/Neg/film.jpg", ids)
    self.assertNotIn("training/Pos/1m.png", ids)

  def test_without_testing_validation_tests(self):
    self.make()
    ids = self.ids()
    self.assertEqual({s: len(i) for s, i in ids.items()},
                     {"train": 8, "val": 2, "test": 10})
    self.assertTrue(all(i.startswith("validation/") for i in ids["test"]))
    # A fifth of each class.
    self.assertEqual(sorted(i.split("/")[1] for i in ids["val"]),
                     ["negatives", "positives"])
    self.assertNotEqual({tuple(self.ids(seed=s)["val"]) for s in range(9)},
                        {tuple(ids["val"])})

  def test_testing_tests(self):
    self.make("training", "validation", "testing")
    ids = self.ids()
    for split, name in [("train", "training"), ("val", "validation"),
                        ("test", "testing")]:
      self.assertLen(ids[split], 10)
      self.assertTrue(all(i.startswith(name) for i in ids[split]))

  @parameterized.parameters(
      (np.zeros([6, 8]), "L", "0m.png: a mask must mark the object somewhere"),
      (np.full([5, 8], 255), "L", "0m.png: a mask of 8 x 5 pixels, but its "
       "image 0.jpg has 8 x 6"),
      (np.full([6, 8], 7), "L", "0m.png: a mask must be 0 and 255, or 0 and 1; "
       "it holds 7"),
      (np.tile([[0, 1, 255, 0]], [6, 2]), "L", "it holds 1 beside 255"),
      (np.full([6, 8, 3], 255), "RGB", "0m.png: a mask must have one channel "
       "of 8 bits or less, this is an image of mode RGB"))
  def test_refuses_a_mask(self, values, mode, message):
    self.make()
    self.save(f"{POSITIVES}/0m.png", values, mode)
    self.refuses(message)

  def test_refuses_a_16_bit_mask(self):
    self.make()
    PIL.Image.fromarray(np.full([6, 8], 256, np.uint16)).save(
        self.root / POSITIVES / "0m.png")
    self.refuses("mode I;16")

  def test_refuses_a_broken_mask(self):
    self.make()
    (self.root / POSITIVES / "0m.png").write_text("nothing")
    self.refuses("0m.png: not a readable mask")

  def test_refuses_a_jpeg_mask(self):
    self.make()
    self.save(f"{POSITIVES}/0m.jpg", self.mask())
    self.refuses("0m.jpg: a mask must be stored without loss, as .png")

  def test_refuses_a_mask_without_its_image(self):
    self.make()
    self.save(f"{POSITIVES}/9m.png", self.mask())
    self.refuses("9m.png: a mask .its name ends in m. without its image 9;")

  def test_refuses_a_mask_of_a_negative(self):
    self.make()
    self.save("training/negatives/0m.png", self.mask())
    self.refuses("negatives/0m.png: a mask of 0.jpg, but negatives have none")

  def test_refuses_one_name_twice(self):
    self.make()
    self.save(f"{POSITIVES}/0.png", np.zeros([6, 8, 3]))
    self.refuses("0.png: 0.jpg has the same name")

  def test_refuses_other_folders(self):
    self.make("training", "validation", "test")
    self.refuses("test: there may only be the folders training, validation, "
                 "testing")
    shutil.rmtree(self.root / "test")
    self.make("training", positives="Pos")
    self.refuses("one folder of positives .or Pos. and one of negatives")

  def test_refuses_what_is_missing(self):
    self.refuses("no such folder")
    self.make("training")
    self.refuses("no folder validation in it")
    self.make("validation")
    for path in (self.root / POSITIVES).iterdir():
      path.unlink()
    self.refuses("training: no positives there")
    self.save(f"{POSITIVES}/0.jpg", np.zeros([6, 8, 3]))
    self.refuses("6 positive images leave none for the train split")

  def test_a_broken_image_is_left_to_max_bad_images(self):
    self.make()
    self.save(f"{POSITIVES}/0m.png", self.mask())
    (self.root / POSITIVES / "0.jpg").write_text("nothing")
    self.assertLen(sum(self.ids().values(), []), 20)


# Whole runs.

TINY = dict(dataset="binary_masks", model="tiny_cnn", image_size=48, shots=6,
            batch_size=8, bootstrap=40, summary_images=2,
            batch_positive_share=0.25, false_alarm_rates=("0.05", "0.5"))


@pytest.fixture(scope="module")
def finished(inspection_dir, tmp_path_factory):
  """One supervised and one ATCON run."""
  root = tmp_path_factory.mktemp("runs")
  for objective, steps in [("supervised", 40), ("atcon", 4)]:
    training.train_and_evaluate(Config(**{
        **TINY, "objective": objective, "steps": steps,
        "eval_every": steps // 2, "data_dir": str(inspection_dir)}).resolve(),
        root / objective)
  return root


@pytest.mark.parametrize("objective", ["supervised", "atcon"])
def test_result(finished, objective):
  path = finished / objective
  result = json.loads((path / "result.json").read_text())
  assert result["data"] == {"train_labeled": 12, "train_unlabeled": 28,
                            "val": 20, "test": 30}
  test, arrays = result["test"], stored_predictions.load_predictions(path)
  label, score = arrays["label"][:, 1], arrays["probability"][:, 1]
  assert test["auc_macro"] == pytest.approx(classification.auc(label, score))
  assert test["per_class"]["positive"]["auc"] == pytest.approx(
      test["auc_macro"])
  for rate in (0.05, 0.5):
    name = f"sensitivity_at_{rate:g}"
    assert test[name] == pytest.approx(
        classification.sensitivity_at(label, score, [rate])[0])
    assert name in test["ci90"]
  roc = test["roc"]
  assert roc["threshold"][0] is None
  area = np.trapezoid(roc["sensitivity"], roc["false_alarm_rate"])
  assert area == pytest.approx(test["auc_macro"])
  # Masks of the ten positives of the test split, none of negatives.
  known = np.isfinite(arrays["mask_iou"])
  np.testing.assert_array_equal(known, arrays["label"] * [0, 1] > 0)
  assert test["mask_iou"] == pytest.approx(arrays["mask_iou"][known].mean())
  assert 0 < test["centre_mask_iou"] < 1
  assert set(result["thresholds"]) == {"cam", "centre_box", "mask",
                                       "centre_mask"}
  assert (path / "figures" / "roc.png").stat().st_size
  assert "sensitivity at 0.05 alarms" in tables.scores_table({"run": result})


def test_a_part_of_one_class_has_no_roc(finished, inspection_dir, tmp_path):
  split = json.loads((finished / "supervised" / "splits.json").read_text())
  split["val"] = [i for i in split["val"] if "positives" in i]
  path = tmp_path / "splits.json"
  path.write_text(json.dumps(split))
  settings = {k: v for k, v in TINY.items() if k != "shots"}
  result = training.train_and_evaluate(Config(**{
      **settings, "objective": "supervised", "steps": 2, "eval_every": 1,
      "splits": str(path), "data_dir": str(inspection_dir)}).resolve(),
      tmp_path / "w")
  assert "roc" not in result["val"] and "roc" in result["test"]
  assert (tmp_path / "w" / "figures" / "roc.png").stat().st_size


def test_it_learns(finished):
  """Bright stains on grey: better than chance, and the map finds them."""
  test = runs.load(finished / "supervised").result["test"]
  assert test["auc_macro"] > 0.7


def test_tensorboard(finished):
  events = event_accumulator.EventAccumulator(
      str(finished / "supervised" / "tb"), size_guidance={"tensors": 0})
  events.Reload()
  assert {"validation/mask_iou", "validation/sensitivity_at_0.05",
          "validation/auc_macro", "roc"} <= set(events.Tags()["tensors"])
  assert [e.step for e in events.Tensors("roc")] == [20, 40]


def test_evaluate_compare_and_report(finished):
  run, other = (runs.load(finished / o) for o in ("supervised", "atcon"))
  again = evaluate_run.evaluate(run)["test"]
  for name in ("auc_macro", "mask_iou", "sensitivity_at_0.05"):
    assert again[name] == pytest.approx(run.result["test"][name], abs=1e-6)
  assert again["roc"] == run.result["test"]["roc"]
  differences = comparison.compare(
      *(stored_predictions.load_predictions(r.path) for r in (other, run)), samples=50)
  assert differences["mask_iou"]["difference"] == pytest.approx(
      run.result["test"]["mask_iou"] - other.result["test"]["mask_iou"])
  text = tables.differences_table(differences, "supervised over atcon")
  assert "sensitivity at 0.5 alarms" in text and "mask IoU" in text
  page = run_page.report(run, other)
  assert "sensitivity at 0.5 alarms" in page and "mask IoU" in page


def test_export(finished, tmp_path):
  """The command, in a process of its own."""
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.export",
       f"--workdir={finished / 'supervised'}", f"--out={tmp_path / 'served'}"],
      capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-2000:]
  metadata = json.loads(
      (tmp_path / "served/1/assets/metadata.json").read_text())
  assert "mask_iou" in metadata["metrics"]


def test_the_preset(inspection_dir, tmp_path):
  """As a user would run it, with a small network; batches are balanced."""
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.train",
       "--flagfile=flags/binary_masks_gain.flags", "--model=tiny_cnn",
       f"--data_dir={inspection_dir}", "--image_size=48", "--steps=2",
       "--bootstrap=0", f"--workdir={tmp_path / 'run'}"],
      cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-2000:]
  result = runs.load(tmp_path / "run").result
  assert result["data"]["train_labeled"] == 40
  row = result["history"][-1]
  assert 0 < row["attention_mining"] < 1 and 0 < row["extra_supervision"] < 1
  assert "mask_iou" in result["test"]


def test_no_positives_to_speak_of(tmp_path):
  """Three classes in a folder: none of them is the positive one."""
  for split in ("train", "test"):
    for name in "abc":
      folder = tmp_path / "data" / split / name
      folder.mkdir(parents=True)
      for i in range(5):
        PIL.Image.new("RGB", (8, 8)).save(folder / f"{i}.png")
  config = Config(dataset="folder", data_dir=str(tmp_path / "data"), shots=1,
                  model="tiny_cnn", objective="supervised")
  for changes, start in [(dict(batch_positive_share=0.5),
                          "--batch_positive_share=0.5: "),
                         (dict(false_alarm_rates=("0.2",)),
                          "--false_alarm_rates=0.2: ")]:
    with refused(start + "the data must have two "
                       "classes, .*; these have 3"):
      training.train_and_evaluate(dataclasses.replace(
          config, **changes).resolve(), tmp_path / start[2:8])
    assert not (tmp_path / start[2:8] / "splits.json").exists()
