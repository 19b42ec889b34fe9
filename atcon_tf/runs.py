"""A run's folder: what is in it, how it is resumed, how it is read.

    config.json       the resolved settings
    flags.txt         repeats the run: --flagfile=flags.txt
    splits.json       the very image ids of every part, and the class names
    checkpoints/      last.npz (to resume) and best.weights.h5 (the result);
                      attention.weights.h5, the head of a run that trains one
    tb/               TensorBoard
    predictions.npz   per-image results on the test split
    figures/*.png     pictures
    result.json       every number; written last
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import models
from atcon_tf.attribution import learned
from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.settings import HEADS


def write_text(path, text):
  """Writes a text file whole or not at all."""
  write_bytes(path, text.encode())


def write_bytes(path, data):
  """Writes a file whole or not at all."""
  with _whole(pathlib.Path(path)) as part:
    part.write_bytes(data)


@contextlib.contextmanager
def _whole(path):
  """A path beside `path` that takes its place when the block ends well."""
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f".part-{path.name}")
  try:
    yield part
    os.replace(part, path)
  except OSError as error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS,
                       errno.EACCES):
      raise UserError(f"{path}: cannot be written: {error.strerror}; what "
                      "was there before is kept") from error
    raise
  finally:
    with contextlib.suppress(OSError):
      part.unlink(missing_ok=True)


class Workdir:
  """The folder of one run, locked while it is open."""

  def __init__(self, path, config, overwrite=False):
    """Creates the folder, or opens one to continue.

    Args:
      path: of the folder.
      config: the resolved settings.
      overwrite: start anew whatever is there.
    Raises:
      UserError: the run is finished, was started with other settings, or is
        at work in another process; or the folder holds something else.
    """
    self.path = pathlib.Path(path)
    self.config = config
    try:
      self.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise UserError(f"--workdir={path}: {error.strerror}") from error
    self._lock = open(self.path / ".lock", "w")
    try:
      fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise UserError(f"--workdir={path}: another process is at work there"
                      ) from error
    if overwrite:
      self._clear()
    self._check()
    write_text(self.path / "config.json", config.to_json())
    write_text(self.path / "flags.txt", config.to_flags())

  def _clear(self):
    if not (self.path / "config.json").exists() and self._others():
      raise UserError(f"--workdir={self.path}: --overwrite clears a run's "
                      f"folder, and this is none: it holds {self._others()[0]}")
    for entry in self.path.iterdir():
      if entry.is_dir():
        shutil.rmtree(entry)
      elif entry.name != ".lock":
        entry.unlink()

  def _others(self):
    return sorted(e.name for e in self.path.iterdir() if e.name != ".lock")

  def _check(self):
    stored = self.path / "config.json"
    if not stored.exists():
      if self._others():
        raise UserError(f"--workdir={self.path}: not empty and not a run's "
                        f"folder: it holds {self._others()[0]}")
      return
    if not (self.path / "checkpoints").exists():
      # Stopped before its first step, perhaps by wrong settings: nothing of
      # theirs is kept.
      (self.path / "splits.json").unlink(missing_ok=True)
      return
    before = Config.from_json(stored.read_text())
    for field in dataclasses.fields(Config):
      old, new = getattr(before, field.name), getattr(self.config, field.name)
      if old != new:
        raise UserError(
            f"--{field.name}={_shown(new)}: the run in {self.path} has "
            f"{_shown(old)}; use another --workdir, or --overwrite")
    if (self.path / "result.json").exists():
      raise UserError(f"--workdir={self.path}: this run is finished; use "
                      "another folder, or --overwrite to repeat it")

  def close(self):
    self._lock.close()

  # What is saved.

  def save_checkpoint(self, variables, progress, arrays=None):
    """Saves everything a run needs to continue.

    Args:
      variables: `{name: keras.Variable}`.
      progress: JSON-able dict.
      arrays: `{name: array}`, whatever else there is.
    """
    path = self.path / "checkpoints" / "last.npz"
    values = {name: v.numpy() for name, v in variables.items()}
    values |= {f"array/{name}": a for name, a in (arrays or {}).items()}
    text = np.frombuffer(json.dumps(progress).encode(), np.uint8)
    with _whole(path) as part:
      with open(part, "wb") as file:
        np.savez(file, **values, **{"progress.json": text})

  def load_checkpoint(self, variables):
    """Restores the variables.

    Returns:
      the progress and the arrays that were saved; None and {} at the start.
    """
    path = self.path / "checkpoints" / "last.npz"
    if not path.exists():
      return None, {}
    with np.load(path) as values:
      missing = set(variables) - set(values.files)
      if missing:
        raise UserError(f"{path}: has no {sorted(missing)[0]}; it is of "
                        "another model")
      for name, variable in variables.items():
        variable.assign(values[name])
      arrays = {name.removeprefix("array/"): values[name]
                for name in values.files if name.startswith("array/")}
      return json.loads(bytes(values["progress.json"])), arrays

  def save_best(self, classifier):
    """Keeps the weights of a classifier, and its head, as the best so far."""
    for path, model in _weights(self.path, classifier):
      path.parent.mkdir(parents=True, exist_ok=True)
      part = path.with_name("next.weights.h5")  # Keras wants this ending
      try:
        model.save_weights(part)
        os.replace(part, path)
      except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written: {error}") from error

  def load_best(self, classifier):
    """Gives a classifier, and its head, the weights that `save_best` kept."""
    for path, model in _weights(self.path, classifier):
      model.load_weights(path)

  def save_figure(self, name, png):
    """Writes a picture into figures/."""
    write_bytes(self.path / "figures" / f"{name}.png", png)

  def save_result(self, result):
    """Writes result.json, the sign of a finished run."""
    write_text(self.path / "result.json", json.dumps(result, indent=1))


def _weights(path, classifier):
  """`(file, model)` of the best weights in a run's folder."""
  files = [(path / "checkpoints" / "best.weights.h5", classifier.model)]
  if classifier.attention:
    files.append((path / "checkpoints" / "attention.weights.h5",
                  classifier.attention))
  return files


def _shown(value):
  return ",".join(value) if isinstance(value, tuple) else value


def named_variables(trainer):
  """`{name: variable}` of a trainer: weights, objectives, optimisers."""
  named = {f"model/{i}/{v.path}": v
           for i, v in enumerate(trainer.classifier.model.variables)}
  for kind, objective in trainer.objectives.items():
    named |= {f"{kind}/{i}": v for i, v in enumerate(
        [*objective.variables, *objective.state])}
  for name, optimizer in trainer.optimizers.items():
    named |= {f"optimizer/{name}/{i}": v
              for i, v in enumerate(optimizer.variables)}
  return named


@dataclasses.dataclass(eq=False)
class Run:
  """A run that was trained.

  Attributes:
    path: its folder.
    config: its `Config`.
    split: its splits.json.
    class_names, multi_label: of its data.
    classifier: with its best weights.
  """

  path: pathlib.Path
  config: Config
  split: dict
  classifier: models.Classifier

  @property
  def class_names(self):
    return tuple(self.split["class_names"])

  @property
  def multi_label(self):
    return self.split["multi_label"]

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


def load_run(workdir):
  """The run in a folder, with its best weights.

  Raises:
    UserError: no run there, or it has no checkpoint yet.
  """
  path = pathlib.Path(workdir)
  if not (path / "config.json").exists():
    raise UserError(f"--workdir={workdir}: no run there (no config.json)")
  config = Config.from_json((path / "config.json").read_text())
  split = _read_json(path / "splits.json", "the run has not begun")
  classifier = build_classifier(config, len(split["class_names"]),
                                split["multi_label"], trained=True)
  for best, model in _weights(path, classifier):
    if not best.exists():
      raise UserError(f"--workdir={workdir}: the run has no checkpoint yet")
    models.load_weights(model, best, str(best), config.model)
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
  return dataclasses.replace(config,
                             image_size=models.file_image_size(config.model))


def start_weights(classifier, warm_start):
  """Loads the weights that `--warm_start` names: a run or a weights file.

  A head goes on from that of the run, if it has one.

  Raises:
    UserError: they are of another model, or of another head.
  """
  path, flag = pathlib.Path(warm_start), f"--warm_start={warm_start}"
  if not path.is_dir():
    models.load_weights(classifier.model, path, flag, classifier.name)
    return
  (file, model), *heads = _weights(path, classifier)
  models.load_weights(model, file, flag, classifier.name)
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
      "command": " ".join([os.path.basename(sys.executable), "-m",
                           "atcon_tf.train", *map(_base_name, sys.argv[1:])]),
  }


def _base_name(argument):
  """A flag without the folders of this machine in an absolute path."""
  flag, equals, value = argument.partition("=")
  if equals and os.path.isabs(value):
    value = os.path.basename(os.path.normpath(value))
  return flag + equals + value
