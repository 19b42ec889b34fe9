"""A run's folder: what is in it, how it is kept and resumed.

    config.json       the resolved settings
    flags.txt         repeats the run: --flagfile=flags.txt
    splits.json       the very image ids of every part, and the class names
    checkpoints/      last.npz (to resume) and best.weights.h5 (the result);
                      attention.weights.h5, the head of a run that trains one
    tb/               TensorBoard
    attribution.csv   average drop and increase in confidence of such a head's
                      maps at each validation
    predictions.npz   per-image results on the test split
    figures/*.png     pictures
    result.json       every number; written last

What else somebody puts there is left alone.
"""

import dataclasses
import fcntl
import json
import os
import pathlib
import shutil

import numpy as np

from atcon_tf.config import Config
from atcon_tf.config import files
from atcon_tf.config import UserError

# What a run leaves, in the order in which it is set aside: without its
# checkpoint first, so that a process that is killed half-way can tell.
NAMES = ("checkpoints", "result.json", "tb", "attribution.csv",
         "predictions.npz", "figures", "splits.json", "flags.txt",
         "config.json")
# Where --overwrite keeps the run before until the new one has a checkpoint.
ASIDE = ".before"
# Settings that every run has had from the first version on.
_ALWAYS = {"objective", "dataset", "split_seed"}


class Workdir:
  """The folder of one run, locked while it is open."""

  def __init__(self, path, config, overwrite=False):
    """Creates the folder, or opens one to continue.

    Args:
      path: of the folder.
      config: the resolved settings.
      overwrite: start anew. The run that is there is gone with the first
        checkpoint of the new one, and back if that never gets there.
    Raises:
      UserError: the run is finished, was started with other settings, or is
        at work in another process; or the folder holds something else.
    """
    if not str(path):
      raise UserError("workdir", "", "must name a folder")
    self.path = pathlib.Path(path)
    self.config = config
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      self._lock = open(self.path / ".lock", "w")
    except OSError as error:
      raise UserError("workdir", path, f"{error.strerror}") from error
    try:
      fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise UserError("workdir", path,
                      "another process is at work there") from error
    self._settle()
    if overwrite:
      self._set_aside()
    else:
      self._check()
    files.write_text(self.path / "config.json", config.to_json())
    files.write_text(self.path / "flags.txt", config.to_flags())

  def _is_run(self):
    """Whether the folder's config.json is that of a run."""
    try:
      stored = json.loads((self.path / "config.json").read_text())
      return _ALWAYS <= set(stored)
    except (OSError, ValueError, TypeError):
      return False

  def _set_aside(self):
    """Makes room for a new run."""
    others = self._others()
    if others and not self._is_run():
      raise UserError("workdir", self.path,
                      "--overwrite clears a run's folder, and this is none: "
                      f"it holds {others[0]}")
    (self.path / ASIDE).mkdir()
    for name in NAMES:
      if (self.path / name).exists():
        os.replace(self.path / name, self.path / ASIDE / name)

  def _settle(self):
    """Lets go of the run that was set aside, or brings it back."""
    aside = self.path / ASIDE
    if not aside.exists():
      return
    if not (self.path / "checkpoints" / "last.npz").exists():
      if (aside / "config.json").exists():  # all were moved: these are new
        for name in NAMES:
          _remove(self.path / name)
      for name in reversed(NAMES):
        if (aside / name).exists():
          os.replace(aside / name, self.path / name)
    shutil.rmtree(aside)

  def _others(self):
    return sorted(e.name for e in self.path.iterdir() if e.name != ".lock")

  def _check(self):
    stored = self.path / "config.json"
    if not self._is_run():
      if self._others():
        raise UserError("workdir", self.path,
                        "not empty and not a run's folder: it holds "
                        f"{self._others()[0]}")
      return
    if not (self.path / "checkpoints").exists() and not (
        self.path / "result.json").exists():
      # Stopped before its first step, perhaps by wrong settings: nothing of
      # theirs is kept.
      (self.path / "splits.json").unlink(missing_ok=True)
      return
    before = Config.from_json(stored.read_text())
    for field in dataclasses.fields(Config):
      old, new = getattr(before, field.name), getattr(self.config, field.name)
      if old != new:
        raise UserError(field.name, _shown(new),
                        f"the run in {self.path} has {_shown(old)}; use "
                        "another --workdir, or --overwrite")
    if (self.path / "result.json").exists():
      raise UserError("workdir", self.path,
                      "this run is finished; use another folder, or "
                      "--overwrite to repeat it")

  def close(self):
    """Ends the work in the folder."""
    self._settle()
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
    with files.whole(path) as part:
      with open(part, "wb") as file:
        np.savez(file, **values, **{"progress.json": text})
    self._settle()

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
    for path, model in weights(self.path, classifier):
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
    for path, model in weights(self.path, classifier):
      model.load_weights(path)

  def save_figure(self, name, png):
    """Writes a picture into figures/."""
    files.write_bytes(self.path / "figures" / f"{name}.png", png)

  def save_result(self, result):
    """Writes result.json, the sign of a finished run."""
    files.write_text(self.path / "result.json", json.dumps(result, indent=1))


def weights(path, classifier):
  """`(file, model)` of the best weights in a run's folder."""
  folder = path / "checkpoints"
  kept = [(folder / "best.weights.h5", classifier.stored)]
  if classifier.attention:
    kept.append((folder / "attention.weights.h5", classifier.attention))
  return kept


def _remove(path):
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)


def _shown(value):
  return ",".join(value) if isinstance(value, tuple) else value
