"""A run from its settings: data, `Training`, result."""

import contextlib
import dataclasses
import os
import tempfile

import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.runs import run_data
from atcon_tf.runs import run_folder
from atcon_tf.runs.run_classifier import of_file
from atcon_tf.runs.run_classifier import say_what_was_found
from atcon_tf.training import strategies
from atcon_tf.training.loop import Training
from atcon_tf.training.worker_group import WorkerGroup


def train_and_evaluate(config, workdir, overwrite=False, strategy="auto"):
  """Trains a classifier, keeps the best weights, and tests them.

  The package's docstring defines the best weights.

  Args:
    config: a resolved `Config`.
    workdir: folder of the run; see `runs`. An interrupted run in it continues.
    overwrite: whether to start a new run even if the folder holds one.
    strategy: the devices and processes, see `strategies.make`. Each of
      several processes makes this call; process 0 writes the folder, process
      k writes `WORKDIR.workerK.log`.
  Returns:
    the dict of result.json; None in a process other than the first.
  Raises:
    UserError: a setting, the data or the folder are wrong.
    StartAgain: the run was stopped before its end, and the same call
      continues it.
  """
  strategy = strategies.make(strategy)
  group = WorkerGroup(strategy)
  with contextlib.ExitStack() as stack:
    stack.enter_context(group.together())
    if not group.chief:
      # A process of the same program, whose folder nobody reads.
      log = f"{os.path.normpath(workdir)}.worker{group.index}.log"
      os.makedirs(os.path.dirname(os.path.abspath(log)), exist_ok=True)
      stack.enter_context(contextlib.redirect_stdout(
          stack.enter_context(open(log, "a", encoding="utf-8"))))
      workdir = stack.enter_context(tempfile.TemporaryDirectory())
    result = _run(config, workdir, overwrite and group.chief, strategy, group)
    if group.chief:  # the run is finished, whatever becomes of the others
      stack.enter_context(contextlib.suppress(tf.errors.OpError))
    group.same(None)  # no process leaves before the chief has the result
  return result


def _run(config, workdir, overwrite, strategy, group):
  """Trains and evaluates in one process of a group."""
  config = of_file(config)
  work = group.chief_first(
      lambda: run_folder.Workdir(workdir, config, overwrite))
  try:
    try:
      begun = prepare(config, work.path / "splits.json", strategy=strategy)
    except UserError:
      work.abandon()
      raise
    return begun.run(work)
  finally:
    work.close()


def prepare(config, splits, like=None, strategy=None):
  """Reads the data that the settings name, and makes a `Training`.

  Args:
    config: a resolved `Config` with an image size.
    splits: path of the run's splits.json, which is written if it is missing.
    like: a finished `Training` whose config differs only by seed and shots;
      its images and compiled steps are used again, with the same result.
    strategy: see `Training`.
  Raises:
    UserError: a setting or the data are wrong.
  """
  if like and not same_but_for_seed(config, like.config):
    raise ValueError("like: its config differs by more than seed and shots")
  for name in ("weights", "warm_start", "splits"):
    value = getattr(config, name)
    if value not in ("", "none", "imagenet") and not os.path.exists(value):
      raise UserError(name, value, "no such file")
  data = run_data.load(config, splits, True, like and like.data.images)
  if strategy:
    WorkerGroup(strategy).check_same("strategy", data.split)
  training = Training(config, data, like=like, strategy=strategy)
  if not like:
    say_what_was_found(training.classifier, config.model, data.class_names)
  return training


def same_but_for_seed(one, other):
  """Whether two configs differ only by seed, shots and split."""
  free = dict(seed=0, split_seed=0, shots=0, splits="")
  first, second = (dataclasses.replace(c, **free) for c in (one, other))
  return first == second
