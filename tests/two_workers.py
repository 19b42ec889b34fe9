"""One of the two processes of tests/training/workers_test.py.

    TF_CONFIG=... python -m tests.two_workers FOLDER

Each leaves what it computed in FOLDER, and then waits to be stopped.
"""

import os
import pathlib
import sys

import keras
import numpy as np

from atcon_tf import training
from atcon_tf.config import StartAgain
from atcon_tf.training import schedule
from atcon_tf.training import strategies
from atcon_tf.training.worker_group import WorkerGroup
from tests.tiny_runs import tiny
from tests.training import trainer_test

QUICK = dict(bootstrap=0, summary_images=0)
RUNS = {
    # The pool is scored and ranked before each second update.
    "self_training": dict(objective="self_training", steps=4, eval_every=4,
                          bank_every=2, start="ranked_probe",
                          unlabeled_batch_size=4, equivariance_weight=0,
                          atcon_weight=0, **QUICK),
    # Stopped on the way.
    "preempted": dict(objective="atcon", steps=24, eval_every=8,
                      checkpoint_every=2, unlabeled_batch_size=3, **QUICK),
    "killed": dict(objective="supervised", steps=5000, eval_every=5000,
                   checkpoint_every=2, **QUICK)}
KINDS = schedule.plan("alternating", 6, 0.5, seed=0)


def main(folder):
  strategy = strategies.make("multi_worker")
  group = WorkerGroup(strategy)
  rows = np.arange(5 * group.count).reshape(-1, 5)
  assert (group.gather(rows[group.part(range(group.count))], group.count)
          == rows).all()
  before = keras.config.floatx(), keras.config.dtype_policy()
  keras.config.set_floatx("float64")
  keras.config.set_dtype_policy("float64")
  logs, weights = trainer_test.train(strategy, KINDS, 7)
  keras.config.set_floatx(before[0])
  keras.config.set_dtype_policy(before[1])
  np.savez(folder / f"float64_{group.index}.npz", *weights, losses=[
      step["loss"] for step in logs])
  for name, settings in RUNS.items():
    try:
      result = training.train_and_evaluate(tiny(**settings), folder / name,
                                           strategy=strategy)
      assert (result is None) == (group.index > 0)
    except StartAgain as early:
      (folder / f"{name}_{group.index}.txt").write_text(str(early))
  os._exit(StartAgain.STATUS)


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
