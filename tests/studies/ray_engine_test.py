"""A study by tasks of Ray, on a Ray that is started here."""

import json
import os
import subprocess
import sys

import pytest

from atcon_tf.studies import ray_engine
from atcon_tf.studies import study_tables
from tests import refusals

GRID = {"flags": ["--dataset=shapes", "--model=tiny_cnn", "--image_size=32",
                  "--steps=1", "--bootstrap=0", "--summary_images=0",
                  "--weights=none", "--start=prior"],
        "arms": {"base": ["--objective=supervised"],
                 "wrong": ["--objective=supervised", "--learning_rate=1e30"]},
        "baseline": "base", "shots": [1], "seeds": [0],
        "endpoint_shots": [1]}


def _study(folder, *arguments):
  (folder / "grid.json").write_text(json.dumps(GRID))
  environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
  return subprocess.run(
      [sys.executable, "-m", "atcon_tf.study", f"--grid={folder}/grid.json",
       f"--out={folder}/rows.json", f"--folder={folder}/runs",
       "--engine=ray", *arguments], env=environment, capture_output=True,
      text=True, timeout=300)


def test_two_tasks_make_a_study(tmp_path):
  """One of its runs fails, which both tasks try."""
  pytest.importorskip("ray")
  done = _study(tmp_path, "--workers=2")
  row, = study_tables.read(tmp_path / "rows.json")["rows"]
  assert row["arm"] == "base" and row["steps"]["best"] == 1
  assert done.returncode == 2
  assert "error: 1 runs failed, see " in done.stderr
  assert "wrong_1shot_seed0.log" in done.stderr
  assert not (tmp_path / ".rows.json.claims").exists()


def test_more_than_the_cluster_has(tmp_path):
  pytest.importorskip("ray")
  done = _study(tmp_path, "--run_gpus=64")
  assert done.returncode == 2
  assert "--run_gpus=64.0: the Ray cluster has 0 in all" in done.stderr
  assert "Traceback" not in done.stderr


def test_without_the_package(monkeypatch):
  monkeypatch.setitem(sys.modules, "ray", None)
  with refusals.refused("--engine=ray: needs the package ray"):
    ray_engine._ray()
