"""predictions.npz: the predictions of a run for each test image."""

import io
import pathlib

import numpy as np

from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.runs import array_file


def save_predictions(path, table):
  """Writes predictions.npz.

  Args:
    path: of the file.
    table: the dict of arrays of `scoring.tabulate`.
  """
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **table)
  files.write_bytes(path, buffer.getvalue())


def load_predictions(run_path):
  """predictions.npz of a run as a dict of arrays.

  Raises:
    UserError: the run is not finished, or the file is damaged.
  """
  path = pathlib.Path(run_path) / "predictions.npz"
  if not path.exists():
    raise UserError(f"{path}: no such file: the run is not finished")
  try:
    return array_file.read(path)
  except array_file.Damaged as error:
    raise UserError(f"{path}: damaged ({error}); the end of the run is "
                    "repeated if result.json is removed") from error
