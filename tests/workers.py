"""One of the processes of tests/training/workers_test.py.

    TF_CONFIG=... python -m tests.workers FOLDER RUN...

Each leaves what it computed in FOLDER, and then waits to be stopped.
"""

import contextlib
import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import training
from atcon_tf.config import StartAgain
from atcon_tf.training import schedule
from atcon_tf.training import strategies
from atcon_tf.training import streams
from atcon_tf.training.worker_group import WorkerGroup
from tests.tiny_runs import tiny
from tests.training import trainer_test

QUICK = dict(bootstrap=0, summary_images=0)
# The pool is scored and ranked before each second update.
BANK = dict(objective="self_training", bank_every=2, start="ranked_probe",
            unlabeled_batch_size=4, equivariance_weight=0, atcon_weight=0)
RUNS = {
    "supervised": dict(objective="supervised", steps=4, eval_every=4, **QUICK),
    # Seven steps: in a later one a ReLU or a tie of the max-pooling goes the
    # other way in float32, and Adam makes much of it (docs/scale.md).
    "atcon": dict(objective="atcon", steps=2, eval_every=2,
                  unlabeled_batch_size=3, **QUICK),
    "self_training": dict(steps=4, eval_every=4, **BANK, **QUICK),
    # Stopped on the way, by SIGTERM and by SIGKILL.
    **dict.fromkeys(("preempted", "killed"), dict(
        objective="atcon", steps=24, eval_every=8, checkpoint_every=2,
        unlabeled_batch_size=3, **QUICK))}
KINDS = schedule.plan("alternating", 6, 0.5, seed=0)


@contextlib.contextmanager
def precision(name):
  """Keras and the batches in float64 for a run called NAME_float64."""
  if not name.endswith("float64"):
    yield
    return
  before = keras.config.floatx(), keras.config.dtype_policy()
  batches = streams.batches

  def exact(*arguments):
    return ({key: tf.cast(value, tf.float64) if value.dtype == tf.float32
             else value for key, value in batch.items()}
            for batch in batches(*arguments))

  keras.config.set_floatx("float64")
  keras.config.set_dtype_policy("float64")
  streams.batches = exact
  try:
    yield
  finally:
    streams.batches = batches
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def run(name, folder, strategy="one"):
  """Makes a run of `RUNS` in FOLDER/NAME; NAME may end in _float64."""
  with precision(name):
    return training.train_and_evaluate(
        tiny(**RUNS[name.removesuffix("_float64")]), folder / name,
        strategy=strategy)


def main(folder, names):
  strategy = strategies.make("multi_worker")
  group = WorkerGroup(strategy)
  rows = np.arange(5 * group.count).reshape(-1, 5)
  assert (group.gather(rows[group.part(range(group.count))], group.count)
          == rows).all()
  with precision("float64"):
    logs, weights = trainer_test.train(strategy, KINDS, 7)
  np.savez(folder / f"float64_{group.index}.npz", *weights, losses=[
      step["loss"] for step in logs])
  for name in names:
    try:
      result = run(name, folder, strategy)
      assert (result is None) == (group.index > 0)
    except StartAgain as early:
      (folder / f"{name}_{group.index}.txt").write_text(str(early))
  os._exit(StartAgain.STATUS)


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]), sys.argv[2:])
