"""Which files are recordings, how long one is, and its frames by the second.

A recording is a video file (`ENDINGS`) or a folder of pictures, one a frame,
in the order of the numbers in their names. A video file's seconds are those of
its time stamps, and begin with its first frame. A folder has none; its frames
are `1 / rate` seconds apart.
"""

import collections
import dataclasses
import functools
import os
import re

from atcon_tf.config import clip_settings
from atcon_tf.data import decoding
from atcon_tf.data import image_files
from atcon_tf.data import video_decoding

ENDINGS = (".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
           ".webm")
_PICTURES = tuple(e for e in image_files.ENDINGS if e not in ENDINGS)


@dataclasses.dataclass(frozen=True)
class Recording:
  """A recording.

  Attributes:
    path: of the file or the folder.
    seconds: its length.
    rate: its mean number of frames a second.
    pictures: paths of the frames of a folder; empty: it is a file.
  """

  path: str
  seconds: float
  rate: float
  pictures: tuple[str, ...] = ()

  @property
  def frame_seconds(self):
    """A second inside each frame, at the mean rate; a list of floats."""
    count = max(1, round(self.seconds * self.rate))
    return [(n + .5) / self.rate for n in range(count)]

  def each(self, seconds, lost):
    """Yields the frames that are shown at some seconds, uint8 `[H, W, 3]`.

    A frame that does not decode is replaced by the nearest earlier one, or by
    the first that decodes.

    Args:
      seconds: ascending list of floats.
      lost: list that gets the seconds whose frames were replaced.
    Raises:
      ValueError: no frame decodes, or the frames change their size.
    """
    if not self.pictures:
      yield from video_decoding.frames(self.path, seconds, self.seconds, lost)
      return
    yield from _pictures_at(self.pictures, [
        int(s * self.rate + 1e-3) for s in seconds], seconds, lost)


def recording(path, fps=0.0):
  """The `Recording` of a path.

  Args:
    path: of a video file or a folder of pictures.
    fps: frames a second of a folder; 0: `clip_settings.FOLDER_RATE`.
  Raises:
    ValueError, OSError: it is none; the error says why.
  """
  state = os.stat(path)
  return _recording(path, fps, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=1 << 16)
def _recording(path, fps, *_):
  """As `recording`; what changes with the file is part of the key."""
  if not os.path.isdir(path):
    return Recording(path, *video_decoding.length_and_rate(path))
  found = pictures_in(path)
  if not found:
    raise ValueError("holds no frame (0 s)")
  rate = fps or clip_settings.FOLDER_RATE
  return Recording(path, len(found) / rate, rate, tuple(found))


def pictures_in(folder):
  """Paths of the pictures in a folder, in the order of their numbers."""
  names = [f.name for f in os.scandir(folder)
           if image_files.visible(f.name) and f.is_file()
           and f.name.lower().endswith(_PICTURES)]
  return [os.path.join(folder, n) for n in sorted(names, key=_by_number)]


def _by_number(name):
  """The key of "frame 2.jpg" before "frame 10.jpg"."""
  return [(int(part), "") if part.isdecimal() else (-1, part)
          for part in re.split(r"(\d+)", name)]


def is_recording(path):
  """Whether a path is a video file or a folder with pictures in it."""
  if os.path.isdir(path):
    return bool(pictures_in(path))
  return path.lower().endswith(ENDINGS) and os.path.isfile(path)


def below(top):
  """The recordings in a folder and anywhere below it.

  Args:
    top: the folder; pictures in it make it a recording itself.
  Returns:
    an `image_files.Found`: paths below `top` with "/", sorted ("." for `top`
    itself), and the numbers of other files.
  """
  found, others, seen = [], collections.Counter(), set()
  _walk(top, "", seen, found, others)
  return image_files.Found(sorted(found), others)


def _walk(where, prefix, seen, found, others):
  """Adds what is in a folder and below it; `prefix` is its path and "/"."""
  real = os.path.realpath(where)
  if real in seen:
    return
  seen.add(real)
  if pictures_in(where):
    found.append(prefix.rstrip("/") or ".")
  for entry in os.scandir(where):
    if not image_files.visible(entry.name):
      continue
    if entry.is_dir():
      _walk(entry.path, f"{prefix}{entry.name}/", seen, found, others)
    elif entry.name.lower().endswith(ENDINGS):
      found.append(prefix + entry.name)
    elif not entry.name.lower().endswith(_PICTURES):
      others[os.path.splitext(entry.name)[1].lower() or "no ending"] += 1


def _pictures_at(paths, numbers, seconds, lost):
  """Yields the pictures of some numbers, see `Recording.each`."""
  known = (None, None)  # number and pixels of the picture read last
  size = None
  for number, second in zip(numbers, seconds):
    number = min(number, len(paths) - 1)
    for n in (*range(number, -1, -1), *range(number + 1, len(paths))):
      if n != known[0]:
        try:
          known = n, decoding.rgb(paths[n])
        except Exception:  # decoders raise almost anything
          continue
      break
    else:
      raise ValueError(f"none of its {len(paths)} frames decodes")
    if n != number:
      lost.append(second)
    size = video_decoding.check_size(
        size, known[1].shape[1::-1], second)
    yield known[1]
