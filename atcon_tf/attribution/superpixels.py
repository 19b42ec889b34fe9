"""Superpixels: the parts of an image that LIME and KernelSHAP switch off."""

import numpy as np
import tensorflow as tf


def grid(size, count):
  """Rows and columns of about `count` square cells of an image of `size`."""
  spacing = np.sqrt(size[0] * size[1] / count)
  return [max(1, round(n / spacing)) for n in size]


def slic(images, count=49, compactness=10.0, rounds=5):
  """Superpixels by k-means of colours and places (SLIC).

  Achanta et al., TPAMI 2012. The distance of a pixel from a centre is
  `d_c^2 + (compactness / S)^2 d_s^2`, d_c that of the colours (an image's own
  range is 100), d_s that of the places in pixels and S the distance of two
  centres at the start, on a grid. Unlike there, all centres compete for every
  pixel, and a part may be in several pieces.

  Args:
    images: `[B, H, W, C]`, of any range.
    count: about how many parts an image has.
    compactness: see above.
    rounds: of k-means.
  Returns:
    int32 `[B, H, W]`, the number of each pixel's part, below the product of
    `grid(size, count)`; a part may have no pixel.

  Example:
    >>> superpixels.slic(images, count=16).shape
    TensorShape([2, 32, 32])
  """
  height, width = images.shape[1:3]
  rows, columns = grid((height, width), count)
  parts, pixels = rows * columns, height * width
  batch = images.shape[0] or tf.shape(images)[0]
  dtype = tf.float64 if images.dtype == tf.float64 else tf.float32
  colours = tf.reshape(tf.cast(images, dtype), [-1, pixels, images.shape[-1]])
  span = (tf.reduce_max(colours, [1, 2], keepdims=True)
          - tf.reduce_min(colours, [1, 2], keepdims=True))
  colours *= 100 / tf.where(span > 0, span, tf.ones_like(span))
  places = np.stack(np.mgrid[:height, :width], -1).reshape(pixels, 2) * (
      compactness / np.sqrt(pixels / count))
  values = tf.concat([colours, tf.zeros_like(colours[..., :2]) + tf.constant(
      places, dtype)], -1)
  start = ((np.arange(height) * rows // height)[:, None] * columns
           + np.arange(width) * columns // width).ravel()
  own = tf.range(batch, dtype=tf.int32)[:, tf.newaxis]
  part = own * 0 + tf.constant(start, tf.int32)
  for _ in range(rounds):
    segment = tf.reshape(own * parts + part, [-1])
    sums = tf.math.unsorted_segment_sum(
        tf.reshape(values, [-1, values.shape[-1]]), segment, batch * parts)
    sizes = tf.math.unsorted_segment_sum(
        tf.ones_like(segment, dtype), segment, batch * parts)[:, tf.newaxis]
    # An empty part lies where no pixel is nearest to it.
    centres = tf.where(sizes > 0, sums / tf.maximum(sizes, 1), 1e4)
    centres = tf.reshape(centres, [-1, parts, values.shape[-1]])
    # |v - c|^2 less |v|^2, which is the same for all centres.
    distance = tf.reduce_sum(tf.square(centres), -1)[:, tf.newaxis] - (
        2 * tf.matmul(values, centres, transpose_b=True))
    part = tf.argmin(distance, -1, output_type=tf.int32)
  return tf.reshape(part, [-1, height, width])
