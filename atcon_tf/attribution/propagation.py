"""The network run once more, with rules of one's own for its operations.

Layer-wise relevance propagation, DeepLIFT and FullGrad treat each operation
of a network by its kind. `run` walks the network's graph and hands each
operation to the rule of its kind; a rule returns the operation's output, with
a gradient of its own:

    rules = {"linear": lambda linear, x: ...}
    logits = propagation.run(classifier, x, rules)

`with_value(q, y)` is such an output: it has the value of y and the gradient
of q, in which a factor under `tf.stop_gradient` is a constant. So a rule
needs no backward pass by hand, and batches, `tf.function`, XLA and a
SavedModel work as for any other gradient.

The kinds of operations, and what their rule is given:

- "linear": `(Linear, x)`, a convolution or dense layer, with the batch
  normalisation that is folded into it, without its activation;
- "activation": `(function, x)`, a function of each number alone;
- "max_pool": `(operation, x)`;
- "product": `(a, b)`, two tensors multiplied number by number;
- "unit": `(FeatureNorm, x)`;
- "layer_norm" and "attention": `(layer, *tensors)`, of a Vision Transformer;
- "sum": whatever is linear (or affine) without a kernel, as paddings, sums
  and average pooling. It needs no rule.

An operation of a kind without a rule keeps its own gradient.
"""

import dataclasses
import typing

import keras
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.models import batch_norm_folding
from atcon_tf.models import edge_padding
from atcon_tf.models import feature_norm
from atcon_tf.models import frames_model
from atcon_tf.models import guided_relu
from atcon_tf.models import token_grid
from atcon_tf.models import vit

# Keras's layers and operations by the name of their class.
_SUMS = frozenset("""
    ActivityRegularization Add AlphaDropout Average AveragePooling2D
    AveragePooling3D BatchNormalization Concatenate Cropping2D Cropping3D
    Dropout ExpandDims Flatten GaussianDropout GaussianNoise
    GlobalAveragePooling2D GlobalAveragePooling3D Identity Mean Normalization
    Pad Permute Rescaling Reshape SpatialDropout2D SpatialDropout3D Squeeze
    Subtract Transpose UpSampling2D UpSampling3D ZeroPadding2D
    ZeroPadding3D""".split())
_FUNCTIONS = frozenset("""
    Celu CELU Elu ELU Exp Gelu HardSigmoid HardSilu HardTanh LeakyRelu
    LeakyReLU Mish PReLU Relu ReLU Relu6 Selu Sigmoid Silu Softplus Softsign
    Tanh""".split())
_ACTIVATIONS = frozenset("""
    celu elu exponential gelu hard_sigmoid hard_silu hard_swish hard_tanh
    leaky_relu mish relu relu6 selu sigmoid silu softplus softsign swish
    tanh""".split())
_OWN = {
    guided_relu.GuidedReLU: "activation", feature_norm.FeatureNorm: "unit",
    edge_padding.ReflectionPadding: "sum", token_grid.TokenGrid: "sum",
    token_grid.GridTokens: "sum", vit.Position: "sum", vit.Attend: "sum",
    vit.Attention: "attention", batch_norm_folding.FoldedConvolution: "linear",
    edge_padding.EdgePadding: "sum", frames_model.MergeTime: "sum",
    frames_model.SplitTime: "sum", keras.layers.Conv3D: "linear",
    keras.layers.Conv2D: "linear", keras.layers.DepthwiseConv2D: "linear",
    keras.layers.SeparableConv2D: "linear", keras.layers.Dense: "linear",
    keras.layers.MaxPooling2D: "max_pool",
    keras.layers.GlobalMaxPooling2D: "max_pool",
    keras.layers.MaxPooling3D: "max_pool",
    keras.layers.GlobalMaxPooling3D: "max_pool",
    keras.layers.LayerNormalization: "layer_norm",
}
# Of inputs that are not negative, these give no negative output.
_KEEP_SIGN = frozenset("""
    Add Average AveragePooling2D AveragePooling3D Concatenate Cropping2D
    Cropping3D Dropout EdgePadding Flatten GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalMaxPooling2D GlobalMaxPooling3D Identity
    MaxPooling2D MaxPooling3D MergeTime Permute ReflectionPadding Reshape
    SplitTime UpSampling2D UpSampling3D ZeroPadding2D ZeroPadding3D""".split())


@dataclasses.dataclass(frozen=True)
class Linear:
  """A linear layer, as `apply(x, kernel) + bias`.

  Attributes:
    dense: a dense layer; otherwise a convolution.
    kernel: its kernel, a batch normalisation folded into it.
    bias: `[channels]`, or None.
    apply: `(x, kernel) -> y`, without the bias.
    positive: its input is known not to be negative, anywhere.
  """

  dense: bool
  kernel: tf.Tensor
  bias: tf.Tensor | None
  apply: typing.Callable
  positive: bool = False

  def __call__(self, x, kernel=None, bias=None):
    """The output for x, of this or of another kernel and bias."""
    if kernel is None:
      kernel, bias = self.kernel, self.bias
    y = self.apply(x, kernel)
    return y if bias is None else y + bias


def with_value(gradient, value):
  """A tensor with the gradient of one tensor and the value of another."""
  return gradient + tf.stop_gradient(value - gradient)


def kind(operation):
  """The kind of an operation (see the top of this file); None: unknown."""
  if isinstance(operation, keras.layers.Activation):
    return "activation" if _is_activation(operation.activation) else None
  if type(operation) in _OWN:
    known = _OWN[type(operation)]
    activation = getattr(operation, "activation", None)
    if known == "linear" and activation is not None and (
        activation is not keras.activations.linear) and (
            not _is_activation(activation)):
      return None
    if known == "layer_norm" and (
        operation.axis not in (-1, [-1]) or operation.rms_scaling):
      return None
    return known
  for found, names in (("sum", _SUMS), ("activation", _FUNCTIONS),
                       ("product", ("Multiply",))):
    if any(guided_relu.is_keras(operation, name) for name in names):
      return found
  return None


def _is_activation(function):
  """Whether it is one of Keras's functions of each number alone."""
  return getattr(function, "__name__", "") in _ACTIVATIONS and (
      function.__module__.partition(".")[0] == "keras")


def check(classifier, name, kinds):
  """Refuses a network with an operation for which a method has no rule.

  Args:
    classifier: a `models.Classifier`.
    name: of the method.
    kinds: of the operations that the method knows, besides "linear" and
      "sum".
  Raises:
    UserError: naming the layer.
  """
  for operation in classifier.folded.operations:
    if isinstance(operation, keras.layers.InputLayer):
      continue
    if kind(operation) not in {"linear", "sum", *kinds}:
      raise UserError(
          f"{name}: {classifier.name} has the layer {operation.name} "
          f"({type(operation).__name__}), for which {name} has no rule; use "
          "integrated_gradients instead")


def run(classifier, x, rules):
  """The logits, with the gradients of the rules.

  Args:
    classifier: a `models.Classifier`.
    x: normalised images `[B, H, W, 3]`.
    rules: `{kind: fn(...) -> output}`; see the top of this file.
  Returns:
    `[B, classes]`.
  """
  positive = {}  # the tensors themselves: an id alone may be given away

  def call(operation, *args, **kwargs):
    inputs = [a for a in keras.tree.flatten(args) if tf.is_tensor(a)]
    signless = all(id(a) in positive for a in inputs)
    output = _call(operation, args, kwargs, rules, signless)
    if isinstance(operation, guided_relu.GuidedReLU) or (
        signless and type(operation).__name__ in _KEEP_SIGN):
      positive[id(output)] = output
    return output

  output = classifier.folded._run_through_graph(x, call_fn=call)
  return keras.tree.flatten(output)[-1]


def _call(operation, args, kwargs, rules, positive):
  """The output of one operation, by the rule of its kind."""
  found = kind(operation)
  if found == "linear":
    y = args[0]
    for linear in _linear(operation, positive):
      y = rules.get("linear", Linear.__call__)(
          linear, tf.cast(y, operation.compute_dtype))
    function = getattr(operation, "activation", keras.activations.linear)
    if function is keras.activations.linear:
      return y
    return rules.get("activation", lambda f, z: f(z))(function, y)
  tensors = keras.tree.flatten(args)
  is_product = found == "product" and all(map(tf.is_tensor, tensors))
  if found in rules and (is_product or found != "product"):
    own = getattr(operation, "compute_dtype", tensors[0].dtype)
    tensors = [tf.cast(t, own) for t in tensors]
    return rules[found](*tensors) if is_product else (
        rules[found](operation, *tensors))
  if getattr(operation, "_call_has_training_arg", False):
    kwargs = {**kwargs, "training": False}
  return operation(*args, **kwargs)


def _linear(operation, positive):
  """The one or two linear layers of a convolution or dense layer."""
  def cast(*tensors):
    return [None if t is None else tf.cast(t, operation.compute_dtype)
            for t in tensors]

  if isinstance(operation, batch_norm_folding.FoldedConvolution):
    return [Linear(False, *cast(*operation.kernel_and_offset()),
                   lambda x, kernel: batch_norm_folding.convolve(
                       operation.convolution, x, kernel), positive)]
  bias = operation.bias if operation.use_bias else None
  if isinstance(operation, keras.layers.Dense):
    return [Linear(True, *cast(operation.kernel, bias), tf.matmul, positive)]
  if not isinstance(operation, keras.layers.SeparableConv2D):
    return [Linear(False, *cast(operation.kernel, bias),
                   lambda x, kernel: batch_norm_folding.convolve(
                       operation, x, kernel), positive)]
  depthwise, pointwise, bias = cast(operation.depthwise_kernel,
                                    operation.pointwise_kernel, bias)
  return [
      Linear(False, depthwise, None, lambda x, kernel: (
          keras.ops.depthwise_conv(
              x, kernel, strides=tuple(operation.strides),
              padding=operation.padding,
              dilation_rate=tuple(operation.dilation_rate))), positive),
      Linear(False, pointwise, bias, lambda x, kernel: tf.nn.conv2d(
          x, kernel, 1, "VALID"))]
