"""A run from its settings: data, `Training`, result."""

import dataclasses
import os

from atcon_tf.config import UserError
from atcon_tf.runs import run_data
from atcon_tf.runs import run_folder
from atcon_tf.runs.run_classifier import of_file
from atcon_tf.runs.run_classifier import say_what_was_found
from atcon_tf.training.loop import Training


def train_and_evaluate(config, workdir, overwrite=False):
  """Trains a classifier, keeps the best weights, and tests them.

  The package's docstring defines the best weights.

  Args:
    config: a resolved `Config`.
    workdir: folder of the run; see `runs`. An interrupted run in it continues.
    overwrite: whether to start a new run even if the folder holds one.
  Returns:
    the dict of result.json.
  Raises:
    UserError: a setting, the data or the folder are wrong.
  """
  config = of_file(config)
  work = run_folder.Workdir(workdir, config, overwrite)
  try:
    return prepare(config, work.path / "splits.json").run(work)
  finally:
    work.close()


def prepare(config, splits, like=None):
  """Reads the data that the settings name, and makes a `Training`.

  Args:
    config: a resolved `Config` with an image size.
    splits: path of the run's splits.json, which is written if it is missing.
    like: a finished `Training` whose config differs only by seed and shots;
      its images and compiled steps are used again, with the same result.
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
  training = Training(config, data, like=like)
  if not like:
    say_what_was_found(training.classifier, config.model, data.class_names)
  return training


def same_but_for_seed(one, other):
  """Whether two configs differ only by seed, shots and split."""
  free = dict(seed=0, split_seed=0, shots=0, splits="")
  first, second = (dataclasses.replace(c, **free) for c in (one, other))
  return first == second
