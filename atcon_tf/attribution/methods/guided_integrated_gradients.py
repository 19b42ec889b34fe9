"""Guided integrated gradients: a path that changes what matters least first."""

import math

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import gradient
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.config import UserError


def guided_integrated_gradients(pass_, class_index, **options):
  """Guided integrated gradients (Kapishnikov et al., arXiv 2106.09788).

  Integrated gradients along a path of each image's own: a step moves those
  numbers of the image first whose gradient is smallest, towards the image. So
  the path goes round regions of large gradients, whose noise integrated
  gradients pick up. The map is the sum of absolute values over the colours.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    **options: of `guided_attributions`.
  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "guided_integrated_gradients",
    ...                     steps=8).shape
    TensorShape([2, 32, 32])
  """
  return gradient.magnitude(guided_attributions(pass_, class_index, **options))


def guided_attributions(pass_, class_index, steps=50, fraction=0.25,
                        max_distance=0.02, baseline="zero", output="logit",
                        seed=0):
  """The integral over each colour of each pixel, signed.

  Step t of T shall leave the distance `(1 - t / T) |x - x'|_1` from the image
  x. Numbers that lie more than `max_distance` behind t / T of their way first
  catch up. Then blocks of numbers, by increasing |gradient|, move up to
  `max_distance` beyond t / T, the last block as far as is needed. The sum is
  about `y_c(x) - y_c(x')`, the better the more steps.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    steps: T, one gradient after another. The authors take 200.
    fraction: of all numbers in one block, in (0, 1].
    max_distance: of a number from the straight path, a share of its way.
    baseline: x', one of `integrated_gradients.BASELINES`.
    output: what y_c is, the "logit", the softmax "probability" or the
      "sigmoid".
    seed: of the random baseline.
  Returns:
    `[B, H, W, 3]`.
  Raises:
    UserError: an option out of its range.
  """
  if steps < 1:
    raise UserError("steps", steps, "must be at least 1")
  if not 0 < fraction <= 1:
    raise UserError("fraction", fraction, "must be above 0 and at most 1")
  if max_distance < 0:
    raise UserError("max_distance", max_distance, "must not be negative")
  forward_pass.check("baseline", baseline, integrated_gradients.BASELINES)
  x = pass_.normalized
  shape, count = x.shape[1:], math.prod(x.shape[1:])
  end, start = (tf.reshape(t, [-1, count]) for t in (
      x, integrated_gradients.baseline_images(pass_, baseline, seed)))
  way = end - start
  length = tf.reduce_sum(tf.abs(way), 1, keepdims=True)
  block = int(fraction * (count - 1)) + 1

  def slope(here):
    point = forward_pass.forward_normalized(
        pass_.classifier, tf.reshape(here, [-1, *shape]))
    return tf.reshape(point.gradient(class_index, point.normalized, output),
                      [-1, count])

  def shares(size, room, left):
    """How much of its room each number uses, in [0, 1], to move by `left`."""
    # Those without room come last, so that a block is of those that have it.
    size = tf.where(room > 0, size, size.dtype.max)
    ordered = tf.sort(size)
    share, before = tf.zeros_like(room), tf.zeros_like(left, tf.int32)
    lower = -tf.ones_like(left)
    for _ in range(-(-count // block)):
      upper = tf.gather(ordered, tf.minimum(before + block, count) - 1,
                        batch_dims=1)
      own = tf.where((size > lower) & (size <= upper), room, 0)
      rooms = tf.reduce_sum(own, 1, keepdims=True)
      part = tf.clip_by_value(tf.math.divide_no_nan(left, rooms), 0, 1)
      share = tf.where(own > 0, part, share)
      left -= part * rooms
      lower, before = upper, tf.reduce_sum(
          tf.cast(size <= upper, tf.int32), 1, keepdims=True)
    return share

  def step(i, here, total):
    g = slope(here)
    done = tf.cast(i + 1, x.dtype) / steps
    least = start + tf.maximum(done - max_distance, 0) * way
    most = start + tf.minimum(done + max_distance, 1) * way
    behind = tf.abs(here - start) < tf.abs(least - start)
    moved = tf.where(behind, least, here)
    room = tf.abs(most - moved)
    room = tf.where(room > 1e-6 * tf.abs(way), room, 0)
    needed = (tf.reduce_sum(tf.abs(end - moved), 1, keepdims=True)
              - (1 - done) * length)
    share = shares(tf.abs(g), room, needed)
    moved = tf.where(share == 1, most, moved + share * (most - moved))
    return i + 1, moved, total + tf.cast(moved - here, total.dtype) * tf.cast(
        g, total.dtype)

  zero = tf.zeros_like(tf.cast(start, pass_.logits.dtype))
  _, _, total = tf.while_loop(
      lambda i, *_: i < steps, step, (0, start, zero),
      maximum_iterations=steps, parallel_iterations=1)
  return tf.reshape(total, [-1, *shape])
