"""Two processes train as one, and end together when one of them is stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from atcon_tf import training
from atcon_tf.config import UserError
from atcon_tf.training import strategies
from tests import two_workers
from tests.conftest import ROOT
from tests.tiny_runs import tiny
from tests.training import trainer_test


def _wait(what, process, seconds=300):
  deadline = time.time() + seconds
  while not what():
    assert time.time() < deadline and process.poll() is None
    time.sleep(0.05)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
  """The folder that two processes left: one was preempted, then one killed."""
  folder = tmp_path_factory.mktemp("workers")
  ports = []
  for _ in range(2):
    with socket.create_server(("127.0.0.1", 0)) as free:
      ports.append(free.getsockname()[1])
  cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
  processes = []
  with open(folder / "said.txt", "w") as said:
    for index in range(2):
      environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG":
                     json.dumps({"cluster": cluster, "task": {
                         "type": "worker", "index": index}})}
      processes.append(subprocess.Popen(
          [sys.executable, "-m", "tests.two_workers", folder], cwd=ROOT,
          env=environment, stdout=said, stderr=said))
  first, second = processes
  try:
    begun = "{}/checkpoints/last.npz"
    _wait((folder / begun.format("preempted")).exists, first)
    second.send_signal(signal.SIGTERM)
    _wait((folder / begun.format("killed")).exists, first)
    second.kill()
    killed = time.time()
    assert first.wait(60) == 75
    (folder / "seconds.txt").write_text(str(time.time() - killed))
  finally:
    for process in processes:
      process.kill()
      process.wait()
    print((folder / "said.txt").read_text()[-3000:])
  return folder


def test_float64(pair, float64):
  """Seven images are four for one worker and three for the other."""
  logs, weights = trainer_test.train(
      strategies.make("one"), two_workers.KINDS, 7)
  for index in range(2):
    with np.load(pair / f"float64_{index}.npz") as arrays:
      np.testing.assert_allclose(arrays["losses"], [s["loss"] for s in logs],
                                 atol=1e-9, rtol=0)
      for i, weight in enumerate(weights):
        np.testing.assert_allclose(arrays[f"arr_{i}"], weight, atol=1e-9,
                                   rtol=0)


def _close(found, wanted):
  if isinstance(wanted, dict):
    assert found.keys() == wanted.keys()
    for key in wanted:
      _close(found[key], wanted[key])
  elif isinstance(wanted, list):
    assert len(found) == len(wanted)
    for pair in zip(found, wanted):
      _close(*pair)
  else:
    # In float32 another order of sums opens another ReLU.
    assert found == pytest.approx(wanted, abs=1e-2)


def test_a_bank_that_two_workers_score(pair, tmp_path):
  alone = training.train_and_evaluate(
      tiny(**two_workers.RUNS["self_training"]), tmp_path / "run",
      strategy="one")
  result = json.loads((pair / "self_training/result.json").read_text())
  for part in ("history", "steps"):
    _close(result[part], alone[part])
  with np.load(pair / "self_training/checkpoints/last.npz") as both, np.load(
      tmp_path / "run/checkpoints/last.npz") as one:
    assert both.files == one.files
    for name in one.files:
      if name.startswith(("model/", "array/")):
        np.testing.assert_allclose(both[name], one[name], atol=1e-5)


def test_preempted_and_continued_on_one_device(pair, tmp_path):
  said = [(pair / f"preempted_{i}.txt").read_text() for i in range(2)]
  assert said[0] == said[1]  # they ended at the same step
  assert said[0].startswith("stopped by SIGTERM after ")
  config = tiny(**two_workers.RUNS["preempted"])
  again = training.train_and_evaluate(config, pair / "preempted")
  alone = training.train_and_evaluate(config, tmp_path / "run")
  # Which weights are kept may differ: another order of sums opens another ReLU.
  for one, other in zip(again["history"], alone["history"], strict=True):
    assert one["step"] == other["step"]
    _close(one["val_loss"], other["val_loss"])


def test_the_end_of_a_worker_ends_the_others(pair):
  line = (pair / "killed_0.txt").read_text()
  assert line.startswith("worker 1 is gone, so worker 0 of 2 stops; start ")
  assert float((pair / "seconds.txt").read_text()) < 60
  assert not (pair / "killed_1.txt").exists()


def test_one_folder_and_a_log(pair):
  assert {p.name for p in (pair / "self_training").iterdir()} == {
      ".lock", "checkpoints", "config.json", "figures", "flags.txt",
      "predictions.npz", "result.json", "splits.json", "tb"}
  log = (pair / "self_training.worker1.log").read_text()
  assert "of each of 2 workers" in log and "4/4" in log


@pytest.mark.parametrize("text, says", [
    ("", "needs TF_CONFIG"), ("{", "TF_CONFIG is {; must be as"),
    ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
     "must be as"),
    ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
     "must be as")])
def test_no_description_of_the_workers(text, says, monkeypatch):
  monkeypatch.setenv("TF_CONFIG", text)
  with pytest.raises(UserError, match=says):
    strategies.make("multi_worker")


def test_two_gpus_or_none():
  with pytest.raises(UserError, match="strategy='mirrored': needs two GPUs"):
    strategies.make("mirrored")


def test_the_tasks_of_slurm(monkeypatch):
  """Three tasks on node9 and node10, in the order of the list of nodes."""
  for name, value in {"PROCID": 2, "STEP_NUM_TASKS": 3, "JOB_ID": 20007,
                      "STEP_NODELIST": "node[9-10]",
                      "STEP_TASKS_PER_NODE": "2,1"}.items():
    monkeypatch.setenv(f"SLURM_{name}", str(value))
  assert json.loads(strategies.of_slurm()) == {
      "cluster": {"worker": ["node9:12007", "node9:12008", "node10:12007"]},
      "task": {"type": "worker", "index": 2}}
