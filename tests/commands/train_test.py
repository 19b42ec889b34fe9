"""Whole runs on the embedded data: results, resume after a kill, refusals."""

import dataclasses
import json
import os
import shutil
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
from atcon_tf.runs import run_data
from atcon_tf.runs import run_folder
from atcon_tf.runs import stored_predictions
from atcon_tf.runs import warm_start
from atcon_tf import training
from atcon_tf.training import trainer
from atcon_tf.training import loop
from atcon_tf.training.run_state import RunState

TINY = dict(dataset="shapes", image_size=32, shots=2, steps=4, eval_every=2,
            checkpoint_every=1, bootstrap=20, summary_images=2,
            unlabeled="40", batch_size=4)


def tiny(**changes):
  return Config(**{**TINY, **changes}).resolve()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """One ATCON and one supervised run."""
  root = tmp_path_factory.mktemp("runs")
  for objective in ("atcon", "supervised"):
    training.train_and_evaluate(tiny(objective=objective), root / objective)
  return root


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
    low, high = test["ci90"][name]
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
      "history.png", "maps.png"}
  assert list((path / "tb").iterdir())


def test_a_loaded_run_gives_the_same_scores(finished):
  run = runs.load(finished / "atcon")
  again = evaluate_run.evaluate(run)
  stored = run.result["test"]
  for name in ("map_macro", "f1_macro", "box_iou", "consistency"):
    assert again["test"][name] == pytest.approx(stored[name], abs=1e-6)


def test_supervised_batches_are_the_same_under_both_objectives(finished):
  """The first supervised loss comes before anything differs but the steps."""
  splits = [json.loads((finished / o / "splits.json").read_text())
            for o in ("atcon", "supervised")]
  assert splits[0] == splits[1]


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


def test_a_finished_run_is_not_overwritten(finished):
  with pytest.raises(UserError, match="finished"):
    training.train_and_evaluate(tiny(), finished / "atcon")


def test_a_finished_run_without_its_checkpoints_is_not_overwritten(
    finished, tmp_path):
  copy = shutil.copytree(finished / "supervised", tmp_path / "copy")
  shutil.rmtree(copy / "checkpoints")
  with pytest.raises(UserError, match="finished"):
    training.train_and_evaluate(tiny(objective="supervised"), copy)
  assert (copy / "splits.json").exists()


def test_the_labels_of_the_pool_are_told_to_no_loss(tmp_path):
  run = loop.prepare(tiny(), tmp_path / "splits.json")
  batch = next(run._batches(base.CONSISTENCY, 0, RunState()))
  assert batch["label"].shape[1] == 6 and not np.any(batch["label"])
  assert np.any(next(run._batches(base.SUPERVISED, 0, RunState()))["label"])


def test_weights_are_not_judged_by_what_they_were_trained_on(finished,
                                                             tmp_path):
  run, line = finished / "supervised", "was trained on .* of this run's"
  ids = json.loads((run / "splits.json").read_text())
  ids["val"], ids["train_labeled"] = ids["train_labeled"], ids["val"]
  other = tmp_path / "other.json"
  other.write_text(json.dumps(ids))
  for start in (run, run / "checkpoints" / "best.weights.h5"):
    with pytest.raises(UserError, match=line):
      training.train_and_evaluate(
          Config(dataset="shapes", image_size=32, steps=4,
                 warm_start=str(start), objective="supervised",
                 splits=str(other)).resolve(), tmp_path / "w")


def test_weights_are_not_taken_for_those_of_other_classes(finished):
  config = tiny(warm_start=str(finished / "supervised"))
  split = json.loads((finished / "supervised/splits.json").read_text())
  warm_start.check_start(config, split)
  for name, value in (("class_names", split["class_names"][::-1]),
                      ("multi_label", False)):
    with pytest.raises(UserError, match=f"supervised: its {name} are"):
      warm_start.check_start(config, {**split, name: value})
  # What was the pool of ATCON was trained on, if without labels.
  pool = {**split, "test": split["train_unlabeled"][:3]}
  warm_start.check_start(config, pool)
  with pytest.raises(UserError, match="trained on 3 of"):
    warm_start.check_start(tiny(warm_start=str(finished / "atcon")), pool)


def test_other_data_than_the_shapes_are_refused(finished):
  with pytest.raises(UserError, match="data_dir='photos': not used with"):
    run_data.load_part(runs.load(finished / "atcon"), data_dir="photos")


def test_nor_where_the_folder_is_spelt_otherwise(tmp_path):
  rng = np.random.default_rng(0)
  for name in ("cat", "dog"):
    (tmp_path / "photos" / name).mkdir(parents=True)
    for i in range(10):
      PIL.Image.fromarray(rng.integers(255, size=[32, 32, 3], dtype=np.uint8)
                          ).save(tmp_path / "photos" / name / f"{i}.png")
  data = str(tmp_path / "photos")
  common = dict(dataset="folder", model="tiny_cnn", image_size=32, steps=1,
                objective="supervised", shots=0, bootstrap=0, eval_every=1,
                summary_images=0)
  training.train_and_evaluate(Config(data_dir=data, **common).resolve(),
                              tmp_path / "run")
  # The same images in another place, and another draw of them.
  run = runs.load(tmp_path / "run")
  run.config = dataclasses.replace(run.config, split_seed=1)
  moved = str(shutil.copytree(data, tmp_path / "moved"))
  records, _ = run_data.load_part(run, "test", moved)
  assert [r.id for r in records] == run.split["test"]
  with pytest.raises(UserError, match="split='all': these are the run's own"):
    run_data.load_part(run, "all", moved)
  with pytest.raises(UserError, match="was trained on .* of this run's"):
    training.train_and_evaluate(Config(
        data_dir=data + "/", split_seed=1, warm_start=str(tmp_path / "run"),
        **common).resolve(), tmp_path / "other")


@pytest.mark.parametrize("arguments, line", [
    (["--voc_year=2012"], "--voc_year=2012: needs --methods"),
    (["--compare=W/b", "--split=val"], "--split=val: not used with --compare")])
def test_judgements_refuse_what_they_do_not_use(arguments, line):
  done = subprocess.run([sys.executable, "-m", "atcon_tf.evaluate",
                         *arguments], capture_output=True, text=True)
  assert done.returncode == 2 and line in done.stderr.splitlines()[-1]


def test_other_settings_are_refused_by_name(finished):
  with pytest.raises(UserError, match=r"steps=5: the run in .* has 4"):
    training.train_and_evaluate(tiny(steps=5), finished / "atcon")


def test_a_run_that_never_began_takes_other_settings(tmp_path):
  with pytest.raises(UserError, match="no such file"):
    training.train_and_evaluate(tiny(weights="typo.weights.h5"), tmp_path / "w")
  run_folder.Workdir(tmp_path / "w", tiny()).close()


def test_a_foreign_folder_is_left_alone(tmp_path):
  (tmp_path / "thesis.tex").write_text("mine")
  for overwrite in (False, True):
    with pytest.raises(UserError, match="thesis.tex"):
      training.train_and_evaluate(tiny(), tmp_path, overwrite)
  assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_another_project_with_a_config_is_left_alone(tmp_path):
  (tmp_path / "config.json").write_text('{"model_type": "bert"}')
  (tmp_path / "splits.json").write_text("mine")
  for overwrite in (False, True):
    with pytest.raises(UserError, match="config.json"):
      run_folder.Workdir(tmp_path, tiny(), overwrite)
  assert (tmp_path / "splits.json").read_text() == "mine"
  with pytest.raises(UserError, match="workdir='': must name"):
    run_folder.Workdir("", tiny(), True)


def _contents(folder):
  return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*")
          if p.is_file() and p.name != ".lock"}


def test_a_run_is_back_where_the_new_one_cannot_begin(finished, tmp_path):
  path = shutil.copytree(finished / "supervised", tmp_path / "run")
  (path / "notes.txt").write_text("mine")
  before = _contents(path)
  for changes in (dict(weights="typo.h5"), dict(
      splits=str(path / "splits.json"), shots=8, unlabeled="all")):
    with pytest.raises(UserError, match="no such file"):
      training.train_and_evaluate(tiny(objective="supervised", **changes), path,
                                  overwrite=True)
    assert _contents(path) == before
  # Killed after it was set aside: whoever opens it next brings it back.
  work = run_folder.Workdir(path, tiny(), overwrite=True)
  work._lock.close()
  (path / "tb").mkdir()
  with pytest.raises(UserError, match="finished"):
    run_folder.Workdir(path, tiny(objective="supervised"))
  assert _contents(path) == before
  # It is gone once the new one can be resumed; what is not a run's stays.
  work = run_folder.Workdir(path, tiny(), overwrite=True)
  work.save_checkpoint({}, {"step": 1})
  work.close()
  assert {str(p) for p in _contents(path)} == {
      "checkpoints/last.npz", "config.json", "flags.txt", "notes.txt"}


def test_the_best_weights_are_not_newer_than_the_checkpoint(
    tmp_path, monkeypatch):
  order = []
  for name in ("save_best", "save_checkpoint"):
    def spy(self, *args, kept=getattr(run_folder.Workdir, name), name=name):
      order.append(name)
      return kept(self, *args)
    monkeypatch.setattr(run_folder.Workdir, name, spy)
  training.train_and_evaluate(tiny(objective="supervised", eval_every=1,
                                   checkpoint_every=100), tmp_path / "w")
  assert order.count("save_checkpoint") >= order.count("save_best") > 0
  for first, second in zip(order, order[1:]):
    assert "save_checkpoint" in (first, second)
  assert order[:2] == ["save_best", "save_checkpoint"]


def test_too_little_memory_is_one_line(tmp_path, monkeypatch):
  def full(self, batches):
    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

  monkeypatch.setattr(trainer.Trainer, "run", full)
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
  assert done.returncode == 0, done.stderr[-2000:]
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


def test_ctrl_c_is_one_line_and_the_run_resumes(tmp_path):
  command = _command(tmp_path / "w", steps=200, eval_every=50)
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
  checkpoint = tmp_path / "w" / "checkpoints" / "last.npz"
  deadline = time.time() + 100
  while not checkpoint.exists() and time.time() < deadline:
    time.sleep(0.02)
  process.send_signal(signal.SIGINT)
  _, error = process.communicate(timeout=60)
  assert process.returncode == 130
  assert "interrupted" in error and "Traceback" not in error


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
  work = run_folder.Workdir(tmp_path / "w", tiny())
  work.save_checkpoint({}, {"step": 1})
  before = (tmp_path / "w/checkpoints/last.npz").read_bytes()

  def full(*args, **kwargs):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(np, "savez", full)
  with pytest.raises(UserError, match="last.npz.*No space left"):
    work.save_checkpoint({}, {"step": 2})
  assert (tmp_path / "w/checkpoints/last.npz").read_bytes() == before
  assert os.listdir(tmp_path / "w/checkpoints") == ["last.npz"]
  work.close()


def test_two_processes_do_not_share_a_folder(tmp_path):
  work = run_folder.Workdir(tmp_path / "w", tiny())
  with pytest.raises(UserError, match="another process"):
    run_folder.Workdir(tmp_path / "w", tiny())
  work.close()


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


def test_config_is_stored_as_it_was(finished):
  stored = Config.from_json((finished / "atcon/config.json").read_text())
  assert stored == tiny()
  assert dataclasses.replace(stored, steps=9) != tiny()
