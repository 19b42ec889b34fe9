"""Whole runs on the embedded data: results, resume after a kill, mistakes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.evaluation import comparison
from atcon_tf.evaluation import evaluate_run
from atcon_tf.objectives import base
from atcon_tf.reports import compare_runs
from atcon_tf.reports.tables import differences_table
from atcon_tf import runs
from atcon_tf.runs import stored_predictions
from atcon_tf import training
from atcon_tf.training import trainer
from atcon_tf.training import one_run
from atcon_tf.training import results
from atcon_tf.training.run_state import RunState
from atcon_tf.training import validation
from tests import quiet_process
from tests.tiny_runs import tiny


def test_what_a_run_leaves_behind(finished):
  path = finished / "atcon"
  result = json.loads((path / "result.json").read_text())
  assert result["steps"]["supervised"] == 4
  assert result["steps"]["consistency"] > 0
  assert result["data"]["train_labeled"] == 2 * 6
  assert .1 < result["peak_gib"] < 64
  assert result["data"]["train_unlabeled"] == 40
  test = result["test"]
  for name in ("f1_macro", "f1_macro_at_half", "f1_micro", "map_macro",
               "map_weighted", "auc_macro", "box_iou", "pointing_game",
               "centre_box_iou", "centre_point_pointing_game"):
    assert 0 <= test[name] <= 1, name
    low, high = test["ci90"].get(name, (0, 1))  # absent if all are equal
    assert low <= test[name] + .05 and test[name] <= high + .05, name
  for name in ("consistency", "consistency_raw"):
    assert -1 <= test[name] <= 1
  assert set(result["versions"]) >= {"tensorflow", "keras"}
  assert len(test["per_class"]) == 6
  arrays = stored_predictions.load_predictions(path)
  count = result["data"]["test"]
  assert arrays["probability"].shape == (count, 6)
  assert arrays["box_iou"].shape == (count, 6)
  assert np.nanmean(arrays["box_iou"]) == pytest.approx(test["box_iou"])
  split = json.loads((path / "splits.json").read_text())
  parts = [set(split[p]) for p in ("train_labeled", "train_unlabeled", "val",
                                   "test")]
  assert len(set.union(*parts)) == sum(map(len, parts))
  assert {f.name for f in (path / "figures").iterdir()} == {
      "history.png", "maps.png", "maps_in_detail.png"}
  assert list((path / "tb").iterdir())


def test_a_loaded_run_gives_the_same_scores(finished):
  run = runs.load(finished / "atcon")
  again = evaluate_run.evaluate(run)
  stored = run.result["test"]
  for name in ("map_macro", "f1_macro", "box_iou", "consistency"):
    assert again["test"][name] == pytest.approx(stored[name], abs=1e-6)


def test_supervised_batches_are_the_same_under_both_objectives(
    tmp_path, monkeypatch):
  """The first two of each run, augmentation and order included."""
  batches = []
  step = trainer.Trainer.run

  def spy(self, batch):
    batches.append(batch)
    return step(self, batch)

  monkeypatch.setattr(trainer.Trainer, "run", spy)
  drawn = []
  for objective in ("atcon", "supervised"):
    batches.clear()
    prepared = one_run.prepare(tiny(objective=objective),
                               tmp_path / f"{objective}.json")
    for _ in prepared.steps(RunState()):
      own = [b[base.SUPERVISED] for b in batches if base.SUPERVISED in b]
      if len(own) == 2:
        break
    drawn.append(own)
  for atcon, supervised in zip(*drawn, strict=True):
    for name in ("image", "label"):
      np.testing.assert_array_equal(atcon[name], supervised[name])
  assert not np.array_equal(own[0]["image"], own[1]["image"])


def test_compare_prints_and_draws(finished):
  tables = [stored_predictions.load_predictions(finished / o)
            for o in ("supervised", "atcon")]
  differences = comparison.compare(*tables, samples=50)
  first, second = (runs.load(finished / o).result["test"]
                   for o in ("supervised", "atcon"))
  for name in ("map_macro", "box_iou", "consistency"):
    assert differences[name]["difference"] == pytest.approx(
        second[name] - first[name])
  text = differences_table(differences, "atcon over supervised")
  assert "pointing game" in text and "[" in text
  figure = compare_runs.changed_maps(
      *(runs.load(finished / o) for o in ("supervised", "atcon")),
      ["supervised", "atcon"])
  assert len(figure.axes) == compare_runs.SHOWN * 3


def test_the_labels_of_the_pool_are_told_to_no_loss(tmp_path):
  run = one_run.prepare(tiny(), tmp_path / "splits.json")
  batch = next(run._batches(base.CONSISTENCY, 0, RunState()))
  assert batch["label"].shape[1] == 6 and not np.any(batch["label"])
  assert np.any(next(run._batches(base.SUPERVISED, 0, RunState()))["label"])


@pytest.mark.parametrize("arguments, line", [
    (["--voc_year=2012"], "--voc_year=2012: needs --methods"),
    (["--compare=W/b", "--split=val"], "--split=val: not used with --compare"),
    (["--methods=auto", "--split=test"],
     "--split=test: not used with --methods=auto"),
    (["--methods=cam", "--passes=9"], "--passes=9: goes with --methods=auto")])
def test_judgements_refuse_what_they_do_not_use(arguments, line):
  done = subprocess.run([sys.executable, "-m", "atcon_tf.evaluate",
                         *arguments], capture_output=True, text=True)
  assert done.returncode == 2 and line in done.stderr.splitlines()[-1]


def test_too_little_memory_is_one_line(tmp_path, monkeypatch):
  def full(self, batches):
    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

  monkeypatch.setattr(trainer.Trainer, "step", full)
  with pytest.raises(UserError, match="batch_size=4.*memory"):
    training.train_and_evaluate(tiny(objective="supervised"), tmp_path / "w")


def test_a_file_that_the_system_refuses_is_one_line():
  done = subprocess.run(
      [sys.executable, "-c", "from atcon_tf.config import cli; "
       "cli.run(lambda _: "
       "open('/no/such/file'), lambda: None)"], capture_output=True, text=True)
  assert done.returncode == 2
  assert done.stderr == "error: /no/such/file: No such file or directory\n"


def test_a_run_on_names_that_are_not_utf_8(tmp_path):
  """Of classes and of images, as an old archive has them."""
  rng = np.random.default_rng(0)
  for name in (b"caf\xe9", b"dog"):
    folder = os.path.join(os.fsencode(tmp_path), b"photos", name)
    os.makedirs(folder)
    for i in range(5):
      with open(os.path.join(folder, b"\xe9%d.png" % i), "wb") as file:
        PIL.Image.fromarray(rng.integers(255, size=[32, 32, 3],
                                         dtype=np.uint8)).save(file, "PNG")
  training.train_and_evaluate(Config(
      dataset="folder", data_dir=str(tmp_path / "photos"), model="tiny_cnn",
      image_size=32, steps=1, eval_every=1, shots=1, objective="supervised",
      bootstrap=0, summary_images=2).resolve(), tmp_path / "run")
  run = runs.load(tmp_path / "run")
  assert run.class_names == ("caf\\udce9", "dog")
  assert len(evaluate_run.evaluate(run)["test"]["per_class"]) == 2


def _command(workdir, **changes):
  config = tiny(**changes)
  flags = config.to_flags().split()
  return [sys.executable, "-m", "atcon_tf.train", f"--workdir={workdir}",
          *flags]


def test_killed_and_started_again_a_run_ends_the_same(tmp_path):
  """SIGKILL in mid-training, in a second process; every number compared."""
  changes = dict(steps=12, eval_every=3, checkpoint_every=2)
  whole = training.train_and_evaluate(tiny(**changes), tmp_path / "whole")
  command = _command(tmp_path / "killed", **changes)
  checkpoint = tmp_path / "killed" / "checkpoints" / "last.npz"
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
  deadline = time.time() + 100
  while not checkpoint.exists() and time.time() < deadline:
    time.sleep(0.02)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert not (tmp_path / "killed" / "result.json").exists()
  done = subprocess.run(command, capture_output=True, text=True)
  quiet_process.output(done)
  assert "continuing after" in done.stdout
  again = json.loads((tmp_path / "killed" / "result.json").read_text())
  for part in ("val", "test", "history", "thresholds", "steps"):
    assert again[part] == json.loads(json.dumps(whole[part])), part


def test_a_mistake_is_one_line_and_status_2(tmp_path):
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.train", "--mask_scale=std",
       "--objective=supervised", f"--workdir={tmp_path / 'w'}"],
      capture_output=True, text=True)
  assert done.returncode == 2
  lines = [l for l in done.stderr.splitlines() if l.startswith("error: ")]
  assert lines == ["error: --mask_scale=std: not used with --objective="
                   "supervised; it goes with --objective=atcon"]
  assert "Traceback" not in done.stderr
  assert not (tmp_path / "w").exists()


def test_ctrl_c_is_one_line_and_the_run_resumes(tmp_path, interruptible):
  command = _command(tmp_path / "w", steps=200, eval_every=50)
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
  checkpoint = tmp_path / "w" / "checkpoints" / "last.npz"
  deadline = time.time() + 100
  while not checkpoint.exists() and time.time() < deadline:
    time.sleep(0.02)
  process.send_signal(signal.SIGINT)
  _, error = process.communicate(timeout=300)
  assert process.returncode == 130
  assert error.strip().splitlines() == [
      "interrupted; the same command continues from the last checkpoint"]


def test_patience_ends_a_run_that_gets_no_better(tmp_path, monkeypatch):
  """Killed at its last validation, too, it ends with the same numbers."""
  config = tiny(objective="supervised", steps=40, eval_every=2,
                checkpoint_every=2, patience=2)
  scores_of, falling = validation.scores_of, [0.5, 0.6, 0.4, 0.3]

  def worse(*arguments):
    scores, *rest = scores_of(*arguments)
    return {**scores, "map_macro": falling.pop(0)}, *rest

  monkeypatch.setattr(validation, "scores_of", worse)
  whole = training.train_and_evaluate(config, tmp_path / "whole")
  assert (whole["steps"]["best"], whole["steps"]["supervised"]) == (4, 8)
  assert [row["step"] for row in whole["history"]] == [2, 4, 6, 8]
  falling += [0.5, 0.6, 0.4, 0.3]

  def stopped(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(results, "finish", stopped)
    with pytest.raises(KeyboardInterrupt):
      training.train_and_evaluate(config, tmp_path / "killed")
  again = training.train_and_evaluate(config, tmp_path / "killed")
  for part in ("val", "test", "history", "steps"):
    assert again[part] == whole[part], part


def test_combined_and_consistency_schedules(finished, tmp_path):
  combined = training.train_and_evaluate(
      tiny(schedule="combined", consistency_weight=0.5, steps=2),
      tmp_path / "combined")
  assert combined["steps"]["supervised"] == 2
  assert combined["steps"]["consistency"] == 2
  alone = training.train_and_evaluate(
      tiny(schedule="consistency", steps=2, batch_size=8,
           warm_start=str(finished / "supervised")), tmp_path / "alone")
  assert alone["steps"] == {"supervised": 0, "consistency": 2, "best": 2}
