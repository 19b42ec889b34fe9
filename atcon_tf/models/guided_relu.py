"""ReLUs whose backward rule is chosen when the gradient is taken.

Guided backpropagation (Springenberg et al., "Striving for Simplicity",
arXiv 1412.6806) lets a ReLU pass the gradient `dy` only where `y > 0` and
`dy > 0`. The forward pass is that of a plain ReLU, so one pass serves both
rules:

    with tf.GradientTape() as tape:
      tape.watch(x)
      y = guided_relu.relu(x)
    with guided_relu.guided_rule():
      g = tape.gradient(y, x)

The gates are constants in a second derivative, as in the papers' code. Do
not call the forward pass inside a `tf.function` of its own: its backward pass
is traced together with it, by the plain rule, and `guided_rule` has no effect
on it later. `attribution.registry.check` refuses such a network.
"""

import contextlib
import threading

import keras
import tensorflow as tf


class _Rule(threading.local):
  """The rule of this thread: replicas are traced in threads of their own."""

  guided = False


_rule = _Rule()


@contextlib.contextmanager
def guided_rule():
  """Makes gradients taken in the block follow the guided rule."""
  before, _rule.guided = _rule.guided, True
  try:
    yield
  finally:
    _rule.guided = before


def relu(x, max_value=None):
  """ReLU, or ReLU6 with `max_value=6`, whose gradient `guided_rule` changes.

  Raises:
    ValueError: another `max_value`.
  """
  if max_value not in (None, 6):
    raise ValueError(f"max_value={max_value}: must be None or 6")

  @tf.custom_gradient
  def forward(x):
    y = tf.nn.relu6(x) if max_value else tf.nn.relu(x)

    def backward(dy):
      gate = tf.stop_gradient(y)

      def passed(dy):
        if max_value:
          return tf.raw_ops.Relu6Grad(gradients=dy, features=gate)
        return tf.raw_ops.ReluGrad(gradients=dy, features=gate)

      return _guided(passed, dy) if _rule.guided else passed(dy)

    return y, backward

  return forward(x)


def _guided(passed, dy):
  """`passed(relu(dy))`; its derivative is 1 where it is positive, else 0.

  That is one operation, where those of the two functions are two.
  """
  @tf.custom_gradient
  def rule(dy):
    dx = passed(tf.nn.relu(dy))
    return dx, lambda ddx: tf.raw_ops.ReluGrad(
        gradients=ddx, features=tf.stop_gradient(dx))

  return rule(dy)


@keras.saving.register_keras_serializable("atcon_tf")
class GuidedReLU(keras.layers.Layer):
  """`relu` as a layer."""

  def __init__(self, max_value=None, **kwargs):
    super().__init__(**kwargs)
    self.max_value = max_value

  def call(self, x):
    return relu(x, self.max_value)

  def compute_output_shape(self, input_shape):
    return input_shape

  def get_config(self):
    return {**super().get_config(), "max_value": self.max_value}


def altered(layer, **settings):
  """A copy of a layer with other attributes and the same variables.

  It makes a convolution without its fused ReLU, or with "valid" instead of
  "same" padding. The layer itself is not changed.

  Args:
    layer: a Keras layer that is built.
    **settings: attributes of the copy.
  """
  # copy.copy calls Keras's __reduce__, which would create new variables.
  twin = object.__new__(type(layer))
  twin.__dict__.update(layer.__dict__, _inbound_nodes=[], _outbound_nodes=[],
                       **settings)
  return twin


_LAYERS = keras.layers
_FUSING = (
    _LAYERS.Conv1D, _LAYERS.Conv2D, _LAYERS.Conv3D, _LAYERS.Conv1DTranspose,
    _LAYERS.Conv2DTranspose, _LAYERS.Conv3DTranspose, _LAYERS.DepthwiseConv1D,
    _LAYERS.DepthwiseConv2D, _LAYERS.SeparableConv1D, _LAYERS.SeparableConv2D,
    _LAYERS.Dense, _LAYERS.EinsumDense)


def fused_activation(layer):
  """The activation inside a convolution or dense layer; None otherwise."""
  return layer.activation if isinstance(layer, _FUSING) else None


def guided_version(operation, name=None, dtype=None):
  """The `GuidedReLU` in place of a ReLU; None for anything else.

  These are ReLUs: `layers.ReLU`, `Activation("relu")`, `Activation("relu6")`,
  `keras.ops.relu`, `keras.ops.relu6` and the functions
  `keras.activations.relu` and `relu6`, which a layer may have fused into it.
  A ReLU with a negative slope, a threshold or a ceiling other than 6 has no
  guided rule.

  Args:
    operation: a layer, an operation or a function.
    name: of the new layer.
    dtype: of the new layer if `operation` has no dtype policy of its own.
  """
  kind = operation
  if isinstance(operation, keras.layers.Activation):
    kind = operation.activation
  if isinstance(kind, GuidedReLU) or is_keras(kind, "ReLU"):
    if getattr(kind, "negative_slope", 0) or getattr(kind, "threshold", 0) or (
        kind.max_value not in (None, 6)):
      return None
    ceiling = kind.max_value
  elif kind is keras.activations.relu or is_keras(kind, "Relu"):
    ceiling = None
  elif kind is keras.activations.relu6 or is_keras(kind, "Relu6"):
    ceiling = 6
  else:
    return None
  return GuidedReLU(ceiling, name=name,
                    dtype=getattr(operation, "dtype_policy", dtype))


def is_keras(kind, name):
  """Whether `kind` is Keras's own layer or operation with this class name."""
  return type(kind).__name__ == name and (
      type(kind).__module__.partition(".")[0] == "keras")
