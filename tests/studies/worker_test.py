"""Runs that share a process end as they would have alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

from atcon_tf.studies import worker
from atcon_tf import training
from atcon_tf.training import one_run

FLAGS = ["--dataset=shapes", "--image_size=32", "--steps=3", "--eval_every=2",
         "--bootstrap=0", "--summary_images=0", "--unlabeled=24"]


def _result(folder):
  result = json.loads((folder / "result.json").read_text())
  with np.load(folder / "predictions.npz") as arrays:
    return result["history"], arrays["probability"], arrays["consistency"]


@pytest.mark.parametrize("objective", (
    ["atcon", "--teacher=ema"], ["self_training", "--bank_every=1"]),
                         ids=lambda o: o[0])
def test_the_second_run_of_a_process_is_as_it_is_alone(objective, tmp_path):
  kind, *more = objective
  base = [*FLAGS, f"--objective={kind}", *more]
  first = worker.run([*base, "--shots=2", "--seed=3",
                      f"--workdir={tmp_path / 'first'}"], None)
  line = [*base, "--shots=3", "--seed=4"]
  second = worker.run([*line, f"--workdir={tmp_path / 'second'}"], first)
  assert second.trainer is first.trainer
  config, folder = worker.parse([*line, f"--workdir={tmp_path / 'alone'}"])
  training.train_and_evaluate(config, folder)
  for ours, alone in zip(_result(tmp_path / "second"),
                         _result(tmp_path / "alone")):
    np.testing.assert_equal(ours, alone)


def test_other_settings_are_another_run(tmp_path):
  first = worker.run([*FLAGS, "--objective=supervised", "--shots=1",
                      f"--workdir={tmp_path / 'first'}"], None)
  config, _ = worker.parse([*FLAGS, "--objective=supervised",
                            "--learning_rate=0.5"])
  with pytest.raises(ValueError, match="more than seed and shots"):
    one_run.prepare(config, tmp_path / "splits.json", first)


def test_one_that_fails_does_not_stop_the_others(tmp_path):
  lines = [[*FLAGS, "--objective=supervised", *more,
            f"--workdir={tmp_path / name}"] for name, more in
           {"bad": ["--classes=hexagon"], "good": []}.items()]
  with subprocess.Popen(
      [sys.executable, "-m", "atcon_tf.studies.worker"], text=True,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
    # The pipe stays open, as that of a study does.
    print(json.dumps(lines), file=process.stdin, flush=True)
    assert process.stdout.read().split() == [str(tmp_path / "good")]
  assert "hexagon" in (tmp_path / "bad.log").read_text()
  assert "updates" in (tmp_path / "good.log").read_text()
