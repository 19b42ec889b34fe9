"""Pictures inside a graph: decoding, shrinking, overlays."""

import matplotlib
import numpy as np
import tensorflow as tf

from atcon_tf.attribution import maps
from atcon_tf.serving import jpeg_orientation


def decode(image_bytes, size):
  """JPEG or PNG pictures `[B]` -> float32 `[B, H, W, 3]` in [0, 1].

  What training does with PIL, but for one grey level where two are equally
  near: accurate DCT, the way up that a JPEG's EXIF says, alpha over white, a
  square that ignores the aspect.
  """
  def one(contents):
    png = tf.equal(tf.strings.substr(contents, 0, 4), b"\x89PNG")
    # The op for JPEG also reads GIF, which nobody promised here.
    known = tf.debugging.Assert(png | tf.io.is_jpeg(contents),
                                ["image_bytes: not a JPEG or PNG picture"])
    with tf.control_dependencies([known]):
      contents = tf.identity(contents)
    pixels = tf.cond(
        png, lambda: _over_white(tf.io.decode_png(contents, 4)),
        lambda: tf.cast(jpeg_orientation.turn(tf.io.decode_jpeg(
            contents, 3, dct_method="INTEGER_ACCURATE"),
                                  jpeg_orientation.orientation(contents)), tf.float32))
    return shrink(pixels, size)

  return tf.map_fn(
      one, image_bytes, fn_output_signature=tf.TensorSpec(
          [*size, 3], tf.float32)) / 255


def _over_white(rgba):
  color, alpha = tf.split(tf.cast(rgba, tf.float32), [3, 1], -1)
  return tf.floor(color * alpha / 255 + (255 - alpha) + 0.5)


def shrink(pixels, size):
  """PIL's bilinear (antialiased) resize of `[h, w, 3]` with levels 0 to 255.

  Columns, then rows, each rounded to whole levels as PIL does.
  """
  height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
  pixels = tf.einsum("xw,hwc->hxc", _triangles(width, size[1]), pixels)
  pixels = tf.floor(pixels + 0.5)
  pixels = tf.einsum("yh,hxc->yxc", _triangles(height, size[0]), pixels)
  return tf.ensure_shape(tf.floor(pixels + 0.5), [*size, 3])


def _triangles(before, after):
  """Triangle filter `[after, before]`, as wide as one new pixel or old."""
  scale = tf.cast(before, tf.float32) / after
  centre = (tf.range(after, dtype=tf.float32) + 0.5) * scale
  place = tf.range(tf.cast(before, tf.float32)) + 0.5
  weight = tf.nn.relu(1 - tf.abs(place - centre[:, tf.newaxis])
                      / tf.maximum(scale, 1))
  return weight / tf.reduce_sum(weight, -1, keepdims=True)


def overlay(images, heat):
  """PNG bytes `[B]` of maps over grey images, as `plots.show_map` draws.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
    heat: `[B, H, W]`, raw; its positive part, scaled by its maximum, is
      drawn.
  """
  table = matplotlib.colormaps[maps.COLORMAP](np.arange(256))[:, :3]
  heat = tf.nn.relu(heat)
  top = tf.reduce_max(heat, [1, 2], keepdims=True)
  heat = heat / tf.where(top > 0, top, tf.ones_like(top))
  color = tf.gather(tf.constant(table, tf.float32),
                    tf.cast(heat * 255 + 0.5, tf.int32))
  grey = 0.25 + 0.5 * tf.reduce_mean(images, -1, keepdims=True)
  alpha = (0.15 + 0.75 * heat)[..., tf.newaxis]
  blend = (1 - alpha) * grey + alpha * color
  pixels = tf.cast(tf.clip_by_value(blend, 0, 1) * 255 + 0.5, tf.uint8)
  return tf.map_fn(tf.io.encode_png, pixels,
                   fn_output_signature=tf.TensorSpec([], tf.string))
