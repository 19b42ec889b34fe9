"""Reads a file of arrays, NumPy's npz, that may be damaged."""

import zipfile
import zlib

import numpy as np

_WRONG = (OSError, ValueError, KeyError, EOFError, SyntaxError, TypeError,
          zipfile.BadZipFile, zlib.error, NotImplementedError, MemoryError,
          RuntimeError, OverflowError)


class Damaged(Exception):
  """A file whose bytes are not those that were written."""


def read(path):
  """`{name: array}` of a file; no pickle is read.

  Raises:
    Damaged: saying in a line how it is seen.
  """
  try:
    with np.load(path, allow_pickle=False) as values:
      return {name: values[name] for name in values.files}
  except _WRONG as error:  # of zipfile and of NumPy's header
    raise Damaged(str(error).splitlines()[0] if str(error) else
                  type(error).__name__) from error
