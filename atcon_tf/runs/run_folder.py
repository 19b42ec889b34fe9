"""The folder of a run: its files, its lock, its checkpoint.

    config.json       the resolved settings
    flags.txt         repeats the run: --flagfile=flags.txt
    splits.json       the image ids of every part, and the class names
    model.keras       the user's model with which the run began, if it did;
                      model.h5 of an .h5 file
    checkpoints/      last.npz and previous.npz (to resume, `checkpoint.py`)
                      and best.weights.h5 (the result); attention.weights.h5,
                      the head of a run that trains one
    tb/               TensorBoard
    attribution.csv   average drop and increase in confidence of such a head's
                      maps at each validation
    predictions.npz   per-image results on the test split
    figures/*.png     pictures
    tournament.json, tournament.png
                      which attribution method to trust; only of
                      `evaluate --methods=auto`
    result.json       every number; written last

Other files in the folder are never changed.
"""

import dataclasses
import json
import os
import pathlib
import shutil

from atcon_tf.config import Config
from atcon_tf.config import files
from atcon_tf.config import local_paths
from atcon_tf.config import UserError
from atcon_tf.runs import checkpoint
from atcon_tf.runs import kept_model
from atcon_tf.runs import trusted_method

# The files of a run, in the order in which they are set aside. The checkpoint
# comes first, so that its absence shows that a process was killed before all
# files were moved.
NAMES = ("checkpoints", "result.json", "tb", "attribution.csv",
         "predictions.npz", "figures", *trusted_method.NAMES, "splits.json",
         "flags.txt", *kept_model.NAMES, "config.json")
# The folder in which --overwrite keeps the old run until the new one has a
# checkpoint.
ASIDE = ".before"
# Settings in the config.json of every version.
_ALWAYS = {"objective", "dataset", "split_seed"}


class Workdir:
  """The folder of one run, which is locked while it is open."""

  def __init__(self, path, config, overwrite=False):
    """Creates the folder, or opens it to continue the run.

    Args:
      path: of the folder.
      config: the resolved settings.
      overwrite: whether to start a new run even if the folder holds one. The
        old run is deleted when the new run writes its first checkpoint, and
        restored if the new run never does.
    Raises:
      UserError: the run is finished, was started with other settings, or runs
        in another process; or the folder holds other files.
    """
    if not str(path):
      raise UserError("workdir", "", "must name a folder")
    self.path = pathlib.Path(local_paths.local("workdir", path))
    self.config, there = config, self.path.exists()
    self._lock = files.locked("workdir", self.path / ".lock", path,
                              "another process uses this folder")
    if os.path.realpath(config.model) in {
        os.path.realpath(self.path / name) for name in kept_model.NAMES}:
      raise UserError("model", config.model,
                      "is the copy in this run's own folder; use another "
                      "--workdir")
    self._settle()
    if overwrite:
      self._set_aside()
    else:
      self._check()
    # What a run that is refused before its first step leaves behind.
    self._new = not (self.path / "config.json").exists(), not there
    kept_model.keep(self.path, config.model)
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
    """Moves the files of the old run to `ASIDE`."""
    others = self._others()
    if others and not self._is_run():
      raise UserError("workdir", self.path,
                      "--overwrite needs the folder of a run, and this folder "
                      f"is none: it holds {others[0]}")
    (self.path / ASIDE).mkdir()
    for name in NAMES:
      if (self.path / name).exists():
        os.replace(self.path / name, self.path / ASIDE / name)

  def _settle(self):
    """Deletes the old run in `ASIDE`, or restores it.

    It is restored if the new run has no checkpoint.
    """
    aside = self.path / ASIDE
    if not aside.exists():
      return
    if not checkpoint.exists(self.path / "checkpoints"):
      if (aside / "config.json").exists():  # so the others are of the new run
        for name in NAMES:
          _remove(self.path / name)
      for name in reversed(NAMES):
        if (aside / name).exists():
          os.replace(aside / name, self.path / name)
    shutil.rmtree(aside)

  def _others(self):
    """Names in the folder, except the lock."""
    return sorted(e.name for e in self.path.iterdir() if e.name != ".lock")

  def _check(self):
    """Refuses a finished run, other settings, and a folder of other files."""
    stored = self.path / "config.json"
    if not self._is_run():
      if self._others():
        raise UserError("workdir", self.path,
                        "not empty and not a run's folder: it holds "
                        f"{self._others()[0]}")
      return
    if not (self.path / "checkpoints").exists() and not (
        self.path / "result.json").exists():
      # The run stopped before its first step, perhaps because of wrong
      # settings, so its split is drawn again.
      for name in ("splits.json", *kept_model.NAMES):
        (self.path / name).unlink(missing_ok=True)
      return
    if kept_model.find(self.path):  # runs of earlier versions have none
      kept_model.keep(self.path, self.config.model)
    before = Config.from_json(stored.read_text())
    for field in dataclasses.fields(Config):
      old, new = getattr(before, field.name), getattr(self.config, field.name)
      if old != new:
        raise UserError(field.name, _shown(new),
                        f"the run in {self.path} has {_shown(old)}; "
                        "that value continues the run, and another --workdir "
                        "or --overwrite begins a new one")
    if (self.path / "result.json").exists():
      raise UserError("workdir", self.path,
                      "this run is finished; use another folder (with "
                      "--warm_start=THIS_FOLDER to train its model further), "
                      "or --overwrite to repeat it")

  def abandon(self):
    """Removes what a new run wrote that was refused before its first step."""
    new_run, new_folder = self._new
    if new_run:
      for name in NAMES:
        _remove(self.path / name)
      if new_folder and not self._others():
        shutil.rmtree(self.path)

  def close(self):
    """Closes the folder and releases the lock."""
    self._settle()
    self._lock.close()

  def save_checkpoint(self, variables, progress, arrays=None):
    """Saves everything that a run needs to continue; see `checkpoint.save`."""
    checkpoint.save(self.path / "checkpoints", variables, progress, arrays)
    self._settle()

  def load_checkpoint(self, variables):
    """Restores the variables; see `checkpoint.load`."""
    return checkpoint.load(self.path / "checkpoints", variables)

  def save_best(self, classifier):
    """Saves the weights of a classifier, and of its head, as the best.

    Returns:
      their checksum, for `load_best`.
    """
    for path, model in weights(self.path, classifier):
      path.parent.mkdir(parents=True, exist_ok=True)
      part = path.with_name("next.weights.h5")  # Keras wants this ending
      try:
        model.save_weights(part)
        os.replace(part, path)
      except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written: {error}") from error
    return checkpoint.digest(path for path, _ in weights(self.path,
                                                         classifier))

  def load_best(self, classifier, checksum=None):
    """Loads the weights of `save_best` into a classifier and its head.

    Args:
      classifier: a `models.Classifier`.
      checksum: that `save_best` returned; None: it is not compared.
    Raises:
      UserError: the checksum is another.
    """
    kept = weights(self.path, classifier)
    if checksum and checkpoint.digest(path for path, _ in kept) != checksum:
      raise UserError(f"{kept[0][0]} is damaged (its checksum is another); "
                      "--overwrite begins the run anew")
    for path, model in kept:
      model.load_weights(path)

  def save_figure(self, name, png):
    """Writes a picture into figures/."""
    files.write_bytes(self.path / "figures" / f"{name}.png", png)

  def save_result(self, result):
    """Writes result.json, which marks the run as finished."""
    files.write_text(self.path / "result.json", json.dumps(result, indent=1))


def weights(path, classifier):
  """The files of the best weights in a run's folder, with their models.

  Args:
    path: `pathlib.Path` of the folder.
    classifier: a `models.Classifier`.
  Returns:
    list of `(file, keras.Model)`: the classifier and, if it has one, its head.
  """
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
