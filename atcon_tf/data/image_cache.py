"""Where decoded images are kept: in a folder from run to run, or nowhere.

`--cache=disk`, a folder for each data set and framing:

    FOLDER/KEY/pixels    uint8 [N, height, width, 3], memory-mapped
    FOLDER/KEY/state     uint8 [N]: MISSING, KEPT, or SEVERAL, which is kept
                         and the first of several frames
    FOLDER/KEY/about     what KEY is a digest of, in short

KEY is a digest of all that the pixels depend on: path, size and time of change
of each file, the framing, and the version of Pillow. The images of a data set
have the same rows whichever of them a run uses, so runs of other seeds, shots
and objectives share the file. An image is decoded when a run first needs it. A
row is marked when it is on the disk, so a run may be killed at any time, and
two may write the same rows: they write the same bytes.
"""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import threading

import numpy as np
import PIL

from atcon_tf.config import files
from atcon_tf.config import image_sizes
from atcon_tf.config import UserError
from atcon_tf.data import image_store
from atcon_tf.data import shards

MISSING, KEPT, SEVERAL = 0, 1, 2
# So many images are written before they are marked.
_AT_ONCE = 256


def of(cache, folder, records, size):
  """The `cache` of `image_store.Images` for a data set.

  Args:
    cache: "memory", "disk" or "none".
    folder: of the files of "disk".
    records: list of all `Record`s of the data set.
    size: of the network.
  Raises:
    UserError: "disk", and an image is no file; or the folder cannot be used.
  """
  if cache == "disk":
    return functools.partial(Kept, Disk(folder, records, size))
  return functools.partial(Undecoded, size) if cache == "none" else None


class Disk:
  """A file with a row for each image of a data set.

  Attributes:
    pixels: uint8 `[N, height, width, 3]`; rows that are MISSING are 0.
    state: uint8 `[N]`.
    rows: `{image id: row}`.
  """

  def __init__(self, folder, records, size):
    """Opens the file, or makes it.

    Args:
      folder, records, size: as for `of`.
    """
    size = image_sizes.pair(size)
    records = sorted(records, key=lambda r: r.id)
    self.rows = {r.id: row for row, r in enumerate(records)}
    about = json.dumps({"images": len(records), "size": size,
                        "pillow": PIL.__version__})
    total = hashlib.sha256(about.encode())
    for record in records:
      total.update(json.dumps([_content(record), record.frame]).encode())
    place = pathlib.Path(folder) / total.hexdigest()[:32]
    shape = len(records), *size, 3
    self._folder, self._lock, self._written = folder, threading.Lock(), []
    try:
      files.write_text(place / "about", about + "\n")
      self._file = _open(place / "pixels", int(np.prod(shape, dtype=np.int64)))
      self.pixels = np.memmap(self._file, np.uint8, "r", shape=shape)
      self.state = np.memmap(_open(place / "state", len(records)), np.uint8,
                             "r+", shape=(len(records),))
    except OSError as error:
      raise UserError("cache_dir", folder, f"{error.strerror}") from error

  def write(self, row, image, state):
    """Writes an image into its row, which a `flush` marks with the state."""
    with self._writing():
      # Writing to a mapped file on a full disk would kill the process.
      self._file.seek(row * image.nbytes)
      self._file.write(image.tobytes())
      self._written.append((row, state))
      if len(self._written) == _AT_ONCE:
        self._mark()

  def flush(self):
    """Marks the rows that were written."""
    with self._writing():
      self._mark()

  def _mark(self):
    if self._written:
      self._file.flush()
      os.fsync(self._file.fileno())
      rows, states = zip(*self._written)
      self.state[list(rows)] = states
      self._written.clear()

  @contextlib.contextmanager
  def _writing(self):
    """One thread at a time; a full disk is a `UserError`."""
    try:
      with self._lock:
        yield
    except OSError as error:
      raise UserError("cache_dir", self._folder, f"{error.strerror}; --cache="
                      "none needs no room there") from error


class Kept:
  """The rows of some records in a `Disk`; indexed like an array `[n, ...]`."""

  dtype = np.dtype(np.uint8)

  def __init__(self, disk, records):
    """Takes the rows; `read` fills in those that are missing."""
    self._disk, self._records = disk, records
    self._rows = np.array([disk.rows[r.id] for r in records], np.int64)
    self.shape = len(records), *disk.pixels.shape[1:]

  def __getitem__(self, index):
    return self._disk.pixels[self._rows[index]]

  def read(self, i, several):
    """Decodes record i, unless its row is there; see `image_store.decode`."""
    record, row = self._records[i], self._rows[i]
    if self._disk.state[row] == SEVERAL:
      several.append(record.image)
    elif self._disk.state[row] == MISSING:
      frames = []
      image = image_store.decode(record, self.shape[1:3], frames)
      self._disk.write(row, image, SEVERAL if frames else KEPT)
      several += frames

  def flush(self):
    """Marks the rows that were read."""
    self._disk.flush()


class Undecoded:
  """Images that each use decodes again; indexed like an array `[n, ...]`."""

  dtype = np.dtype(np.uint8)

  def __init__(self, size, records):
    """Takes the records."""
    self._records = records
    self.shape = len(records), *image_sizes.pair(size), 3

  def __getitem__(self, index):
    if np.ndim(index):
      return np.stack([self[i] for i in index])
    return image_store.decode(self._records[index], self.shape[1:3])

  def read(self, i, several):
    """Decodes record i to see whether it can be, and drops it."""
    image_store.decode(self._records[i], self.shape[1:3], several)

  def flush(self):
    """Does nothing."""


def _content(record):
  """What tells whether an image is still the same."""
  if isinstance(record.image, shards.Stored):
    return [record.image.version, record.image.start]
  if not isinstance(record.image, str):
    raise UserError("cache", "disk", f"image '{record.id}' is no file of its "
                    "own; `python -m atcon_tf.prepare` stores such images "
                    "decoded")
  path = os.path.abspath(record.image)
  try:
    found = os.stat(path)
  except OSError:  # whoever reads the file says what is wrong with it
    return [path]
  return [files.printable(path), found.st_size, found.st_mtime_ns]


def _open(path, length):
  """A file of a length, old or new; what is not written takes no room."""
  file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
  file.truncate(length)
  return file
