"""Records and a split -> batches.

Batch k of a training stream is a pure function of (seed, stream, k): order
and augmentation are the same in a resumed run, and in a run of another
objective.
"""

import functools
import typing

import numpy as np
import tensorflow as tf

from atcon_tf.config import settings
from atcon_tf.data import augment as augment_lib



class Batch(typing.TypedDict, total=False):
  """What a batch of B images can hold; an objective says what it needs.

  Attributes:
    image: float32 `[B, S, S, 3]` in [0, 1], augmented.
    label: float32 `[B, classes]`, 0 or 1.
    mask: uint8 `[B, S, S, classes]`: 1 inside the class, 0 outside, 255
      unknown; augmented like the image.
    unaugmented: float32 `[B, S, S, 3]`, the image before augmentation.
    transform: float32 `[B, 8]`, the way from it to `image`; see
      `augment.warp`.
    label_weight: float32 `[B, classes]`, of pseudo-labels; 0: none.
    class_index: int `[B]`, one class with a positive pseudo-label.
    teacher_map: float32 `[B, h, w]`, a teacher's map of that class.
    other_image, other_label: the second image of each pair; see
      `label_pairs.py`.
  """

  image: tf.Tensor
  label: tf.Tensor
  mask: tf.Tensor
  unaugmented: tf.Tensor
  transform: tf.Tensor
  label_weight: tf.Tensor
  class_index: tf.Tensor
  teacher_map: tf.Tensor
  other_image: tf.Tensor
  other_label: tf.Tensor


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
    two_views: add "unaugmented", the image as it is, and "transform", the way from
      it to "image" (see `augment.warp`).
    choose: fn(number) -> indices `[B]` of a batch's records; default: epoch
      after epoch, each shuffled anew.
  Returns:
    `tf.data.Dataset` of `Batch`: "image" float32 `[B, S, S, 3]` in [0, 1] and
    the columns, "label" float32 `[B, classes]` among them.
  """
  rows = images.rows([r.id for r in records])
  columns = columns or {"label": np.stack([r.label for r in records])}
  shape = (batch_size, *images.pixels.shape[1:])

  choose = choose or functools.partial(
      order, len(records), batch_size, seed, stream)

  def read(number):
    chosen = choose(int(number))
    return [images.scaled(images.pixels[rows[chosen]]),
            *(column[chosen] for column in columns.values())]

  def batch(number):
    pixels, *rest = tf.numpy_function(
        read, [number], [tf.float32, *(c.dtype for c in columns.values())])
    plain = tf.ensure_shape(pixels, shape)
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
      result |= {"unaugmented": plain, "transform": transform}
    return result

  return tf.data.Dataset.range(start, stop).map(
      batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def evaluation_batches(images, records, batch_size):
  """All records in order, without augmentation; the last batch is smaller.

  Yields:
    `(records of the batch, float32 images [B, S, S, 3] in [0, 1])`.
  """
  for first in range(0, len(records), batch_size):
    part = records[first:first + batch_size]
    yield part, images.batch(part)
