"""Pictures of the user's own, as RGB arrays of their own size."""

import pathlib
import warnings

import numpy as np
import PIL.Image

from atcon_tf.config import image_sizes
from atcon_tf.config import local_paths
from atcon_tf.config import UserError
from atcon_tf.data import decoding
from atcon_tf.data import framing
from atcon_tf.data import image_files


def find(patterns, say=None):
  """Paths of the images that files, folders and globs name.

  Args:
    patterns: list of files, folders and globs. A file may have any name.
    say: called with a line on the files of a folder that are no pictures;
      None: nobody is told.
  Returns:
    list of `pathlib.Path` in the order of the patterns, sorted within each.
  Raises:
    UserError: a pattern names no image.
  """
  found = {}
  for pattern in patterns:
    path = pathlib.Path(local_paths.local("images", pattern))
    if path.is_dir():
      below = image_files.below(path)
      here = [path / name for name in below.images]
      for line in image_files.note(path, below.others) if say else ():
        say(line)
    elif path.is_file():
      here = [path]
    else:
      here = map(pathlib.Path, local_paths.matches(path))
    here = sorted(here)
    if not here:
      raise UserError("images", pattern, "no image there " + (
          f"(files ending in {', '.join(image_files.ENDINGS)})"
          if path.exists() else "(no such file or folder)"))
    found |= dict.fromkeys(here)
  return list(found)


def read(path):
  """One image as RGB, see `decoding`.

  Args:
    path: of the file.
  Returns:
    uint8 `[height, width, 3]`.
  Raises:
    UserError: the file does not decode, or has too many pixels.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
      return decoding.rgb(path)
  except Exception as error:  # decoders raise almost anything
    raise UserError(f"{path}: does not decode ({error})") from error


def several_frames(paths):
  """Which files have more than one frame or page."""
  found = []
  for path in paths:
    try:
      with decoding.open_image(path) as image:
        if decoding.several(image):
          found.append(path)
    except Exception:  # whoever reads the file says what is wrong with it
      continue
  return found


def frames_note(paths):
  """A list with the line on files of which only the first frame is used.

  Args:
    paths: of the files with several frames; empty: the list is empty.
  """
  return [f"note: {len(paths)} of the pictures have several frames or pages, "
          f"of which the first is used: {min(map(str, paths))}"
          + ", ..." * (len(paths) > 1)] if paths else []


def squeeze(image, size):
  """An image resized, float32 `[height, width, 3]` in [0, 1].

  Args:
    image: uint8 `[h, w, 3]`.
    size: as for `image_store.decode`.
  """
  small = PIL.Image.fromarray(image).resize(
      image_sizes.pair(size)[::-1], PIL.Image.Resampling.BILINEAR)
  return np.asarray(small, np.float32) / 255


def for_network(picture, size, resize="squeeze"):
  """A picture as a batch of one image for a network.

  Args:
    picture: the path of an image, or the array that `read` returns.
    size: of the network's input, `classifier.image_size`, or its side.
    resize: "squeeze", "crop" or "pad", see `framing`.
  Returns:
    float32 `[1, height, width, 3]` in [0, 1].
  Raises:
    UserError: the file does not decode, or has too many pixels.
  """
  image = picture if isinstance(picture, np.ndarray) else read(picture)
  part = framing.window(image.shape[:2], image_sizes.pair(size), resize)
  return squeeze(framing.cut(image, part), size)[np.newaxis]
