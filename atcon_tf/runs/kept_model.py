"""The copy of a user's model in the folder of a run.

A run leans on no file outside its folder: `Workdir` copies the file of --model
when the run begins, and `runs.load` builds the classifier from the copy.
"""

import hashlib
import os
import pathlib
import shutil

from atcon_tf.config import defaults
from atcon_tf.config import files
from atcon_tf.config import UserError

NAMES = tuple(f"model{ending}" for ending in defaults.MODEL_FILES)


def find(folder):
  """The path of the copy in a run's folder; None: there is none."""
  there = [pathlib.Path(folder) / name for name in NAMES]
  return next((path for path in there if path.is_file()), None)


def sha256(path):
  """The SHA-256 of a file, 64 hexadecimal digits."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def keep(folder, model):
  """Copies a model's file into a run's folder, or compares it with the copy.

  Args:
    folder: of the run.
    model: the value of --model; nothing happens if it is no file.
  Raises:
    UserError: the run began with another file.
  """
  if not defaults.is_file(model):
    return
  copy = find(folder)
  if copy is None:
    ending = os.path.splitext(model)[1].lower()
    with files.whole(pathlib.Path(folder) / f"model{ending}") as part:
      shutil.copyfile(model, part)
  elif not same(copy, model):
    raise UserError("model", model,
                    f"is no longer the file with which this run began; that "
                    f"is {copy}. Use another --workdir, or --overwrite")


def same(copy, model):
  """Whether a file is the one that was copied."""
  return (os.path.getsize(copy) == os.path.getsize(model)
          and sha256(copy) == sha256(model))


def note_of_change(folder, model):
  """A sentence if the file that a run began with has changed since, or ""."""
  copy = find(folder)
  if copy is None or not os.path.isfile(model) or same(copy, model):
    return ""
  return (f"{model} is no longer the file with which this run began; {copy} "
          "is used")
