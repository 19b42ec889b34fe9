"""Decoded clips on the disk, each a memory-mapped file of its own.

A file holds the frames of one clip, uint8 `[T, H, W, 3]` in NumPy's format.
Its name is a digest of the recording (path, size, time of change), of the
seconds and of the network's frame. So a clip is decoded once for all runs,
several processes may write at a time, and a decoding that was stopped goes on
where it was. Files of clips with remarks have a text file beside them.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import threading

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import recorded_clip

_FORMAT = 1  # part of every name; changes with what is stored
_NAMED = 5  # so many clips are named in a note


def default_folder():
  """The folder of decoded clips, in the user's cache."""
  cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  return pathlib.Path(cache) / "atcon_tf" / "clips"


class StoredClips:
  """The clips of N records; indexed like an array `[N, T, H, W, 3]`.

    clips[[0, 3]]     uint8 [2, T, H, W, 3]
    np.asarray(clips) all of them, in memory

  Attributes:
    shape, dtype: of the array.
  """

  dtype = np.dtype(np.uint8)

  def __init__(self, records, size):
    """Finds which clips are decoded already.

    Args:
      records: N `Record`s of `RecordedClip`s of T frames.
      size: (height, width).
    """
    self._records, self._size, self._paths = records, size, {}
    self.shape = (len(records), records[0].frames, *size, 3)

  def __len__(self):
    return len(self._records)

  def read(self, row, decode):
    """Decodes a clip, unless its file exists.

    Args:
      row: number of the record.
      decode: fn(record, size, lost) -> uint8 `[T, H, W, 3]`.
    Returns:
      `{"lost": seconds whose frames were replaced, "still": whether the clip
      is one frame}`.
    """
    one = self._records[row]
    path = self._paths[row] = self._path(one)
    remarks = path.with_suffix(".json")
    if not path.exists():
      found = {"lost": []}
      clip = decode(one, self._size, found["lost"])
      found["still"] = len(clip) > 1 and bool((clip == clip[:1]).all())
      if found["lost"] or found["still"]:
        _write(remarks, json.dumps(found).encode())
      _write(path, clip)
    try:
      return json.loads(remarks.read_text("utf-8"))
    except FileNotFoundError:
      return {"lost": [], "still": False}

  def _path(self, one):
    """The file of a clip."""
    clip, folder = one.image, one.image.cut.cache
    recording = clip.recording
    state = [(os.path.realpath(p), os.stat(p).st_size, os.stat(p).st_mtime_ns)
             for p in recording.pictures or (recording.path,)]
    text = repr((_FORMAT, state, clip.seconds.round(6).tolist(), self._size,
                 one.frame))
    name = hashlib.blake2b(text.encode("utf-8", "surrogateescape"),
                           digest_size=16).hexdigest()
    folder = pathlib.Path(folder) if folder else default_folder()
    return folder / name[:2] / f"{name}.npy"

  def __getitem__(self, rows):
    if isinstance(rows, slice):
      rows = np.arange(len(self))[rows]
    if np.ndim(rows):
      rows = np.asarray(rows)
      rows = np.flatnonzero(rows) if rows.dtype == bool else rows
      return np.stack([self[int(row)] for row in rows]) if len(rows) else (
          np.zeros([0, *self.shape[1:]], np.uint8))
    path = self._paths.get(int(rows) % len(self))
    if path is None or not path.exists():  # a clip that does not decode
      return np.zeros(self.shape[1:], np.uint8)
    return np.load(path, mmap_mode="r")

  def __array__(self, dtype=None, copy=None):
    return np.asarray(self[np.arange(len(self))], dtype)


def _write(path, content):
  """Writes bytes or an array whole or not at all, beside other writers."""
  part = path.with_name(
      f".part-{os.getpid()}-{threading.get_ident()}-{path.name}")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(part, "wb") as file:
      if isinstance(content, bytes):
        file.write(content)
      else:
        np.save(file, content)
    os.replace(part, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      part.unlink(missing_ok=True)
    raise UserError(
        "clip_cache", path.parents[1],
        f"{error.strerror}; decoded clips are kept there") from error


def stored(records):
  """Whether records are clips of recordings, which are kept on the disk."""
  return bool(records) and all(
      isinstance(r.image, recorded_clip.RecordedClip) for r in records)


def notes(remarks):
  """Lines on frames that were replaced and on clips of one frame.

  Args:
    remarks: `{name of a clip: dict of StoredClips.read}`.
  """
  lines = []
  lost = {name: one["lost"] for name, one in remarks.items() if one["lost"]}
  for name, seconds in sorted(lost.items())[:_NAMED]:
    lines.append(
        f"note: {name}: {len(seconds)} frame{'s' * (len(seconds) > 1)} from "
        f"{seconds[0]:.2f} s on did not decode; each is replaced by the "
        "nearest earlier one")
  if len(lost) > _NAMED:
    lines.append(
        f"note: {len(lost) - _NAMED} more clips have frames that did not "
        f"decode, {sum(map(len, lost.values()))} frames in all")
  still = sorted(name for name, one in remarks.items() if one["still"])
  if still:
    lines.append(
        f"note: {len(still)} clip{'s show' if len(still) > 1 else ' shows'} "
        f"one frame alone, repeated: {', '.join(still[:_NAMED])}"
        + ", ..." * (len(still) > _NAMED))
  return lines
