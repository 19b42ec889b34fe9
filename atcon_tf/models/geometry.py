"""Where the cells of a feature map lie on the image.

If its input is even, Keras pads a stride-2 layer on the right and at the
bottom only. So cell n of a stride-32 map may lie at pixel 32 n + 31.5, which
a resize that ignores this draws at 32 n + 15.5, half a cell away.

The geometry of an axis is `(offset, stride)`: cell n is centred on pixel
`offset + stride * n`. `follow` computes it layer by layer, and `resize` puts
each cell where it lies.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

ALIGNED = "aligned"
HALF_PIXEL = "half_pixel"


def interpolation_matrix(cells, pixels, alignment):
  """Linear interpolation from `cells` values to `pixels` values as a matrix.

  Args:
    cells, pixels: numbers of values before and after.
    alignment: where the cells lie on the pixel axis. "aligned": the first
      and last cell on the first and last pixel. "half_pixel": cells and
      pixels cut the same line into equal parts. Or `(offset, stride)`: cell n
      lies at pixel `offset + stride * n`.
  Returns:
    float64 `[pixels, cells]`; every row sums to 1. A pixel beyond the
    outermost cells has the value of the nearest one.
  """
  index = np.arange(pixels, dtype=np.float64)
  if alignment == ALIGNED:
    position = index * (cells - 1) / max(pixels - 1, 1)
  elif alignment == HALF_PIXEL:
    position = (index + 0.5) * cells / pixels - 0.5
  else:
    offset, stride = alignment
    position = (index - offset) / stride
  position = np.clip(position, 0, cells - 1)
  return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)))


_matrix = functools.lru_cache(maxsize=256)(interpolation_matrix)


def resize(m, size, alignment=HALF_PIXEL):
  """Bilinear resize of maps, differentiable to any order.

  It is two products with fixed matrices. (`tf.image.resize` has no second
  derivative.)

  Args:
    m: `[B, h, w]` with static h and w.
    size: `(height, width)` wanted.
    alignment: "aligned", "half_pixel", or a pair of `(offset, stride)` for
      the rows and for the columns: a classifier's `geometry`.
  Returns:
    `[B, height, width]` in m's dtype.
  """
  rows, columns = (
      (alignment, alignment) if isinstance(alignment, str) else alignment)
  up = _matrix(m.shape[1], size[0], rows)
  across = _matrix(m.shape[2], size[1], columns)
  return tf.einsum("yh,bhw,xw->byx", tf.constant(up, m.dtype), m,
                   tf.constant(across, m.dtype))


# The geometry of the image itself, rows and columns.
IDENTITY = ((0.0, 1.0), (0.0, 1.0))

WINDOWED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D,
            keras.layers.SeparableConv2D)
_POOLING = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


def _pair(value):
  """An int twice; a pair as it is."""
  return (value, value) if isinstance(value, int) else tuple(value)


def follow(layer, geometry, shape, after=None):
  """Geometry after a layer.

  Args:
    layer: a Keras layer or operation.
    geometry: `((offset, stride), (offset, stride))` of rows and columns of
      its input.
    shape: static shape `[B, h, w, C]` of its input.
    after: static shape of its output, for a layer without a window; None:
      the shape of the input.
  Returns:
    the geometry of its output. Of a layer without a window that changes the
    size (upsampling, resizing), the output is assumed to cover the same area.
  """
  if isinstance(layer, (keras.layers.ZeroPadding2D, keras.layers.Cropping2D)):
    sign = -1 if isinstance(layer, keras.layers.ZeroPadding2D) else 1
    edges = layer.padding if sign < 0 else layer.cropping
    return tuple((offset + sign * edges[axis][0] * stride, stride)
                 for axis, (offset, stride) in enumerate(geometry))
  if isinstance(layer, WINDOWED):
    window, dilation = layer.kernel_size, _pair(layer.dilation_rate)
  elif isinstance(layer, _POOLING):
    window, dilation = _pair(layer.pool_size), (1, 1)
  else:
    return recut(geometry, shape[1:3], (after or shape)[1:3])
  out = []
  for axis, (offset, stride) in enumerate(geometry):
    step = _pair(layer.strides)[axis]
    extent = (window[axis] - 1) * dilation[axis]
    before = 0
    if layer.padding == "same":
      size = shape[1 + axis]
      before = same_padding(size, extent + 1, step)[0]
    out.append((offset + (extent / 2 - before) * stride, stride * step))
  return tuple(out)


def recut(geometry, before, after):
  """Geometry when the area of `before` cells is cut into `after` cells.

  Args:
    geometry: of the rows and columns before.
    before, after: `(rows, columns)`, numbers of cells.
  """
  out = []
  for (offset, stride), old, new in zip(geometry, before, after):
    wider = stride * old / new
    out.append((offset + (wider - stride) / 2, wider))
  return tuple(out)


def relative(place, onto):
  """Geometry of one map's cells in units of another map's cells.

  Args:
    place: geometry of the one map.
    onto: geometry of the other.
  """
  return tuple(((offset - first) / step, stride / step)
               for (offset, stride), (first, step) in zip(place, onto))


def same_padding(size, extent, step):
  """Numbers of zeros that "same" puts before and after an axis.

  Args:
    size: cells of the axis.
    extent: cells that the window spans, with its dilation.
    step: stride of the window.
  """
  total = max((-(-size // step) - 1) * step + extent - size, 0)
  return total // 2, total - total // 2
