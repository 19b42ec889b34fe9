"""The checkpoints of a run: the last two, each with a checksum.

    checkpoints/last.npz      the newest
    checkpoints/previous.npz  the one before it

A file is NumPy's npz, behind which stand a mark and the SHA-256 of all bytes
before the mark; NumPy reads the file as if they were not there. If the newest
is damaged, the one before it continues the run, with the same numbers in the
end, since what follows a checkpoint depends on nothing else.
"""

import hashlib
import json
import os
import sys

import numpy as np

from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.runs import array_file
from atcon_tf.runs.array_file import Damaged

LAST, PREVIOUS = "last.npz", "previous.npz"
_MARK = b"sha256: "

def exists(folder):
  """Whether a folder, a `pathlib.Path`, has a checkpoint."""
  return (folder / LAST).exists() or (folder / PREVIOUS).exists()


def save(folder, variables, progress, arrays=None):
  """Saves everything that a run needs to continue.

  Args:
    folder: `pathlib.Path` of the checkpoints.
    variables: `{name: keras.Variable}`.
    progress: dict of JSON values.
    arrays: `{name: array}`, further arrays; None: no arrays.
  Raises:
    FloatingPointError: a variable is not finite; nothing is written.
    UserError: the files cannot be written.
  """
  values = {name: v.numpy() for name, v in variables.items()}
  for name, value in values.items():
    if value.dtype.kind == "f" and not np.isfinite(value).all():
      raise FloatingPointError(f"{name} is not finite")
  values |= {f"array/{name}": a for name, a in (arrays or {}).items()}
  text = np.frombuffer(json.dumps(progress).encode(), np.uint8)
  with files.whole(folder / LAST) as part:
    with open(part, "w+b") as file:
      np.savez(file, **values, **{"progress.json": text})
      file.seek(0)
      total = hashlib.file_digest(file, "sha256").digest()
      file.write(_MARK + total)
      file.flush()
      os.fsync(file.fileno())  # the machine may be switched off, too
    if (folder / LAST).exists():
      os.replace(folder / LAST, folder / PREVIOUS)


def load(folder, variables):
  """Restores the variables from the newest checkpoint that is whole.

  Args:
    folder: `pathlib.Path` of the checkpoints.
    variables: `{name: keras.Variable}`.
  Returns:
    the progress and the arrays that were saved; None and {} if there is no
    checkpoint.
  Raises:
    UserError: the checkpoint lacks a variable, or both are damaged.
  """
  reasons = []
  for path in (folder / LAST, folder / PREVIOUS):
    if not path.exists():
      continue
    try:
      _check_sum(path)
      values = array_file.read(path)
    except Damaged as error:
      reasons.append(f"{path} is damaged ({error})")
      continue
    missing = set(variables) - set(values)
    if missing:
      raise UserError(f"{path}: has no {sorted(missing)[0]}; the checkpoint "
                      "is of another model")
    if reasons:
      print(f"note: {reasons[0]}; continuing from the one before it",
            file=sys.stderr)
      os.replace(path, folder / LAST)
    for name, variable in variables.items():
      variable.assign(values[name])
    arrays = {name.removeprefix("array/"): value
              for name, value in values.items() if name.startswith("array/")}
    return json.loads(bytes(values["progress.json"])), arrays
  if reasons:
    raise UserError(f"{'; '.join(reasons)}; --overwrite begins the run anew")
  return None, {}


def _check_sum(path):
  """Compares the bytes with the checksum; earlier versions wrote none."""
  tail = len(_MARK) + hashlib.sha256().digest_size
  with open(path, "rb") as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - tail))
    end = file.read()
    if not end.startswith(_MARK):
      return
    file.seek(0)
    total, left = hashlib.sha256(), size - tail
    while left:
      block = file.read(min(left, 1 << 20))
      total.update(block)
      left -= len(block)
  if total.digest() != end[len(_MARK):]:
    raise Damaged("its checksum is another")


def digest(paths):
  """The SHA-256 of files, one after the other, as hexadecimal digits."""
  total = hashlib.sha256()
  for path in paths:
    with open(path, "rb") as file:
      total.update(hashlib.file_digest(file, "sha256").digest())
  return total.hexdigest()
