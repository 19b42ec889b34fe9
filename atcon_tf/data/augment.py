"""Random changes of a batch of training images, from a seed.

All changes that move pixels are one projective transform of the image. It is
applied once, and `warp` applies the same transform to a map or a mask of the
image. The frames of a clip change alike, in place and in colour.
"""

import numpy as np
import tensorflow as tf

from atcon_tf.config import image_sizes
from atcon_tf.data import rand_augment

CROP_AREA = 0.5  # smallest share of the image that a random crop keeps
CUTOUT = 0.4  # side of the square that is cut out, as a share of the image's
GREY = 0.45  # value of the square, about the mean of photos


def distort(image, augment, seed, crop_area=CROP_AREA):
  """Random changes of a batch of images or clips.

  Args:
    image: `[B, H, W, C]` in [0, 1], or clips `[B, T, H, W, C]`.
    augment: any of "crop" (a random window of at least `crop_area` of the
      image, sides within 3:4), "flip" (left-right), "vertical_flip",
      "rotation" (up to 15 degrees, edges reflected), "color" (brightness,
      contrast and saturation by up to 30 %), "cutout" (a grey square of 40 %
      of the side, anywhere; DeVries, Taylor, arXiv 1708.04552),
      "autocontrast" (each channel stretched to [0, 1]; half of the images),
      "randaugment" (see `rand_augment`).
    seed: int64 `[2]`; the same seed gives the same change.
    crop_area: smallest share of the image that "crop" keeps.
  Returns:
    the changed images, and the transforms `[B, 8]` that were applied to them
    (see `warp`).
  """
  transform = random_transform(tf.shape(image)[0], image.shape[-3:-1], augment,
                               seed, crop_area)
  if set(augment) & {"crop", "flip", "rotation", "vertical_flip",
                     "randaugment"}:
    image = warp(image, transform)
  shape, frames = image.shape, 1
  if len(shape) == 5:  # frames one below the other change alike in colour
    frames = shape[1]
    image = tf.reshape(image, [-1, frames * shape[2], *shape[3:]])
  if "randaugment" in augment:
    image = rand_augment.colours(image, *rand_augment.draw(
        tf.shape(image)[0], _rand_augment_seed(seed)))
  if "color" in augment:
    image = _jitter(image, tf.random.experimental.stateless_fold_in(seed, 9))
  if "cutout" in augment:
    image = _cut_out(image, tf.random.experimental.stateless_fold_in(seed, 10),
                     frames)
  if "autocontrast" in augment:
    image = _stretch(image, tf.random.experimental.stateless_fold_in(seed, 12))
  return tf.reshape(image, [-1, *shape[1:]]) if frames > 1 else image, transform


def _rand_augment_seed(seed):
  return tf.random.experimental.stateless_fold_in(seed, 11)


def random_transform(batch_size, size, augment, seed, crop_area=CROP_AREA):
  """Random projective transforms `[B, 8]` from output to input pixels.

  Args:
    batch_size: B.
    size: height and width of the image in pixels, or its side.
    augment, seed, crop_area: as for `distort`.
  """
  draws = tf.random.stateless_uniform([batch_size, 7], seed)
  u = tf.unstack(draws, axis=1)
  one = tf.ones_like(u[0])
  width = height = one
  if "crop" in augment:
    area = crop_area + (1 - crop_area) * u[0]
    ratio = tf.exp((2 * u[1] - 1) * np.log(4 / 3))
    width = tf.minimum(tf.sqrt(area * ratio), 1)
    height = tf.minimum(tf.sqrt(area / ratio), 1)
  left, top = (1 - width) * u[2], (1 - height) * u[3]
  across = tf.where(u[4] < 0.5, -one, one) if "flip" in augment else one
  down = tf.where(u[5] < 0.5, -one, one) if (
      "vertical_flip" in augment) else one
  angle = (2 * u[6] - 1) * np.pi / 12 if "rotation" in augment else 0 * one
  # Output pixel -> centred -> mirrored, scaled, turned -> the window.
  a, b = across * width * tf.cos(angle), -down * height * tf.sin(angle)
  c, d = across * width * tf.sin(angle), down * height * tf.cos(angle)
  down_to, across_to = (n - 1 for n in image_sizes.pair(size))
  x = left * across_to + width * across_to / 2
  y = top * down_to + height * down_to / 2
  zero = 0 * one
  transform = tf.stack([a, b, x - (a * across_to + b * down_to) / 2,
                        c, d, y - (c * across_to + d * down_to) / 2,
                        zero, zero], 1)
  if "randaugment" in augment:
    matrix = tf.reshape(tf.concat([transform, one[:, tf.newaxis]], 1),
                        [-1, 3, 3])
    more = rand_augment.moves(*rand_augment.draw(
        batch_size, _rand_augment_seed(seed)), size)
    transform = tf.reshape(matrix @ more, [-1, 9])[:, :8]
  return transform


def warp(image, transform, fill="REFLECT", interpolation="BILINEAR"):
  """Applies a projective transform to each image.

  Output pixel (x, y) shows input pixel `(t0 x + t1 y + t2, t3 x + t4 y + t5)`.

  Args:
    image: `[B, H, W, channels]`, or clips `[B, T, H, W, channels]`, of which
      all frames are transformed alike.
    transform: `[B, 8]`.
    fill: how pixels outside the image are filled; see TensorFlow's
      `ImageProjectiveTransformV3`.
    interpolation: "BILINEAR" or "NEAREST".
  Returns:
    of the shape of `image`.
  """
  if len(image.shape) == 5:  # time among the channels
    _, frames, *size, channels = image.shape
    flat = tf.reshape(tf.transpose(image, [0, 2, 3, 1, 4]),
                      [-1, *size, frames * channels])
    flat = warp(flat, transform, fill, interpolation)
    return tf.transpose(tf.reshape(
        flat, [-1, *size, frames, channels]), [0, 3, 1, 2, 4])
  return tf.raw_ops.ImageProjectiveTransformV3(
      images=image, transforms=transform,
      output_shape=tf.shape(image)[1:3], fill_value=0.0,
      interpolation=interpolation, fill_mode=fill)


def _jitter(image, seed):
  """Changes brightness, contrast and saturation by up to 30 %."""
  u = tf.random.stateless_uniform(
      [3, tf.shape(image)[0], 1, 1, 1], seed, 0.7, 1.3)
  image = image * u[0]
  mean = tf.reduce_mean(image, [1, 2, 3], keepdims=True)
  image = mean + (image - mean) * u[1]
  grey = tf.reduce_mean(image, -1, keepdims=True)
  return tf.clip_by_value(grey + (image - grey) * u[2], 0, 1)


def _stretch(image, seed):
  """Stretches the contrast of half of the images."""
  u = tf.random.stateless_uniform([tf.shape(image)[0], 1, 1, 1], seed)
  return tf.where(u < 0.5, rand_augment.autocontrast(image), image)


def _cut_out(image, seed, frames=1):
  """Sets a part at a random place to grey; it may extend beyond the image.

  Args:
    image: `[B, frames * H, W, C]`, frames one below the other.
    seed: int64 `[2]`.
    frames: number of frames, of which each loses the same part.
  """
  centre = tf.random.stateless_uniform([tf.shape(image)[0], 2], seed)
  rows, columns = (
      tf.abs((tf.range(size, dtype=tf.float32) + 0.5) / size
             - centre[:, i:i + 1]) < CUTOUT / 2
      for i, size in enumerate((image.shape[1] // frames, image.shape[2])))
  inside = rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :]
  inside = tf.tile(inside, [1, frames, 1])
  return tf.where(inside[..., tf.newaxis], GREY, image)
