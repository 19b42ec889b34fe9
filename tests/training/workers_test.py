"""Several processes train as one, and end together when one is stopped.

With ATCON_LONG_TESTS there are three processes beside two, two logical
devices of one process, and every objective in float32 and in float64.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from atcon_tf.config import UserError
from atcon_tf.training import strategies
from tests import workers
from tests.conftest import ROOT
from tests.training import trainer_test

LONG = "ATCON_LONG_TESTS" in os.environ
# In float64 another order of sums opens no other ReLU.
WHOLE = ("self_training",)
if LONG:
  WHOLE += ("supervised", "atcon", "supervised_float64", "atcon_float64",
            "self_training_float64")
PREEMPTED, KILLED = "preempted_float64", "killed_float64"


def _wait(what, process, seconds=300):
  deadline = time.time() + seconds
  while not what():
    assert time.time() < deadline and process.poll() is None
    time.sleep(0.05)


@pytest.fixture(scope="module", params=(2, 3) if LONG else (2,))
def group(request, tmp_path_factory):
  """The folder that processes left: one was preempted, then one killed."""
  count, folder = request.param, tmp_path_factory.mktemp("workers")
  with contextlib.ExitStack() as stack:
    ports = [stack.enter_context(socket.create_server(("127.0.0.1", 0))
                                 ).getsockname()[1] for _ in range(count)]
  cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
  processes = []
  with open(folder / "said.txt", "w") as said:
    for index in range(count):
      environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG":
                     json.dumps({"cluster": cluster, "task": {
                         "type": "worker", "index": index}})}
      processes.append(subprocess.Popen(
          [sys.executable, "-m", "tests.workers", folder, *WHOLE, PREEMPTED,
           KILLED], cwd=ROOT, env=environment, stdout=said, stderr=said))
  first, *others = processes
  try:
    begun = "{}/checkpoints/last.npz"
    _wait((folder / begun.format(PREEMPTED)).exists, first, 900)
    others[-1].send_signal(signal.SIGTERM)
    _wait((folder / begun.format(KILLED)).exists, first)
    others[0].kill()
    killed = time.time()
    for process in (first, *others[1:]):
      assert process.wait(60) == 75
    (folder / "seconds.txt").write_text(str(time.time() - killed))
  finally:
    for process in processes:
      process.kill()
      process.wait()
    print((folder / "said.txt").read_text()[-3000:])
  (folder / "count.txt").write_text(str(count))
  return folder


def _count(folder):
  return int((folder / "count.txt").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  """A function that gives the folder of a run of one device, made once."""
  folder = tmp_path_factory.mktemp("alone")

  def run(name):
    if not (folder / name).exists():
      workers.run(name, folder)
    return folder / name
  return run


def test_float64(group, float64):
  """Seven images are four for one of two workers and three for the other."""
  logs, weights = trainer_test.train(
      strategies.make("one"), workers.KINDS, 7)
  for index in range(_count(group)):
    with np.load(group / f"float64_{index}.npz") as arrays:
      np.testing.assert_allclose(arrays["losses"], [s["loss"] for s in logs],
                                 atol=1e-9, rtol=0)
      for i, weight in enumerate(weights):
        np.testing.assert_allclose(arrays[f"arr_{i}"], weight, atol=1e-9,
                                   rtol=0)


def _close(found, wanted, within):
  if isinstance(wanted, dict):
    assert found.keys() == wanted.keys()
    for key in wanted:
      _close(found[key], wanted[key], within)
  elif isinstance(wanted, list):
    assert len(found) == len(wanted)
    for pair in zip(found, wanted):
      _close(*pair, within)
  else:
    assert found == pytest.approx(wanted, abs=within, rel=0)


def _same_run(found, wanted):
  """Compares the history, the steps, and the weights of two runs."""
  within = 1e-9 if found.name.endswith("float64") else 1e-5
  one, two = (json.loads((path / "result.json").read_text())
              for path in (found, wanted))
  for part in ("history", "steps"):
    _close(one[part], two[part], within)
  with np.load(found / "checkpoints/last.npz") as one, np.load(
      wanted / "checkpoints/last.npz") as two:
    assert one.files == two.files
    for name in one.files:
      if name.startswith(("model/", "array/")):
        np.testing.assert_allclose(one[name], two[name], atol=within, rtol=0,
                                   err_msg=name)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_run(group, alone, name):
  _same_run(group / name, alone(name))


@pytest.mark.skipif(not LONG, reason="ATCON_LONG_TESTS is not set: "
                    "training/trainer_test.py compares steps of two devices")
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_run_on_two_devices(alone, name, tmp_path):
  pair = strategies.make(devices=["/cpu:0", "/cpu:1"])
  assert pair.num_replicas_in_sync == 2
  workers.run(name, tmp_path, pair)
  _same_run(tmp_path / name, alone(name))


def test_preempted_and_continued_on_one_device(group, alone):
  said = {(group / f"{PREEMPTED}_{i}.txt").read_text()
          for i in range(_count(group))}
  line, = said  # they ended at the same step
  assert line.startswith("stopped by SIGTERM after ")
  workers.run(PREEMPTED, group)
  _same_run(group / PREEMPTED, alone(PREEMPTED))


def test_the_end_of_a_worker_ends_the_others(group, alone):
  count = _count(group)
  for index in {*range(count)} - {1}:
    line = (group / f"{KILLED}_{index}.txt").read_text()
    # Of three, TensorFlow does not always say which one.
    assert re.match(rf"(worker 1|another worker) is gone, so worker {index} "
                    rf"of {count} stops; start ", line)
  assert float((group / "seconds.txt").read_text()) < 60
  assert not (group / f"{KILLED}_1.txt").exists()
  workers.run(KILLED, group)
  _same_run(group / KILLED, alone(PREEMPTED))  # a run of the same settings


def test_one_folder_and_a_log(group):
  assert {p.name for p in (group / "self_training").iterdir()} == {
      ".lock", "checkpoints", "config.json", "figures", "flags.txt",
      "predictions.npz", "result.json", "splits.json", "tb"}
  log = (group / "self_training.worker1.log").read_text()
  assert f"of each of {_count(group)} workers" in log and "4/4" in log


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
