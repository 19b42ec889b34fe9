"""Records and a split -> batches.

Batch k of a training stream is a pure function of (seed, stream, k): order
and augmentation are the same in a resumed run, and in a run of another
objective.
"""

import concurrent.futures
import functools
import os
import tempfile

import keras
import numpy as np
import PIL.Image
import PIL.ImageOps
import tensorflow as tf

from atcon_tf import augment as augment_lib
from atcon_tf import settings
from atcon_tf.config import UserError

PIL.Image.MAX_IMAGE_PIXELS = 200_000_000
# Above this the decoded images live in a memory-mapped temporary file.
_IN_MEMORY = 4 << 30


def decode(record, size):
  """One image as uint8 `[size, size, 3]`, squeezed to a square.

  A photo stands the way up that its EXIF says; grey, palette, RGBA and 16-bit
  images become RGB (alpha over white, 16 bit scaled to 8).
  """
  image = record.image
  image = (PIL.Image.open(image) if isinstance(image, str)
           else PIL.Image.fromarray(image()))
  image = to_rgb(image)
  if image.size != (size, size):
    image = image.resize((size, size), PIL.Image.Resampling.BILINEAR)
  return np.asarray(image)


def to_rgb(image):
  """A PIL image of any mode as RGB, the way up that its EXIF says."""
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
    pixels: uint8 `[N, size, size, 3]`.
    records: the N records, those of a broken image left out.
    bad: `{path: what is wrong}` of the images left out.
  """

  def __init__(self, records, size, max_bad_images=0, progress=False):
    """Reads all images.

    Args:
      records: list of `Record`.
      size: side of the square they are squeezed to.
      max_bad_images: how many may fail to decode.
      progress: show a bar.
    Raises:
      UserError: more images than that do not decode.
    """
    self.pixels = _room((len(records), size, size, 3))
    self.bad = {}
    bar = keras.utils.Progbar(len(records), verbose=int(progress),
                              unit_name="image")
    with concurrent.futures.ThreadPoolExecutor() as pool:
      work = [pool.submit(_try, decode, r, size) for r in records]
      try:
        for i, record in enumerate(records):
          image, error = work[i].result()
          work[i] = None  # the copy in `pixels` is enough
          if error:
            self._count(record, error, max_bad_images)
          else:
            self.pixels[i] = image
          if progress and (i % 100 == 99 or i + 1 == len(records)):
            bar.update(i + 1)
      except BaseException:  # Ctrl-C too: what has not begun is left undone
        pool.shutdown(cancel_futures=True)
        raise
    good = [i for i, r in enumerate(records) if _name(r) not in self.bad]
    self.records = [records[i] for i in good]
    self._row = {records[i].id: i for i in good}

  def _count(self, record, error, most):
    self.bad[_name(record)] = error
    if len(self.bad) > most:
      raise UserError(
          f"{_name(record)}: does not decode ({error}); --max_bad_images="
          f"{most} allows no more")

  def rows(self, ids):
    """Rows of `pixels`, int `[n]`, for image ids."""
    return np.array([self._row[i] for i in ids], np.int64)

  def __contains__(self, image_id):
    return image_id in self._row


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


def _name(record):
  return record.image if isinstance(record.image, str) else record.id


def _try(function, *args):
  try:
    return function(*args), None
  except Exception as error:  # decoders raise almost anything
    return None, f"{type(error).__name__}: {error}"


def order(count, batch_size, seed, stream, number):
  """Indices of batch `number`: epoch after epoch, each shuffled anew."""
  position = number * batch_size + np.arange(batch_size)
  epoch, within = position // count, position % count
  shuffled = {e: np.random.default_rng([seed, stream, e]).permutation(count)
              for e in set(epoch.tolist())}
  return np.array([shuffled[e][w] for e, w in zip(epoch.tolist(), within)])


def balanced_order(positive, share, batch_size, seed, stream, number):
  """As `order`, with `share` of every batch drawn from the positives.

  Positives and negatives are each gone through epoch after epoch, so the
  rarer ones come up more often.

  Args:
    positive: bool `[count]`, some of both.
    share: of the batch; see `settings.positives`.
    batch_size, seed, stream, number: as `order`.
  """
  count = settings.positives(share, batch_size)
  parts = [of[order(len(of), size, seed, stream, number)] for of, size in (
      (np.flatnonzero(positive), count),
      (np.flatnonzero(~positive), batch_size - count))]
  # Mixed, as each replica takes a stretch of the batch.
  mixed = order(batch_size, batch_size, seed, stream, number)
  return np.concatenate(parts)[mixed]


def training_batches(images, records, batch_size, seed, stream, start, stop,
                     augment=(), columns=None, crop_area=augment_lib.CROP_AREA,
                     two_views=False, choose=None):
  """Batches `start` to `stop` of a training stream.

  Args:
    images: `Images`.
    records: list of `Record` to draw from.
    batch_size: global, over all replicas.
    seed: of order and augmentation.
    stream: number of the stream; streams of one seed are independent.
    start, stop: which batches.
    augment: any of `settings.AUGMENTATIONS`.
    columns: `{name: array [n, ...]}`, what a batch holds of each record
      besides its image; default: its "label". A "mask" `[n, S, S, channels]`
      (an array, or what is indexed like one) is moved along with the image.
    crop_area: smallest share of the image that a random crop keeps.
    two_views: add "plain", the image as it is, and "transform", the way from
      it to "image" (see `augment.warp`).
    choose: fn(number) -> indices `[B]` of a batch's records; default: epoch
      after epoch, each shuffled anew.
  Returns:
    `tf.data.Dataset` of dicts: "image" float32 `[B, S, S, 3]` in [0, 1] and
    the columns, "label" float32 `[B, classes]` among them.
  """
  rows = images.rows([r.id for r in records])
  columns = columns or {"label": np.stack([r.label for r in records])}
  shape = (batch_size, *images.pixels.shape[1:])

  choose = choose or functools.partial(
      order, len(records), batch_size, seed, stream)

  def read(number):
    chosen = choose(int(number))
    return [images.pixels[rows[chosen]],
            *(column[chosen] for column in columns.values())]

  def batch(number):
    pixels, *rest = tf.numpy_function(
        read, [number], [tf.uint8, *(c.dtype for c in columns.values())])
    plain = tf.cast(tf.ensure_shape(pixels, shape), tf.float32) / 255
    result = {name: tf.ensure_shape(value, [batch_size, *column.shape[1:]])
              for (name, column), value in zip(columns.items(), rest)}
    # One seed for each (seed, stream, number).
    state = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, stream], tf.int64), number)
    result["image"], transform = augment_lib.distort(plain, augment, state,
                                                     crop_area)
    if "mask" in result:
      result["mask"] = augment_lib.warp(result["mask"], transform,
                                        interpolation="NEAREST")
    if two_views:
      result |= {"plain": plain, "transform": transform}
    return result

  return tf.data.Dataset.range(start, stop).map(
      batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def evaluation_batches(images, records, batch_size):
  """All records in order, without augmentation; the last batch is smaller.

  Yields:
    `(records of the batch, float32 images [B, S, S, 3] in [0, 1])`.
  """
  rows = images.rows([r.id for r in records])
  for first in range(0, len(records), batch_size):
    part = slice(first, first + batch_size)
    yield records[part], images.pixels[rows[part]].astype(np.float32) / 255
