"""Pictures and clips of the user's own, as RGB arrays of their own size."""

import glob
import os
import pathlib
import warnings

import numpy as np
import PIL.ImageSequence

from atcon_tf.config import image_sizes
from atcon_tf.config import UserError
from atcon_tf.data import image_store

# The endings of the names of image files, here and in folders of a data set.
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find(patterns):
  """Paths of the images that files, folders and globs name.

  Args:
    patterns: list of files, folders and globs.
  Returns:
    list of `pathlib.Path` in the order of the patterns, sorted within each.
  Raises:
    UserError: a pattern names no image.
  """
  found = {}
  for pattern in patterns:
    path = pathlib.Path(pattern).expanduser()
    if path.is_dir():
      here = [p for p in path.rglob("*") if p.suffix.lower() in ENDINGS]
    elif path.is_file():
      here = [path]
    else:
      here = [pathlib.Path(p) for p in glob.glob(str(path), recursive=True)
              if os.path.isfile(p)]
    if not here:
      raise UserError("images", pattern,
                      f"no image there (files ending in {', '.join(ENDINGS)})")
    found |= dict.fromkeys(sorted(here))
  return list(found)


def read(path):
  """One image as RGB, see `image_store.to_rgb`.

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
      with PIL.Image.open(path) as image:
        return np.asarray(image_store.to_rgb(image))
  except Exception as error:  # decoders raise almost anything
    raise UserError(f"{path}: does not decode ({error})") from error


def frames(path):
  """The frames of a clip.

  Args:
    path: a folder of images (in the order of their names), an animated GIF,
      or a video file, which needs imageio with a video plugin.
  Returns:
    list of uint8 `[height, width, 3]`.
  Raises:
    UserError: no frame can be read, or frames differ in size.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    try:
      found = [read(p) for p in find([str(path)])]
    except UserError as error:
      if error.name != "images":
        raise
      raise UserError("video", error.value, error.why) from error
  elif not path.is_file():
    raise UserError("video", path, "no such file or folder")
  elif path.suffix.lower() in ENDINGS:
    try:
      with PIL.Image.open(path) as image:
        found = [np.asarray(frame.convert("RGB"))
                 for frame in PIL.ImageSequence.Iterator(image)]
    except Exception as error:  # decoders raise almost anything
      raise UserError("video", path, f"does not decode ({error})") from error
  else:
    found = _video(path)
  if not found:
    raise UserError("video", path, "has no frames")
  if len({frame.shape for frame in found}) > 1:
    raise UserError("video", path, "its frames differ in size")
  return found


def _video(path):
  """The frames of a video file."""
  try:
    import imageio.v3 as imageio  # only here: an optional package
    return [frame[..., :3] for frame in imageio.imiter(path)]
  except Exception as error:  # not installed, or no plugin for this format
    first = str(error).strip().splitlines() or [type(error).__name__]
    raise UserError("video", path,
                    f"cannot be read ({first[0]}); install imageio[pyav], or "
                    "give a folder of frames or a GIF") from error


def squeeze(image, size):
  """An image resized, float32 `[height, width, 3]` in [0, 1].

  Args:
    image: uint8 `[h, w, 3]`.
    size: as for `image_store.decode`.
  """
  small = PIL.Image.fromarray(image).resize(
      image_sizes.pair(size)[::-1], PIL.Image.Resampling.BILINEAR)
  return np.asarray(small, np.float32) / 255


def for_network(picture, size):
  """A picture as a batch of one image for a network.

  Args:
    picture: the path of an image, or the array that `read` returns.
    size: of the network's input, `classifier.image_size`, or its side.
  Returns:
    float32 `[1, height, width, 3]` in [0, 1].
  Raises:
    UserError: the file does not decode, or has too many pixels.
  """
  image = picture if isinstance(picture, np.ndarray) else read(picture)
  return squeeze(image, size)[np.newaxis]
