"""Pictures and clips of the user's own, as RGB arrays of their own size."""

import glob
import os
import pathlib
import warnings

import numpy as np
import PIL.ImageSequence

from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.data import image_store

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find(patterns):
  """Paths of the images that files, folders and globs name, sorted.

  Raises:
    UserError: one of them names no image.
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
  """One image, uint8 `[height, width, 3]`, the way up that its EXIF says.

  Grey, palette, RGBA and 16-bit images become RGB: `pipeline.to_rgb`.

  Raises:
    UserError: it does not decode, or has too many pixels.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
      with PIL.Image.open(path) as image:
        return np.asarray(image_store.to_rgb(image))
  except Exception as error:  # decoders raise almost anything
    raise UserError(f"{path}: does not decode ({error})") from error


def frames(path):
  """The frames of a clip, list of uint8 `[height, width, 3]`.

  Args:
    path: a folder of images (in the order of their names), an animated GIF,
      or a video file where imageio with a video plugin is installed.
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
  try:
    import imageio.v3 as imageio  # only here: an optional package
    return [frame[..., :3] for frame in imageio.imiter(path)]
  except Exception as error:  # not installed, or no plugin for this format
    first = str(error).strip().splitlines() or [type(error).__name__]
    raise UserError("video", path,
                    f"cannot be read ({first[0]}); install imageio[pyav], or "
                    "give a folder of frames or a GIF") from error


def squeeze(image, size):
  """An image as the network sees it: float32 `[size, size, 3]` in [0, 1]."""
  small = PIL.Image.fromarray(image).resize(
      (size, size), PIL.Image.Resampling.BILINEAR)
  return np.asarray(small, np.float32) / 255


def for_network(picture, size):
  """A picture as a batch of one image, as the network sees it.

  Args:
    picture: the path of an image, or the image as `read` gives it.
    size: side of the network's input, `classifier.image_size[0]`.
  Returns:
    float32 `[1, size, size, 3]` in [0, 1].
  Raises:
    UserError: see `read`.
  """
  image = picture if isinstance(picture, np.ndarray) else read(picture)
  return squeeze(image, size)[np.newaxis]


def check_writable(ending):
  """Refuses a kind of clip, "gif" or "mp4", that cannot be written here."""
  if ending == "mp4":
    try:
      import av  # only here: an optional package
      del av
    except ImportError as error:
      raise UserError("video_format", ending,
                      f"needs a package ({error}); install imageio[pyav], or "
                      "use gif") from error


def write_clip(path, images, seconds=0.1):
  """Writes uint8 images `[height, width, 3]` as an animated GIF or an MP4.

  Args:
    path: ends in .gif or .mp4.
    images: list of frames of one size.
    seconds: that each is shown.
  """
  with files.whole(path) as part:
    if path.suffix == ".mp4":
      import imageio.v3 as imageio
      # Colour has half the resolution there: sides must be even.
      height, width = (n - n % 2 for n in images[0].shape[:2])
      imageio.imwrite(part, np.stack(images)[:, :height, :width],
                      plugin="pyav", codec="libx264", fps=round(1 / seconds))
      return
    first, *rest = [PIL.Image.fromarray(image) for image in images]
    first.save(part, save_all=True, append_images=rest, loop=0,
               duration=round(1000 * seconds))
