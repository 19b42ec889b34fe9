"""Many variations of each image, a bounded number at a time.

Methods that integrate along a path, add noise or mask pixels run `samples`
variations of each of B images through the network. This file runs the
`B * samples` images `batch_size` at a time, in a loop that also works inside
a `tf.function`, and keeps only their sums or scores.
"""

import math

import tensorflow as tf

# The most bytes that the outputs of all layers have in a call, and the most
# images.
BOUND, MOST = 4 << 30, 64

# The generator of random numbers that are the same on every device, compiled
# or not.
RANDOM = "philox"


def at_once(classifier):
  """How many images a method with many variations of each runs at once.

  As many as `BOUND` holds the outputs of all layers of, which a gradient needs
  at the same time: 40 of ResNet50 at 224 pixels. On two cores its integrated
  gradients take 1.4 times as long with 8 images at once as with 33; without a
  gradient, as in RISE, 8 to 64 are equally fast.

  Args:
    classifier: a `models.Classifier`.
  """
  size = sum(4 * math.prod(tensor.shape[1:])
             for nodes in classifier.maps._nodes_by_depth.values()
             for node in nodes for tensor in node.outputs
             if None not in tensor.shape[1:])
  fit = min(max(BOUND // size, 1), MOST)
  # Where frames are a batch, the sizes are those of a frame.
  merged = classifier.frames and classifier.graph.merged
  return classifier.per_batch(fit) if merged else fit


def chunks(count, batch_size):
  """The number of parts, and the size of all but the last.

  Args:
    count: of what is cut; int, or a scalar tensor if it is not known yet.
    batch_size: int, the most that a part may hold.
  """
  number = -(-count // batch_size)
  return number, -(-count // number)


def _batch(tensor):
  """The batch size: an int if it is known (XLA needs one), else a tensor."""
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
    list of `[B, ...]`, the sums over the variations, differentiable as often
    as `function` is.
  """
  batch = _batch(like[0])
  count = batch * samples

  def part(index):
    # Indices beyond the last only fill up the last part: their segment is
    # negative, and a negative segment does not enter the sum.
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
    images: a tensor `[B, ...]` with the dtype of the result.
    samples: number of variations.
    batch_size: n is at most this; None: all at once.
  Returns:
    `[B, samples]`.
  """
  zeros = tf.zeros([_batch(images), samples], images.dtype)

  def row(image, sample):
    value = tf.cast(function(image, sample), images.dtype)
    return [value[:, tf.newaxis] * tf.one_hot(
        sample, samples, dtype=images.dtype)]

  return total(row, [zeros], samples, batch_size)[0]
