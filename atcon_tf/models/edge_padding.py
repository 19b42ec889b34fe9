"""Padding by what is there: a reflection, or the edge again and again."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("atcon_tf")
class ReflectionPadding(keras.layers.Layer):
  """Pads rows and columns by reflection, without repeating the edge."""

  def __init__(self, amounts, **kwargs):
    super().__init__(**kwargs)
    self.amounts = amounts

  def call(self, x):
    return tf.pad(x, [[0, 0], *self.amounts, [0, 0]], mode="REFLECT")

  def compute_output_shape(self, shape):
    (top, bottom), (left, right) = self.amounts
    return (shape[0], shape[1] + top + bottom, shape[2] + left + right,
            shape[3])


@keras.saving.register_keras_serializable("atcon_tf")
class EdgePadding(keras.layers.Layer):
  """Pads the axes between batch and channels by their outermost values.

  ATCON's published code pads every convolution of its network of clips so: a
  map of a few frames has no room for a reflection. PyTorch's name for it is
  "replicate".

  Example:
    >>> row = np.reshape([1., 2., 3.], [1, 1, 1, 3, 1])
    >>> EdgePadding([[0, 0], [0, 0], [1, 2]])(row).numpy().ravel()
    array([1., 1., 2., 3., 3., 3.], dtype=float32)
  """

  def __init__(self, amounts, **kwargs):
    """Makes the layer.

    Args:
      amounts: how many values are added before and after each axis,
        `[[before, after], ...]`.
      **kwargs: of a Keras layer.
    """
    super().__init__(**kwargs)
    self.amounts = amounts

  def call(self, x):
    for axis, (before, after) in enumerate(self.amounts, 1):
      first = (slice(None),) * axis + (slice(0, 1),)
      last = (slice(None),) * axis + (slice(x.shape[axis] - 1, None),)
      if before or after:
        x = keras.ops.concatenate(
            [x[first]] * before + [x] + [x[last]] * after, axis)
    return x

  def compute_output_shape(self, shape):
    inner = (n + sum(a) for n, a in zip(shape[1:-1], self.amounts))
    return (shape[0], *inner, shape[-1])

  def get_config(self):
    return {**super().get_config(), "amounts": self.amounts}
