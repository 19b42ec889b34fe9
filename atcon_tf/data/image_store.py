"""The decoded images of a data set, each read once."""

import concurrent.futures
import os
import tempfile

import keras
import numpy as np
import PIL.Image
import PIL.ImageOps

from atcon_tf.config import image_sizes
from atcon_tf.config import UserError

# Above this number of bytes the decoded images are in a memory-mapped file.
_IN_MEMORY = 4 << 30
# The EXIF tag of a photo's orientation.
_ORIENTATION = 0x0112


def decode(record, size):
  """One image, resized without regard to its aspect ratio.

  Args:
    record: a `Record`.
    size: height and width, or a side of a square; see `image_sizes.pair`.
  Returns:
    uint8 `[height, width, 3]`, see `to_rgb`.
  """
  height, width = image_sizes.pair(size)
  image = record.image
  image = (PIL.Image.open(image) if isinstance(image, str)
           else PIL.Image.fromarray(image()))
  image = to_rgb(image)
  if image.size != (width, height):
    image = image.resize((width, height), PIL.Image.Resampling.BILINEAR)
  return np.asarray(image)


def to_rgb(image):
  """A PIL image as RGB, rotated as its EXIF orientation requires.

  Grey, palette, RGBA and 16-bit images become RGB: alpha over white, 16 bits
  scaled to 8.
  """
  image = PIL.ImageOps.exif_transpose(image)
  if image.mode.startswith("I"):
    values = np.clip(np.asarray(image, np.float64) / 257, 0, 255)
    return PIL.Image.fromarray(values.round().astype(np.uint8)).convert("RGB")
  if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
    image = image.convert("RGBA")
    white = PIL.Image.new("RGBA", image.size, "white")
    image = PIL.Image.alpha_composite(white, image)
  return image.convert("RGB")


class Images:
  """The decoded images of a data set, each read once.

  Attributes:
    pixels: uint8 `[N, height, width, 3]`, a row for each record that was given.
    records: the records without those of a broken image.
    bad: `{path: error}` of the broken images.
  """

  def __init__(self, records, size, max_bad_images=0, progress=False):
    """Reads all images.

    Args:
      records: list of `Record`.
      size: to which the images are resized, as for `decode`.
      max_bad_images: number of images that may fail to decode.
      progress: whether to show a progress bar.
    Raises:
      UserError: more than `max_bad_images` images do not decode.
    """
    size = image_sizes.pair(size)
    self.pixels = _room((len(records), *size, 3))
    self.bad = {}
    bar = keras.utils.Progbar(len(records), verbose=int(progress),
                              unit_name="image")
    with concurrent.futures.ThreadPoolExecutor() as pool:
      work = [pool.submit(_try, decode, r, size) for r in records]
      try:
        for i, record in enumerate(records):
          image, error = work[i].result()
          work[i] = None  # frees the image, which is now in `pixels`
          if error:
            self._count(record, error, max_bad_images)
          else:
            self.pixels[i] = image
          if progress and (i % 100 == 99 or i + 1 == len(records)):
            bar.update(i + 1)
      except BaseException:  # Ctrl-C too: the remaining images are not read
        pool.shutdown(cancel_futures=True)
        raise
    good = [i for i, r in enumerate(records) if name_of(r) not in self.bad]
    self.records = [records[i] for i in good]
    self._row = {records[i].id: i for i in good}

  def _count(self, record, error, most):
    """Counts a broken image; refuses it if there are more than `most`."""
    self.bad[name_of(record)] = error
    if len(self.bad) > most:
      raise UserError(
          f"{name_of(record)}: does not decode ({error}); --max_bad_images="
          f"{most} allows no more")

  def batch(self, records):
    """The images of records, float32 `[n, height, width, 3]` in [0, 1]."""
    rows = self.rows([r.id for r in records])
    return self.scaled(self.pixels[rows])

  def scaled(self, pixels):
    """Stored pixels as the network's images, float32 in [0, 1]."""
    return pixels.astype(np.float32) / 255

  def rows(self, ids):
    """Rows of `pixels`, int `[n]`, for image ids."""
    return np.array([self._row[i] for i in ids], np.int64)

  def __contains__(self, image_id):
    return image_id in self._row


class ArrayImages(Images):
  """Images that are in memory already, in the range that a network expects.

  Attributes:
    pixels: float32 `[N, height, width, channels]` of any range.
    records, bad: as of `Images`; `bad` is empty.
  """

  def __init__(self, records, pixels):
    """Takes the images.

    Args:
      records: list of N `Record`.
      pixels: float32 `[N, height, width, channels]`.
    """
    self.records, self.pixels, self.bad = list(records), pixels, {}
    self._row = {r.id: i for i, r in enumerate(self.records)}

  def scaled(self, pixels):
    """Stored pixels, unchanged."""
    return pixels


def _room(shape):
  """An array of zeros, in memory or, if it is large, in a temporary file."""
  count = int(np.prod(shape, dtype=np.int64))
  if count <= _IN_MEMORY:
    return np.zeros(shape, np.uint8)
  file = tempfile.TemporaryFile()
  try:  # writing to a mapped file on a full disk would kill the process
    os.posix_fallocate(file.fileno(), 0, count)
  except OSError as error:
    raise UserError(
        f"{tempfile.gettempdir()}: {error.strerror}: the decoded images need "
        f"{count >> 20} MB; use a smaller --image_size or another TMPDIR"
    ) from error
  return np.memmap(file, np.uint8, shape=shape)


def name_of(record):
  """The path of a record's image, or its id if the image is no file."""
  return record.image if isinstance(record.image, str) else record.id


def _try(function, *args):
  """`(result, None)` of a function, or `(None, error)` if it raises."""
  try:
    return function(*args), None
  except Exception as error:  # decoders raise almost anything
    return None, f"{type(error).__name__}: {error}"


def upright_size(image):
  """Width and height of a PIL image, rotated as its EXIF data require."""
  width, height = image.size
  turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
  return (height, width) if turned else (width, height)
