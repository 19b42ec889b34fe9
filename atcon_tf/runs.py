"""A run that was trained, and what a run is made of: its classifier."""

import dataclasses
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import backbones
from atcon_tf import model_file
from atcon_tf import models
from atcon_tf import run_folder
from atcon_tf import splits
from atcon_tf.attribution import learned
from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.settings import HEADS


@dataclasses.dataclass(eq=False)
class Run(splits.Described):
  """A run that was trained.

  Attributes:
    path: its folder.
    config: its `Config`.
    split: its splits.json.
    classifier: with its best weights.
  """

  path: pathlib.Path
  config: Config
  split: dict
  classifier: models.Classifier

  @property
  def result(self):
    """result.json.

    Raises:
      UserError: the run is not finished.
    """
    return _read_json(self.path / "result.json", "the run is not finished; "
                      "the command that started it continues it")


def _read_json(path, otherwise):
  try:
    return json.loads(path.read_text())
  except FileNotFoundError as error:
    raise UserError(f"{path}: no such file: {otherwise}") from error
  except ValueError as error:
    raise UserError(f"{path}: not JSON: {error}") from error


def load_run(workdir, flag="workdir"):
  """The run in a folder, with its best weights.

  Args:
    workdir: the folder.
    flag: that named it.
  Raises:
    UserError: no run there, or it has no checkpoint yet.
  """
  path = pathlib.Path(workdir)
  if not (path / "config.json").exists():
    raise UserError(f"--{flag}={workdir}: no run there (no config.json)")
  config = Config.from_json((path / "config.json").read_text())
  split = _read_json(path / "splits.json", "the run has not begun")
  classifier = build_classifier(config, len(split["class_names"]),
                                split["multi_label"], trained=True)
  for best, model in run_folder.weights(path, classifier):
    if not best.exists():
      raise UserError(f"--{flag}={workdir}: the run has no checkpoint yet")
    backbones.load_weights(model, best, str(best), config.model)
  return Run(path, config, split, classifier)


def build_classifier(config, num_classes, multi_label, prior=None,
                     trained=False):
  """The classifier that a config describes.

  Args:
    trained: its weights will be loaded; do not read those it started from.
  """
  classifier = models.build(
      config.model, num_classes, "none" if trained else config.weights,
      image_size=config.image_size, width=config.width, prior=prior,
      multi_label=multi_label, cam_layer=config.cam_layer,
      reflect_padding=config.reflect_padding,
      input_range=config.input_range)
  if config.objective not in HEADS:
    return classifier
  version = "l_cam" if config.objective == "l_cam" else config.tame_version
  return learned.attach(classifier, version, config.feature_layers)


def with_image_size(config):
  """The config with the image size that a .keras file itself has."""
  if config.image_size:
    return config
  return dataclasses.replace(
      config, image_size=model_file.file_image_size(config.model))


def start_weights(classifier, warm_start):
  """Loads the weights that `--warm_start` names: a run or a weights file.

  A head goes on from that of the run, if it has one.

  Raises:
    UserError: they are of another model, or of another head.
  """
  path, flag = pathlib.Path(warm_start), f"--warm_start={warm_start}"
  if not path.is_dir():
    backbones.load_weights(classifier.stored, path, flag, classifier.name)
    return
  (file, model), *heads = run_folder.weights(path, classifier)
  backbones.load_weights(model, file, flag, classifier.name)
  for file, head in heads:
    if not file.exists():
      continue
    before = load_run(path).classifier.attention
    if before.description != head.description:
      raise UserError(f"{flag}: its head is {before.description}, this one "
                      f"{head.description}")
    head.set_weights(before.get_weights())


def environment():
  """Versions, git commit and command of this process."""
  folder = pathlib.Path(__file__).parent
  try:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
  except (OSError, subprocess.CalledProcessError):
    commit = "unknown"
  return {
      "versions": {"python": platform.python_version(),
                   "tensorflow": tf.__version__, "keras": keras.__version__,
                   "numpy": np.__version__},
      "commit": commit,
      "command": shlex.join([os.path.basename(sys.executable), "-m",
                             "atcon_tf.train",
                             *map(_base_name, sys.argv[1:])]),
  }


def _base_name(argument):
  """A flag without the folders of this machine in an absolute path."""
  flag, equals, value = argument.partition("=")
  if equals and os.path.isabs(value):
    value = os.path.basename(os.path.normpath(value))
  return flag + equals + value
