"""Pictures inside a graph: decoding, shrinking, overlays.

A graph cannot call PIL, so `decode` repeats with TensorFlow operations what
`data.image_store.decode` does in training, and `overlay` what
`reports.figures.canvas.overlay` draws. tests/serving/ holds each pair together.
"""

import matplotlib
import numpy as np
import tensorflow as tf

from atcon_tf.attribution import maps
from atcon_tf.config.names import COLORMAP
from atcon_tf.serving import exif_orientation

WHOLE = 2.0 ** 22

def decode(image_bytes, size, resize="squeeze"):
  """JPEG or PNG pictures `[B]` -> float32 `[B, H, W, 3]` in [0, 1].

  As `data.image_store.decode`, up to one grey level: accurate DCT, the
  orientation of the EXIF data, alpha over white, and the part of the picture
  that `resize` says.
  """
  return decode_with_shapes(image_bytes, size, resize)[0]


def decode_with_shapes(image_bytes, size, resize="squeeze"):
  """`decode`, and the height and width of what was shrunk, int32 `[B, 2]`."""
  def one(contents):
    png = tf.equal(tf.strings.substr(contents, 0, 4), b"\x89PNG")
    # The operation for JPEG would also read GIF, which training does not.
    known = tf.debugging.Assert(png | tf.io.is_jpeg(contents),
                                ["image_bytes: not a JPEG or PNG picture"])
    with tf.control_dependencies([known]):
      contents = tf.identity(contents)
    pixels = tf.cond(
        png, lambda: _over_white(_rgba(contents)),
        lambda: tf.cast(tf.io.decode_jpeg(
            contents, 3, dct_method="INTEGER_ACCURATE"), tf.float32))
    pixels = exif_orientation.turn(
        pixels, exif_orientation.orientation(contents))
    pixels = frame(pixels, size, resize)
    return shrink(pixels, size), tf.shape(pixels)[:2]

  pixels, shapes = tf.map_fn(one, image_bytes, fn_output_signature=(
      tf.TensorSpec([*size, 3], tf.float32), tf.TensorSpec([2], tf.int32)))
  return pixels / 255, shapes


def frame(pixels, size, resize):
  """The part of a picture `[h, w, 3]` that a network sees, as `data.framing`.

  Args:
    pixels: the picture.
    size: (height, width) of the network's input.
    resize: "squeeze", "crop" or "pad" (with 0).
  """
  if resize == "squeeze":
    return pixels
  photo, (rows, columns) = tf.shape(pixels)[:2], size
  height, width = tf.unstack(photo)
  taller = height * columns > width * rows
  new = tf.where(
      taller if resize == "crop" else ~taller,
      [tf.maximum(1, (2 * width * rows + columns) // (2 * columns)), width],
      [height, tf.maximum(1, (2 * height * columns + rows) // (2 * rows))])
  start = (photo - new) // 2
  count = tf.minimum(photo, new)
  inside = tf.slice(pixels, tf.concat([tf.maximum(start, 0), [0]], 0),
                    tf.concat([count, [3]], 0))
  before = tf.maximum(-start, 0)
  margins = tf.stack([before, new - count - before], 1)
  return tf.pad(inside, tf.concat([margins, [[0, 0]]], 0))


def _rgba(contents):
  """The levels of a PNG, uint8 `[h, w, 4]`."""
  pixels = tf.io.decode_png(contents, 4)
  # For a PNG of less than 8 bits of grey TensorFlow fills alpha with the
  # greatest value of so few bits (checked with 2.21).
  depth, colour = (tf.strings.substr(contents, at, 1) for at in (24, 25))
  few = (colour == b"\0") & tf.reduce_any(
      depth == tf.constant([b"\1", b"\2", b"\4"]))
  alpha = pixels[..., 3:]
  return tf.concat([pixels[..., :3], tf.where(
      few & (alpha > 0), tf.constant(255, tf.uint8), alpha)], -1)


def _over_white(rgba):
  color, alpha = tf.split(tf.cast(rgba, tf.float32), [3, 1], -1)
  return tf.floor(color * alpha / 255 + (255 - alpha) + 0.5)


def shrink(pixels, size):
  """PIL's bilinear (antialiased) resize of `[h, w, 3]` with levels 0 to 255.

  Columns, then rows, each rounded to whole levels as PIL does. An enlarged
  picture has many sums of just half a level, which only PIL's own arithmetic
  rounds as PIL does: its weights are whole numbers, in units of 1 / WHOLE.
  (Of some tall pictures Pillow 13 resizes the rows first: up to one level.)
  """
  height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
  pixels = tf.cast(pixels, tf.float64)
  pixels = tf.einsum("xw,hwc->hxc", _triangles(width, size[1]), pixels)
  pixels = tf.floor(pixels / WHOLE + 0.5)
  pixels = tf.einsum("yh,hxc->yxc", _triangles(height, size[0]), pixels)
  return tf.ensure_shape(tf.cast(tf.floor(pixels / WHOLE + 0.5), tf.float32),
                         [*size, 3])


def _triangles(before, after):
  """Triangle filter `[after, before]`, as wide as one new pixel or old."""
  scale = tf.cast(before, tf.float64) / after
  centre = (tf.range(after, dtype=tf.float64) + 0.5) * scale
  place = tf.range(tf.cast(before, tf.float64)) + 0.5
  weight = tf.nn.relu(1 - tf.abs(place - centre[:, tf.newaxis])
                      / tf.maximum(scale, 1))
  return tf.floor(WHOLE * weight / tf.reduce_sum(weight, -1, keepdims=True)
                  + 0.5)


def overlay(images, heat, shapes=None):
  """PNG bytes `[B]` of maps over grey images, as `canvas.overlay` draws.

  Args:
    images: `[B, H, W, 3]` in [0, 1], or clips `[B, T, H, W, 3]`.
    heat: `[B, H, W]`, raw; its positive part, scaled by its maximum, is
      drawn. Of clips `[B, T, H, W]`, scaled by the maximum of the clip.
    shapes: of `decode_with_shapes`, one for each picture. A PNG has the
      aspect of its picture, and the longer side of H and W. None: it has H
      and W.
  Returns:
    `[B]`, of clips `[B, T]`.
  """
  table = matplotlib.colormaps[COLORMAP](np.arange(256))[:, :3]
  heat = tf.nn.relu(heat)
  top = tf.reduce_max(heat, list(range(1, len(heat.shape))), keepdims=True)
  heat = heat / tf.where(top > 0, top, tf.ones_like(top))
  # matplotlib's own rounding to its 256 colours.
  level = tf.minimum(tf.cast(heat * 256, tf.int32), 255)
  color = tf.gather(tf.constant(table, tf.float32), level)
  grey = tf.clip_by_value(tf.reduce_mean(images, -1, keepdims=True), 0, 1)
  grey = maps.GREY_FROM + maps.GREY_RANGE * grey
  opacity = (maps.OPACITY_FROM + maps.OPACITY_RANGE * heat)[..., tf.newaxis]
  blend = (1 - opacity) * grey + opacity * color
  pixels = tf.cast(tf.clip_by_value(blend, 0, 1) * 255 + 0.5, tf.uint8)
  pixels = tf.reshape(pixels, [-1, *pixels.shape[-3:]])
  if shapes is None:
    shapes = tf.tile([pixels.shape[1:3]], [tf.shape(pixels)[0], 1])
  png = tf.map_fn(_encode_with_aspect, (pixels, shapes),
                  fn_output_signature=tf.TensorSpec([], tf.string))
  return tf.reshape(png, [-1, *heat.shape[1:-2]])


def _encode_with_aspect(picture_and_shape):
  """A PNG of a picture `[H, W, 3]` that was squeezed from another shape."""
  picture, shape = picture_and_shape
  shape = shape * max(picture.shape[:2]) / tf.reduce_max(shape)
  size = tf.maximum(1, tf.cast(tf.round(shape), tf.int32))
  levels = tf.round(tf.image.resize(picture, size))
  return tf.io.encode_png(tf.cast(levels, tf.uint8))
