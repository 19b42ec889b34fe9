"""A run's folder: what is refused there, what is kept, what is brought back."""

import dataclasses
import json
import os
import shutil

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf import runs
from atcon_tf.runs import run_data
from atcon_tf.runs import run_folder
from atcon_tf.runs import warm_start
from atcon_tf import training
from tests.tiny_runs import tiny


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
    with pytest.raises(UserError, match=f"supervised'?: its {name} are"):
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
  # Another folder, of one class: each of its images judges the run.
  other = tmp_path / "other_photos"
  shutil.copytree(tmp_path / "photos/dog", other / "dog/second")
  (other / "dog/second/0.png").unlink()
  records, _ = run_data.load_part(run, "test", str(other))
  assert len(records) == 9 and {int(r.label.argmax()) for r in records} == {1}
  with pytest.raises(UserError, match="split='val': has no images; those with"):
    run_data.load_part(run, "val", str(other))
  (other / "dog").rename(other / "wolf")
  with pytest.raises(UserError, match="other classes .wolf. than the run"):
    run_data.load_part(run, "test", str(other))
  with pytest.raises(UserError, match="was trained on .* of this run's"):
    training.train_and_evaluate(Config(
        data_dir=data + "/", split_seed=1, warm_start=str(tmp_path / "run"),
        **common).resolve(), tmp_path / "other")


def test_other_settings_are_refused_by_name(finished):
  with pytest.raises(UserError, match=r"steps=5: the run in .* has 4"):
    training.train_and_evaluate(tiny(steps=5), finished / "atcon")


def test_a_run_that_is_refused_leaves_nothing(tmp_path):
  (tmp_path / "mine").mkdir()
  for folder in ("w", "mine"):
    for wrong in (dict(weights="typo.weights.h5"), dict(shots=5000)):
      with pytest.raises(UserError):
        training.train_and_evaluate(tiny(**wrong), tmp_path / folder)
  assert [p.name for p in tmp_path.iterdir()] == ["mine"]
  assert [p.name for p in (tmp_path / "mine").iterdir()] == [".lock"]


def test_a_run_that_never_began_takes_other_settings(tmp_path):
  run_folder.Workdir(tmp_path / "w", tiny(steps=9)).close()
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


def test_config_is_stored_as_it_was(finished):
  stored = Config.from_json((finished / "atcon/config.json").read_text())
  assert stored == tiny()
  assert dataclasses.replace(stored, steps=9) != tiny()
