"""The decoded images or clips of a data set, each read once."""

import concurrent.futures
import os
import tempfile

import numpy as np
import PIL.Image

from atcon_tf.config import image_sizes
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.data import clip_store
from atcon_tf.data import decoding
from atcon_tf.data import framing
from atcon_tf.data import pictures
from atcon_tf.data import recorded_clip

# Above this number of bytes the decoded images are in a memory-mapped file.
_IN_MEMORY = 4 << 30


def decode(record, size, several=None):
  """One image or clip, framed as its record says, and resized.

  Args:
    record: a `Record`.
    size: height and width, or a side of a square; see `image_sizes.pair`.
    several: list that gets the path of a file with more than one frame or
      page, of which the first is used; of a clip, the seconds whose frames
      were replaced. None: no list.
  Returns:
    uint8 `[height, width, 3]`, see `decoding`; of a clip `[T, height, width,
    3]`, of whose frames one at a time is in memory at its own size.
  """
  size = image_sizes.pair(size)
  if record.frames:
    return np.stack([_fitted(PIL.Image.fromarray(frame), record, size)
                     for frame in record.image.each(several)])
  if isinstance(record.image, str):
    decoding.check_sums(record.image)
    with decoding.open_image(record.image) as opened:
      if several is not None and decoding.several(opened):
        several.append(record.image)
      image = decoding.to_rgb(opened)
  else:
    image = PIL.Image.fromarray(record.image())
  return _fitted(image, record, size)


def _fitted(image, record, size):
  """A PIL image as the network sees it, uint8 `[*size, 3]`."""
  if record.frame:
    part = framing.window(image.size[::-1], *record.frame)
    image = PIL.Image.fromarray(framing.cut(np.asarray(image), part))
  if image.size != size[::-1]:
    image = image.resize(size[::-1], PIL.Image.Resampling.BILINEAR)
  return np.asarray(image)


class Images:
  """The decoded images or clips of a data set, each read once.

  Attributes:
    pixels: uint8 `[N, height, width, 3]`, a row for each record that was
      given; of clips `[N, T, height, width, 3]`.
    records: the records without those of a broken image.
    bad: `{path: error}` of the broken images.
    several: paths of the files with several frames or pages, of which the
      first is used.
    remarks: `{name of a clip: what StoredClips.read says of it}`.
  """

  def __init__(self, records, size, max_bad_images=0, progress=False,
               cache=None):
    """Reads all images.

    Args:
      records: list of `Record`.
      size: to which the images are resized, as for `decode`.
      max_bad_images: number of images that may fail to decode.
      progress: whether to show a progress bar.
      cache: where the pixels are kept, a function of the records (see
        `image_cache.of`); None: in memory.
    Raises:
      UserError: more than `max_bad_images` images do not decode.
    """
    size = image_sizes.pair(size)
    clip = sorted({r.frames for r in records} - {0})  # [T], or [] for images
    kept = cache and cache(records)
    stored = clip_store.stored(records)
    self.pixels = kept or (
        clip_store.StoredClips(records, size) if stored else
        _room((len(records), *clip, *size, 3)))
    self.bad, self.several, self.remarks = {}, [], {}
    bar = Progress(len(records), "clips" if clip else "images", progress)

    def read(i):
      if stored:
        self.remarks[name_of(records[i])] = self.pixels.read(i, decode)
      elif kept:
        kept.read(i, self.several)
      else:
        self.pixels[i] = decode(records[i], size, self.several)

    # A thread for each core: a decoder of video holds many frames.
    with concurrent.futures.ThreadPoolExecutor(
        os.cpu_count() if stored else None) as pool:
      work = [pool.submit(_try, read, i) for i in range(len(records))]
      try:
        for record, one in zip(records, work):
          error = one.result()
          if error:
            self._count(record, error, max_bad_images)
          bar.add()
      except BaseException:  # Ctrl-C too: the remaining images are not read
        pool.shutdown(cancel_futures=True)
        raise
      finally:
        if kept:
          kept.flush()
    self.several.sort()  # threads finish in any order
    good = [i for i, r in enumerate(records) if name_of(r) not in self.bad]
    self.records = [records[i] for i in good]
    self._row = {records[i].id: i for i in good}

  def _count(self, record, error, most):
    """Counts a broken image; refuses it if there are more than `most`."""
    self.bad[name_of(record)] = error
    if len(self.bad) > most:
      raise does_not_decode(name_of(record), error, most)

  def notes(self):
    """Lines for the person on what was replaced or not used."""
    return [*pictures.frames_note(self.several),
            *clip_store.notes(self.remarks)]

  def batch(self, records):
    """The images of records, float32 `[n, ..., 3]` in [0, 1]."""
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
    records, bad, several, remarks: as of `Images`; but for the first, empty.
  """

  def __init__(self, records, pixels):
    """Takes the images.

    Args:
      records: list of N `Record`.
      pixels: float32 `[N, height, width, channels]`.
    """
    self.records, self.pixels = list(records), pixels
    self.bad, self.several, self.remarks = {}, [], {}
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
    if hasattr(os, "posix_fallocate"):
      os.posix_fallocate(file.fileno(), 0, count)
    else:  # macOS
      file.write(bytes(1 << 20) * -(-count >> 20))
      file.flush()
  except OSError as error:
    raise UserError(
        f"{tempfile.gettempdir()}: {error.strerror}: the decoded images need "
        f"{count >> 20} MB; use a smaller --image_size or another TMPDIR"
    ) from error
  return np.memmap(file, np.uint8, shape=shape)


def name_of(record):
  """The path of a record's image, or its id if the image is no file."""
  if isinstance(record.image, recorded_clip.RecordedClip):
    return record.image.name
  return record.image if isinstance(record.image, str) else record.id


def does_not_decode(name, error, most):
  """The `UserError` of one broken image more than `most`."""
  return UserError(f"{name}: does not decode ({error}); it is one image more "
                   f"than --max_bad_images={most}")


def _try(function, *args):
  """Calls a function; returns its error as text, or None.

  Raises:
    UserError: the function raises it.
  """
  try:
    function(*args)
  except UserError:  # nothing that another image would not meet
    raise
  except Exception as error:  # decoders raise almost anything
    return f"{type(error).__name__}: {error}"
