"""Whole runs on binary inspection data."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

from atcon_tf.config import Config
from atcon_tf.evaluation import comparison
from atcon_tf.evaluation import evaluate_run
from atcon_tf.evaluation.metrics import classification
from atcon_tf.reports import run_page
from atcon_tf.reports import tables
from atcon_tf import runs
from atcon_tf.runs import run_data
from atcon_tf.runs import stored_predictions
from atcon_tf import training
from tests import quiet_process
from tests.conftest import ROOT
from tests.refusals import refused

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
        "eval_every": steps // 2, "data_dir": str(inspection_dir),
        "operating_point": "sensitivity:0.9" if objective == "atcon" else "",
        }).resolve(), root / objective)
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
  assert "operating_point" in test and "confusion" in test
  for rate in (0.05, 0.5):
    name = f"sensitivity_at_{rate:g}"
    assert test[name] == pytest.approx(
        classification.sensitivity_at(label, score, [rate])[0])
    assert name in test["ci90"]
  (kept,) = [row for row in result["history"] if row.get("kept")]
  assert kept["val_f1_macro"] == pytest.approx(result["val"]["f1_macro"])
  roc = test["roc"]
  assert roc["threshold"][0] is None
  area = np.trapezoid(roc["sensitivity"], roc["false_alarm_rate"])
  assert area == pytest.approx(test["auc_macro"])
  # Masks of the ten positives of the test split, none of negatives.
  known = np.isfinite(arrays["mask_iou"])
  np.testing.assert_array_equal(known, arrays["label"] * [0, 1] > 0)
  assert test["mask_iou"] == pytest.approx(arrays["mask_iou"][known].mean())
  assert 0 < test["centre_mask_iou"] < 1
  assert set(result["thresholds"]) == {"positive", "cam", "centre_box",
                                       "mask", "centre_mask"}
  threshold = result["thresholds"]["positive"]
  if objective == "supervised":
    assert threshold == 0.5
  assert test["operating_point"]["sensitivity"] == pytest.approx(
      (score[label > 0] >= threshold).mean())
  assert result["operating_point"]["class"] == "positive"
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
  """Bright stains on grey are classified better than by chance."""
  test = runs.load(finished / "supervised").result["test"]
  assert test["auc_macro"] > 0.7


def test_tensorboard(finished):
  events = event_accumulator.EventAccumulator(
      str(finished / "supervised" / "tb"), size_guidance={"tensors": 0})
  events.Reload()
  tags = set(events.Tags()["tensors"])
  assert {"validation/mask_iou", "validation/sensitivity_at_0.5",
          "validation/auc_macro", "roc"} <= tags
  # 12 negatives cannot show a rate of 1 in 20.
  assert "validation/sensitivity_at_0.05" not in tags
  assert [e.step for e in events.Tensors("roc")] == [20, 40]


def test_evaluate_compare_and_report(finished):
  run, other = (runs.load(finished / o) for o in ("supervised", "atcon"))
  again = evaluate_run.evaluate(run)["test"]
  for name in ("auc_macro", "mask_iou", "sensitivity_at_0.05"):
    assert again[name] == pytest.approx(run.result["test"][name], abs=1e-6)
  assert again["roc"] == run.result["test"]["roc"]
  differences = comparison.compare(
      *(stored_predictions.load_predictions(r.path) for r in (other, run)),
      samples=50)
  assert differences["mask_iou"]["difference"] == pytest.approx(
      run.result["test"]["mask_iou"] - other.result["test"]["mask_iou"])
  text = tables.differences_table(differences, "supervised over atcon")
  assert "sensitivity at 0.5 alarms" in text and "mask IoU" in text
  page = run_page.report(run, other)
  assert "sensitivity at 0.5 alarms" in page and "mask IoU" in page
  assert "ROC curves of validation (val) and test; at the threshold" in page
  assert "Boxes are around the masks of the data" in page
  assert "Boxes were drawn by people" not in page


def test_the_chosen_threshold_decides_everywhere(finished):
  """A sensitivity of 0.9 is 8 of the 8 positives of validation."""
  run = runs.load(finished / "atcon")
  point, threshold = (run.result[name] for name in ("operating_point",
                                                    "thresholds"))
  assert point["reached"] and point["threshold"] == threshold["positive"]
  assert run.result["val"]["operating_point"]["sensitivity"] == 1
  records, _ = run_data.load_part(run)
  names, probability = run.predict([r.image for r in records[:8]])
  assert names == ["positive" if p >= threshold["positive"] else "negative"
                   for p in probability[:, 1]]
  page = run_page.report(run)
  # Without its pictures, which would take minutes to search.
  page = " ".join(re.sub(r"base64,[^\"]*", "", page).split())
  assert "for a sensitivity of 0.9 on the 8 positive and 12" in page
  assert "images are called" in page or "classified correctly" in page
  said = dict(re.findall(r"(\S+): shows \w+, the model says (\w+)", page))
  known = {r.id: r.image for r in records}
  assert len(said) >= 4
  assert list(said.values()) == run.predict([known[i] for i in said])[0]


def test_export(finished, tmp_path):
  """The command runs in a process of its own."""
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.export",
       f"--workdir={finished / 'atcon'}", f"--out={tmp_path / 'served'}"],
      capture_output=True, text=True)
  quiet_process.output(done)
  metadata = json.loads(
      (tmp_path / "served/1/assets/metadata.json").read_text())
  assert "mask_iou" in metadata["metrics"]
  served = tf.saved_model.load(str(tmp_path / "served/1"))
  answer = served.signatures["serving_default"](images=tf.constant(
      np.random.default_rng(0).uniform(size=[9, 48, 48, 3]), tf.float32))
  alarm = answer["probabilities"].numpy()[:, 1] >= (
      metadata["thresholds"]["positive"])
  np.testing.assert_array_equal(answer["labels"].numpy(),
                                np.stack([~alarm, alarm], 1))


def test_the_preset(inspection_dir, tmp_path):
  """The preset runs as a command, here with a small network."""
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.train",
       "--flagfile=flags/binary_masks_gain.flags", "--model=tiny_cnn",
       f"--data_dir={inspection_dir}", "--image_size=48", "--steps=2",
       "--bootstrap=0", f"--workdir={tmp_path / 'run'}"],
      cwd=ROOT, capture_output=True, text=True)
  quiet_process.output(done)
  result = runs.load(tmp_path / "run").result
  assert result["data"]["train_labeled"] == 40
  row = result["history"][-1]
  assert 0 < row["attention_mining"] < 1 and 0 < row["extra_supervision"] < 1
  assert "mask_iou" in result["test"]


def test_no_positives_to_speak_of(tmp_path):
  """In a folder with three classes no class is the positive one."""
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
    with refused(f"{start}the data must have two classes, .*; these have 3"):
      training.train_and_evaluate(dataclasses.replace(
          config, **changes).resolve(), tmp_path / start[2:8])
    assert not (tmp_path / start[2:8] / "splits.json").exists()
