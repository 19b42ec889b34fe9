"""Many variations of each image, a bounded number at a time.

Path, noise and mask methods look at `samples` variations of each of B images:
`B * samples` passes. Here they are run `batch_size` at a time, in a loop that
also works inside a `tf.function`, and only their sums or scores are kept.
"""

import tensorflow as tf

# The same numbers on every device, compiled or not.
RANDOM = "philox"


def chunks(count, batch_size):
  """Number and size of nearly equal parts of at most `batch_size`.

  Args:
    count: int, or a scalar tensor where the batch is not known yet.
    batch_size: int.
  """
  number = -(-count // batch_size)
  return number, -(-count // number)


def _batch(tensor):
  """The batch size: an int where it is known (XLA needs that)."""
  return tensor.shape[0] or tf.shape(tensor)[0]


def total(function, like, samples, batch_size=None):
  """Sums a function over the variations of each image.

  Args:
    function: `(image [n], sample [n]) -> list of [n, ...]`, where the two
      are int indices of images and of variations.
    like: list of `[B, ...]`, one tensor of the shape and dtype of each sum.
    samples: number of variations.
    batch_size: n is at most this; None: all at once.
  Returns:
    list of `[B, ...]`, the sums over the variations. Differentiable as often
    as the function is.
  """
  batch = _batch(like[0])
  count = batch * samples

  def part(index):
    # Numbers beyond the last only fill the last part; a negative segment is
    # left out of the sum.
    image, sample = tf.minimum(index, count - 1) // samples, index % samples
    segment = tf.where(index < count, image, -1)
    return [tf.math.unsorted_segment_sum(tf.cast(value, own.dtype), segment,
                                         batch)
            for value, own in zip(function(image, sample), like)]

  if batch_size is None:
    return part(tf.range(count))
  number, size = chunks(count, batch_size)

  def body(i, *sums):
    values = part(i * size + tf.range(size))
    return i + 1, *(s + v for s, v in zip(sums, values))

  zeros = (tf.zeros_like(tensor) for tensor in like)
  _, *sums = tf.while_loop(
      lambda i, *_: i < number, body, (0, *zeros),
      maximum_iterations=number, parallel_iterations=1)
  return sums


def scores(function, images, samples, batch_size=None):
  """One number for each variation of each image.

  Args:
    function: `(image [n], sample [n]) -> [n]`; see `total`.
    images: a tensor with the batch in front, and the dtype of the numbers.
    samples, batch_size: see `total`.
  Returns:
    `[B, samples]`.
  """
  zeros = tf.zeros([_batch(images), samples], images.dtype)

  def row(image, sample):
    value = tf.cast(function(image, sample), images.dtype)
    return [value[:, tf.newaxis] * tf.one_hot(
        sample, samples, dtype=images.dtype)]

  return total(row, [zeros], samples, batch_size)[0]
