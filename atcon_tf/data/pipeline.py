"""Makes batches from records and their decoded images.

Batch k of a training stream is a pure function of (seed, stream, k). So the
order and the augmentation are the same in a resumed run, and in a run of
another objective.
"""

import functools
import typing

import numpy as np
import tensorflow as tf

from atcon_tf.config import settings
from atcon_tf.data import augment as augment_lib


class Batch(typing.TypedDict, total=False):
  """The columns that a batch of B images can hold.

  Every objective documents the columns that it needs. In a batch of clips
  the images are `[B, T, S, S, 3]`.

  Attributes:
    image: float32 `[B, S, S, 3]` in [0, 1], augmented.
    label: float32 `[B, classes]`, 0 or 1.
    mask: uint8 `[B, S, S, classes]`: 1 inside the class, 0 outside, 255
      unknown; augmented like the image.
    unaugmented: float32 `[B, S, S, 3]`, the image before augmentation.
    transform: float32 `[B, 8]`, the projective transform from `unaugmented`
      to `image`; see `augment.warp`.
    label_weight: float32 `[B, classes]`, weights of the pseudo-labels in
      `label`; 0: the image has no pseudo-label for the class.
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
  """The indices of a batch; every epoch is a permutation of all records.

  Args:
    count: number of records.
    batch_size: number of indices.
    seed, stream: seed and number of the stream.
    number: number of the batch.
  Returns:
    int `[batch_size]`.
  """
  position = number * batch_size + np.arange(batch_size)
  epoch, within = position // count, position % count
  shuffled = {e: np.random.default_rng([seed, stream, e]).permutation(count)
              for e in set(epoch.tolist())}
  return np.array([shuffled[e][w] for e, w in zip(epoch.tolist(), within)])


def balanced_order(positive, share, batch_size, seed, stream, number):
  """As `order`, with a fixed share of positives in every batch.

  Positives and negatives have epochs of their own, so the rarer kind repeats
  more often.

  Args:
    positive: bool `[count]`, with both values in it.
    share: share of positives in a batch; see `settings.positives`.
    batch_size, seed, stream, number: as for `order`.
  """
  count = settings.positives(share, batch_size)
  parts = [of[order(len(of), size, seed, stream, number)] for of, size in (
      (np.flatnonzero(positive), count),
      (np.flatnonzero(~positive), batch_size - count))]
  # The batch is mixed because each replica takes a contiguous part of it.
  mixed = order(batch_size, batch_size, seed, stream, number)
  return np.concatenate(parts)[mixed]


def training_batches(images, records, batch_size, seed, stream, start, stop,
                     augment=(), columns=None, crop_area=augment_lib.CROP_AREA,
                     two_views=False, choose=None):
  """Batches `start` to `stop` of a training stream.

  Args:
    images: `image_store.Images`.
    records: list of n `Record` to draw from.
    batch_size: number of images in a batch, over all replicas.
    seed: seed of order and augmentation.
    stream: number of the stream; streams of one seed are independent.
    start, stop: number of the first batch, and of the first one left out.
    augment: any of `settings.AUGMENTATIONS`.
    columns: `{name: array [n, ...]}`, further columns of a batch, with a row
      for each record; None: the "label" of the records. A "mask"
      `[n, S, S, channels]` (an array, or an object indexed like one) is
      cropped and flipped with the image.
    crop_area: smallest share of the image that a random crop keeps.
    two_views: whether to add "unaugmented", the image before augmentation,
      and "transform", the transform from "unaugmented" to "image" (see
      `augment.warp`).
    choose: fn(number) -> indices `[B]` of a batch's records; None: `order`.
  Returns:
    `tf.data.Dataset` of `Batch`: "image" float32 `[B, S, S, 3]` in [0, 1],
    and the columns.
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
    result["image"], transform = augment_lib.distort(
        plain, augment, state, crop_area)
    if "mask" in result:
      result["mask"] = augment_lib.warp(
          result["mask"], transform, interpolation="NEAREST")
    if two_views:
      result |= {"unaugmented": plain, "transform": transform}
    return result

  return tf.data.Dataset.range(start, stop).map(
      batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def evaluation_size(asked):
  """The images in a batch of evaluation; 0 asks for what suits the device."""
  return asked or (256 if tf.config.list_physical_devices("GPU") else 32)


def evaluation_batches(images, records, batch_size):
  """Batches of all records in order, without augmentation.

  Args:
    images: `image_store.Images` that holds the records.
    records: list of `Record`.
    batch_size: number of images in a batch; the last batch may be smaller.
  Yields:
    `(records of the batch, float32 images [B, S, S, 3] in [0, 1])`.
  """
  for first in range(0, len(records), batch_size):
    part = records[first:first + batch_size]
    yield part, images.batch(part)
