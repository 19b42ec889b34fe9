"""RandAugment: a few changes of each image, drawn from a fixed list.

Cubuk et al., RandAugment: Practical automated data augmentation with a
reduced search space, CVPRW 2020, arXiv 1909.13719.

Each image draws `CHANGES` of the 14 `OPERATIONS` with equal probability, with
repetition, at the strength `MAGNITUDE` of 10. Those that move pixels become
one affine transform, which is applied once with that of the crop and before
the colours change; in the paper the operations follow each other as drawn.
"""

import keras
import numpy as np
import tensorflow as tf

from atcon_tf.config import image_sizes

CHANGES, MAGNITUDE = 2, 9  # the paper's values for ImageNet and ResNet50
MOVES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
COLOURS = ("autocontrast", "equalize", "solarize", "posterize", "color",
           "contrast", "brightness", "sharpness")
OPERATIONS = ("identity", *MOVES, *COLOURS)
_STRENGTH = MAGNITUDE / 10
_SHARPEN = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def draw(batch_size, seed):
  """The changes of each image.

  Args:
    batch_size: B.
    seed: int64 `[2]`.
  Returns:
    int64 `[CHANGES, B]`, numbers of `OPERATIONS`, and float32 of the same
    shape, the direction of each: -1 or 1.
  """
  u = tf.random.stateless_uniform([2, CHANGES, batch_size], seed)
  return (tf.cast(u[0] * len(OPERATIONS), tf.int64),
          tf.where(u[1] < 0.5, -1., 1.))


def moves(operations, direction, size):
  """The affine transforms `[B, 3, 3]` from output to input pixels.

  Args:
    operations, direction: from `draw`.
    size: height and width of the image in pixels, or its side.
  """
  height, width = image_sizes.pair(size)
  middle, centre = (height - 1) / 2, (width - 1) / 2
  total = tf.eye(3, batch_shape=[tf.shape(operations)[1]])
  for chosen, sign in zip(tf.unstack(operations), tf.unstack(direction)):
    amount = {name: tf.where(chosen == OPERATIONS.index(name), sign, 0.)
              for name in MOVES}
    angle = amount["rotate"] * (_STRENGTH * np.pi / 6)
    across = amount["shear_x"] * (.3 * _STRENGTH)
    down = amount["shear_y"] * (.3 * _STRENGTH)
    x = amount["translate_x"] * (.45 * _STRENGTH * width)
    y = amount["translate_y"] * (.45 * _STRENGTH * height)
    a, b = tf.cos(angle), -tf.sin(angle) + across
    c, d = tf.sin(angle) + down, tf.cos(angle)
    zero, one = 0 * a, 0 * a + 1
    step = tf.reshape(tf.stack([
        a, b, x + centre * (1 - a) - middle * b,
        c, d, y + middle * (1 - d) - centre * c,
        zero, zero, one], 1), [-1, 3, 3])
    total = total @ step
  return total


def colours(image, operations, direction):
  """The images with the colours that were drawn.

  Args:
    image: `[B, S, S, 3]` in [0, 1].
    operations, direction: from `draw`.
  """
  shape = image.shape
  for chosen, sign in zip(tf.unstack(operations), tf.unstack(direction)):
    # Each operation computes the images that drew it, and no other ones.
    for name in COLOURS:
      mine = tf.where(chosen == OPERATIONS.index(name))
      image = tf.ensure_shape(tf.cond(
          tf.size(mine) > 0,
          lambda i=image, m=mine, n=name, s=sign: _changed(i, m, n, s),
          lambda i=image: i), shape)
  return image


def _changed(image, mine, name, sign):
  """The images, of which those with the indices `mine` `[N, 1]` change."""
  part = tf.gather(image, mine[:, 0])
  part = _CHANGE[name](part, tf.gather(sign, mine)[:, :, None, None])
  return tf.tensor_scatter_nd_update(image, mine, tf.clip_by_value(part, 0, 1))


def autocontrast(image):
  """Each channel of each image, stretched to [0, 1]."""
  return keras.layers.AutoContrast(
      value_range=(0, 1), dtype="float32").transform_images(image)


def _equalize(image):
  """A flat histogram of each channel of each image.

  Keras's layer takes one histogram of all images of the batch.
  """
  planes = tf.transpose(image, [0, 3, 1, 2])
  shape = tf.shape(planes)
  levels = tf.reshape(tf.round(255 * planes), [shape[0] * 3, -1])
  ordered = tf.sort(levels)
  below = tf.searchsorted(ordered, levels, "right")
  first = tf.searchsorted(ordered, ordered[:, :1], "right")
  rest = tf.shape(levels)[1] - first
  flat = tf.cast(below - first, tf.float32) / tf.cast(
      tf.maximum(rest, 1), tf.float32)
  flat = tf.where(rest > 0, flat, levels / 255)
  return tf.transpose(tf.reshape(flat, shape), [0, 2, 3, 1])


def _posterize(image):
  """Without the lowest bits: 4 of 8 are left at the highest strength."""
  levels = 2. ** (8 - round(4 * _STRENGTH))
  return tf.floor(image * 255 * levels / 256) / levels * 256 / 255


def _between(image, other, sign):
  """From `other` (at -1) over the image to its opposite."""
  return other + (image - other) * (1 + .9 * _STRENGTH * sign)


def _grey(image):
  return tf.image.rgb_to_grayscale(image)


def _blurred(image):
  kernel = tf.tile(_SHARPEN[:, :, None, None], [1, 1, 3, 1])
  inner = tf.nn.depthwise_conv2d(image, kernel, [1, 1, 1, 1], "VALID")
  inside = np.zeros([1, *image.shape[1:3], 1], bool)
  inside[:, 1:-1, 1:-1] = True
  return tf.where(inside, tf.pad(inner, [[0, 0], [1, 1], [1, 1], [0, 0]]),
                  image)


_CHANGE = {
    "autocontrast": lambda image, sign: autocontrast(image),
    "equalize": lambda image, sign: _equalize(image),
    "solarize": lambda image, sign: tf.where(
        image < 1 - _STRENGTH, image, 1 - image),
    "posterize": lambda image, sign: _posterize(image),
    "color": lambda image, sign: _between(image, _grey(image), sign),
    "contrast": lambda image, sign: _between(
        image, tf.reduce_mean(_grey(image), [1, 2], keepdims=True), sign),
    "brightness": lambda image, sign: _between(image, 0., sign),
    "sharpness": lambda image, sign: _between(image, _blurred(image), sign),
}
