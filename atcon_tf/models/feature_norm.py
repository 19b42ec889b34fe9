"""Features scaled to one length, with a length that maps see as a constant.

A head of cosines, `logits = W s x / |x| + b`, classifies better from few
images than one on raw features (Chen et al., ICLR 2019, arXiv 1904.04232).
Grad-CAM of such a head would differentiate the length, too, which takes the
features' own direction out of the class weights: its maps point worse. So the
length is a constant where a map's gradient is taken,

    with feature_norm.constant_length():
      g = tape.gradient(score, features)

and differentiated everywhere else: in a loss, and in the second derivative of
a loss that is made of maps.
"""

import contextlib
import threading

import keras
import tensorflow as tf

# The length of all feature vectors: a regularisation of the head then means
# the same for every network and image size.
LENGTH = 10.0


class _Rule(threading.local):
  """The rule of this thread: replicas are traced in threads of their own."""

  constant = False


_rule = _Rule()


@contextlib.contextmanager
def constant_length():
  """Gradients taken in the block treat every length as a constant."""
  before, _rule.constant = _rule.constant, True
  try:
    yield
  finally:
    _rule.constant = before


@tf.custom_gradient
def _length(length):
  """The length itself; `constant_length` stops its gradient."""
  def backward(dy):
    return tf.zeros_like(dy) if _rule.constant else dy

  return tf.identity(length), backward


def _length_of(features):
  """The length of each vector, 1 where it is 0; `[B, 1]`."""
  square = tf.reduce_sum(tf.square(features), -1, keepdims=True)
  # The root of 0 has no derivative.
  return _length(tf.sqrt(tf.where(square > 0, square, tf.ones_like(square))))


@keras.saving.register_keras_serializable("atcon_tf")
class FeatureNorm(keras.layers.Layer):
  """Feature vectors `[B, D]` scaled to a common length; 0 stays 0.

  Example:
    >>> FeatureNorm()(tf.constant([[3., 4.]])).numpy()
    array([[6., 8.]], dtype=float32)
  """

  def __init__(self, length=LENGTH, **kwargs):
    super().__init__(**kwargs)
    self.length = length

  def call(self, features):
    return self.length * features / _length_of(features)

  def factor(self, features):
    """What the vectors `[B, D]` are multiplied by, `[B, 1]`."""
    return self.length / _length_of(features)

  def compute_output_shape(self, shape):
    return shape

  def get_config(self):
    return {**super().get_config(), "length": self.length}
