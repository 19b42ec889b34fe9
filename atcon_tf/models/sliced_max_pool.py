"""Max pooling whose second derivative is right under XLA as well.

The gradient of a max pooling is linear in the gradient above it: each window
passes it to its first maximum. XLA's derivative of that gradient looks for
the maximum again and finds another element in some windows. Here a window is
a set of strided slices, and which of them holds the maximum is a constant.
"""

import keras
import tensorflow as tf

from atcon_tf.models import geometry
from atcon_tf.models import stand_ins


def max_pool(x, window, strides, padding):
  """Max pooling of `[B, h, w, C]`.

  Args:
    x: of static height and width.
    window, strides: pairs of ints.
    padding: "valid" or "same".
  """
  amounts = [(0, 0)] * 2
  if padding == "same":
    amounts = [geometry.same_padding(size, extent, step) for
               size, extent, step in zip(x.shape[1:3], window, strides)]

  @tf.custom_gradient
  def pool(x):
    padded = tf.pad(x, [(0, 0), *amounts, (0, 0)],
                    constant_values=x.dtype.min)
    ends = [(size - extent) // step * step + 1 for size, extent, step in zip(
        padded.shape[1:3], window, strides)]
    # All images and channels; every row and column that has the same place in
    # its window.
    slices = [dict(begin=[0, i, j, 0], end=[0, i + ends[0], j + ends[1], 0],
                   strides=[1, *strides, 1], begin_mask=9, end_mask=9)
              for i in range(window[0]) for j in range(window[1])]
    parts = [tf.raw_ops.StridedSlice(input=padded, **one) for one in slices]
    y = parts[0]
    for part in parts[1:]:
      y = tf.maximum(y, part)
    free, first = tf.ones_like(y, tf.bool), []
    for part in parts:
      first.append(free & (part == y))
      free &= ~first[-1]

    def backward(dy):
      dx = tf.add_n([tf.raw_ops.StridedSliceGrad(
          shape=tf.shape(padded), dy=tf.where(here, dy, tf.zeros_like(dy)),
          **one) for here, one in zip(first, slices)])
      (top, _), (left, _) = amounts
      return dx[:, top:top + x.shape[1], left:left + x.shape[2]]

    return y, backward

  return pool(x)


class SlicedMaxPool(keras.layers.Layer):
  """`max_pool` in place of a `MaxPooling2D`."""

  def __init__(self, layer):
    super().__init__(name=layer.name, dtype=layer.dtype_policy)
    self._layer = layer

  def call(self, x):
    layer = self._layer
    return max_pool(x, layer.pool_size, layer.strides, layer.padding)

  def compute_output_shape(self, shape):
    return self._layer.compute_output_shape(shape)


def of(classifier):
  """The classifier with `SlicedMaxPool`s, over the same variables."""
  def stand_in(layer):
    pools = isinstance(layer, keras.layers.MaxPooling2D)
    return SlicedMaxPool(layer) if pools else None

  if not any(map(stand_in, classifier.network.layers)):
    return classifier
  return stand_ins.of(classifier, stand_in)
