"""Where the cells of a feature map lie on the image, or in the clip.

If its input is even, Keras pads a stride-2 layer on the right and at the
bottom only. So cell n of a stride-32 map may lie at pixel 32 n + 31.5, which
a resize that ignores this draws at 32 n + 15.5, half a cell away.

The geometry of an axis is `(offset, stride)`: cell n is centred on pixel
`offset + stride * n`. `follow` computes it layer by layer, and `resize` puts
each cell where it lies. The axes of an image are its rows and columns, those
of a clip its frames, rows and columns: cell n in time is centred on frame
`offset + stride * n`.
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
  """Linear resize of maps along each axis, differentiable to any order.

  It is a product with a fixed matrix for each axis. (`tf.image.resize` has no
  second derivative.)

  Args:
    m: `[B, h, w]` with static h and w, or `[B, t, h, w]`.
    size: `(height, width)` wanted, or `(frames, height, width)`.
    alignment: "aligned", "half_pixel", or an `(offset, stride)` for each
      axis: a classifier's `geometry`.
  Returns:
    `[B, *size]` in m's dtype.
  """
  places = (alignment,) * len(size) if isinstance(alignment, str) else (
      alignment)
  return along_axes(m, [_matrix(cells, pixels, place) for cells, pixels, place
                        in zip(m.shape[1:], size, places, strict=True)])


def along_axes(m, matrices):
  """Each axis of maps, multiplied by a matrix.

  Args:
    m: `[B, h, w]` or `[B, t, h, w]`.
    matrices: an array `[new, old]` for each axis but the first.
  Returns:
    `[B, *new]` in m's dtype.
  """
  *times, rows, columns = (tf.constant(x, m.dtype) for x in matrices)
  if times:
    return tf.einsum("st,yh,bthw,xw->bsyx", *times, rows, m, columns)
  return tf.einsum("yh,bhw,xw->byx", rows, m, columns)


def identity(axes=2):
  """The geometry of an image itself (2 axes) or of a clip (3)."""
  return ((0.0, 1.0),) * axes


IDENTITY = identity()

_LAYERS = keras.layers
WINDOWED = (_LAYERS.Conv2D, _LAYERS.DepthwiseConv2D, _LAYERS.SeparableConv2D,
            _LAYERS.Conv3D)
_POOLING = (_LAYERS.MaxPooling2D, _LAYERS.AveragePooling2D,
            _LAYERS.MaxPooling3D, _LAYERS.AveragePooling3D)
_PADDING = (_LAYERS.ZeroPadding2D, _LAYERS.ZeroPadding3D)
_CROPPING = (_LAYERS.Cropping2D, _LAYERS.Cropping3D)


def _each(value, axes):
  """A number for each axis: an int repeated, or the tuple that it is."""
  return (value,) * axes if isinstance(value, int) else tuple(value)


def follow(layer, geometry, shape, after=None):
  """Geometry after a layer.

  Args:
    layer: a Keras layer or operation.
    geometry: an `(offset, stride)` for each axis of its input.
    shape: static shape `[B, h, w, C]` or `[B, t, h, w, C]` of its input.
    after: static shape of its output, for a layer without a window; None:
      the shape of the input.
  Returns:
    the geometry of its output. Of a layer without a window that changes the
    size (upsampling, resizing), the output is assumed to cover the same area.
  """
  axes = len(geometry)
  if isinstance(layer, (*_PADDING, *_CROPPING)):
    sign = -1 if isinstance(layer, _PADDING) else 1
    edges = layer.padding if sign < 0 else layer.cropping
    return tuple((offset + sign * edges[axis][0] * stride, stride)
                 for axis, (offset, stride) in enumerate(geometry))
  if isinstance(layer, WINDOWED):
    window, dilation = layer.kernel_size, _each(layer.dilation_rate, axes)
  elif isinstance(layer, _POOLING):
    window, dilation = _each(layer.pool_size, axes), (1,) * axes
  else:
    return recut(geometry, shape[1:-1], (after or shape)[1:-1])
  out = []
  for axis, (offset, stride) in enumerate(geometry):
    step = _each(layer.strides, axes)[axis]
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
    geometry: of the axes before.
    before, after: numbers of cells, `(rows, columns)` or `(times, rows,
      columns)`.
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
