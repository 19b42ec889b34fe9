"""PyTorch's files of weights, read without PyTorch and without running them.

A .pth file (PyTorch 1.6 or later) is a zip: `data.pkl` says which tensors
there are, `data/0`, `data/1`, ... hold their numbers. A pickle can call any
function of Python; the reader here knows the few names of which a state dict
is made, and refuses a file with any other before it does anything.
"""

import collections
import math
import pickle
import zipfile

import numpy as np

from atcon_tf.config import UserError

_TYPES = {"DoubleStorage": np.float64, "FloatStorage": np.float32,
          "HalfStorage": np.float16, "LongStorage": np.int64,
          "IntStorage": np.int32, "ShortStorage": np.int16,
          "CharStorage": np.int8, "ByteStorage": np.uint8,
          "BoolStorage": np.bool_}


def read(path):
  """The tensors of a state dict.

  Args:
    path: of a .pth file.
  Returns:
    `{name: array}`.
  Raises:
    UserError: no such file, or no state dict.
  """
  try:
    with zipfile.ZipFile(path) as file:
      names = file.namelist()
      index, = (n for n in names if n.endswith("/data.pkl"))
      found = _Reader(file, index).load()
  except FileNotFoundError as error:
    raise UserError("weights", path, "no such file") from error
  except UserError:
    raise
  except Exception as error:  # of zipfile and of pickle, which raise anything
    why = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    raise UserError("weights", path, "not a state dict of PyTorch 1.6 or "
                    f"later: {why}") from error
  if not isinstance(found, dict) or not found or not all(
      isinstance(k, str) and isinstance(v, np.ndarray)
      for k, v in found.items()):
    raise UserError("weights", path, "holds no state dict, tensors by name; "
                    "write it with torch.save(model.state_dict(), path)")
  return dict(found)


class _Reader(pickle.Unpickler):
  """An unpickler of tensors alone."""

  def __init__(self, file, index):
    super().__init__(file.open(index))
    self._file, self._folder = file, index.removesuffix("data.pkl")
    order = self._folder + "byteorder"
    self._order = ">" if order in file.namelist() and (
        file.read(order) == b"big") else "<"
    self._storages = {}

  def find_class(self, module, name):
    if (module, name) == ("collections", "OrderedDict"):
      return collections.OrderedDict
    if module == "torch" and name in _TYPES:
      return np.dtype(_TYPES[name])
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
      return _tensor
    if (module, name) == ("torch._utils", "_rebuild_parameter"):
      return lambda data, *rest: data
    raise UserError("weights", self._file.filename,
                    f"holds {module}.{name}, which is no part of a state "
                    "dict; nothing of the file was run")

  def persistent_load(self, pid):
    """The numbers of a storage: `("storage", type, key, device, count)`."""
    kind, dtype, key, _, count = pid
    if kind != "storage":
      raise ValueError(f"a {kind}, not a storage")
    if key not in self._storages:
      numbers = np.frombuffer(self._file.read(f"{self._folder}data/{key}"),
                              dtype.newbyteorder(self._order))
      self._storages[key] = numbers[:count].astype(dtype)
    return self._storages[key]


def _tensor(storage, offset, size, stride, *rest):
  """A view of a storage; refuses one that leaves it, or repeats it."""
  del rest
  span = sum((n - 1) * s for n, s in zip(size, stride))
  if min((offset, *size, *stride)) < 0 or math.prod(size) > len(storage) or (
      math.prod(size) and offset + span >= len(storage)):
    raise ValueError("a tensor leaves its storage")
  return np.lib.stride_tricks.as_strided(
      storage[offset:], size, [s * storage.itemsize for s in stride]).copy()
