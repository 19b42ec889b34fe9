"""Frozen batch normalisation, folded into the convolution before it.

With the moving statistics, `BN(conv(x, W) + b)` is one convolution:

    s = gamma / sqrt(variance + epsilon)
    y = conv(x, W s) + beta + (b - mean) s

The result is the same, but no operation of the normalisation, and none of
its derivatives, runs over the activations. Where W has more numbers than the
outputs of a small batch, as in the last layers of many networks, the scale
comes after the convolution, `conv(x, W) s`, which is cheaper there. W, gamma
and beta are trained through the product. With `training=True` the two layers
run one after the other, on the statistics of the batch.
"""

import collections
import contextlib
import math
import threading

import keras
import tensorflow as tf

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D,
                 keras.layers.Conv3D)
# The images of a small batch. It is the same for all batches, so that an image
# gives the same bits in any of them.
FEW = 8


class _Shared(threading.local):
  """The kernels of this thread: replicas are traced in threads of their own.
  """

  kernels = None


_shared = _Shared()


@contextlib.contextmanager
def shared_kernels():
  """Several passes in the block share the folded kernels, computed once.

  The weights must not change in the block. A gradient that reaches them needs
  a tape around the block, or inside it around all passes.
  """
  before, _shared.kernels = _shared.kernels, {}
  try:
    yield
  finally:
    _shared.kernels = before


class FoldedConvolution(keras.layers.Layer):
  """A convolution and the batch normalisation after it, as one layer."""

  def __init__(self, convolution, normalization):
    """Shares both layers with the graph that they are from.

    Args:
      convolution: one of `_CONVOLUTIONS` without an activation.
      normalization: the BatchNormalization that reads it.
    """
    # No autocast: the product is made in the precision of the variables.
    super().__init__(name=f"{convolution.name}_{normalization.name}",
                     dtype=convolution.dtype_policy, autocast=False)
    self.convolution, self.normalization = convolution, normalization

  def build(self, input_shape):
    pass  # both layers are built already

  def call(self, x, training=False):
    """The normalised convolution of x.

    Args:
      x: `[B, h, w, C]` or `[B, t, h, w, C]`.
      training: normalise by the statistics of the batch and update the
        moving ones; otherwise normalise by the moving statistics.
    """
    if training:
      return self.normalization(self.convolution(x), training=True)
    x = tf.cast(x, self.compute_dtype)
    if self._has_large_kernel(x):
      kernel, scale, offset = self._shared_parts("apart", lambda: (
          tf.convert_to_tensor(self.convolution.kernel),
          *self._scale_and_offset()))
      return tf.nn.bias_add(
          convolve(self.convolution, x, kernel) * scale, offset)
    kernel, offset = self._shared_parts("folded", self.kernel_and_offset)
    return tf.nn.bias_add(convolve(self.convolution, x, kernel), offset)

  def _has_large_kernel(self, x):
    """Whether W has more numbers than the outputs of `FEW` images."""
    shape = self.convolution.compute_output_shape(x.shape)[1:]
    return None not in shape and FEW * math.prod(shape) < math.prod(
        self.convolution.kernel.shape)

  def _shared_parts(self, name, function):
    """What a function gives, in the precision of the layer.

    In `shared_kernels` it is computed once.
    """
    def cast():
      return [tf.cast(t, self.compute_dtype) for t in function()]

    if _shared.kernels is None:
      return cast()
    # A loop in the block has a graph of its own, which may read what the
    # graph around it has computed, but not the other way round.
    graph = None if tf.executing_eagerly() else (
        tf.compat.v1.get_default_graph())
    key, around = (id(self), name, graph), graph
    while around is not None and (id(self), name, around) not in (
        _shared.kernels):
      around = getattr(around, "outer_graph", None)
    if around is not None:
      key = id(self), name, around
    if key not in _shared.kernels:
      _shared.kernels[key] = cast()
    return _shared.kernels[key]

  def _scale_and_offset(self):
    """s and `beta + (b - mean) s`, in the variables' precision."""
    convolution, norm = self.convolution, self.normalization
    scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
    if norm.scale:
      scale *= norm.gamma
    offset = -norm.moving_mean * scale
    if norm.center:
      offset += norm.beta
    if convolution.use_bias:
      offset += convolution.bias * scale
    return scale, offset

  def kernel_and_offset(self):
    """`W s` and `beta + (b - mean) s`, in the variables' precision."""
    scale, offset = self._scale_and_offset()
    return (self.convolution.kernel * _like_kernel(self.convolution, scale),
            offset)

  def compute_output_shape(self, input_shape):
    return self.convolution.compute_output_shape(input_shape)


def _like_kernel(layer, scale):
  """`scale`, one number for each output channel, shaped like the kernel."""
  if type(layer) is keras.layers.DepthwiseConv2D:
    return tf.reshape(scale, [1, 1, *layer.kernel.shape[2:]])
  return scale


def convolve(layer, x, kernel):
  """The convolution of a layer with another kernel and without its bias."""
  if type(layer) is keras.layers.DepthwiseConv2D:
    return keras.ops.depthwise_conv(
        x, kernel, strides=tuple(layer.strides), padding=layer.padding,
        dilation_rate=tuple(layer.dilation_rate))
  return layer.convolution_op(x, kernel)


def fold(model):
  """The same functional model with its batch normalisations folded.

  A convolution is folded if it has no activation and if its output is read by
  one batch normalisation and by nothing else. So it is not folded if its
  output is an output of the model, that is, a map.

  Args:
    model: a functional model without models inside, channels last.
  Returns:
    a new model over the same inputs, layers and variables.
  """
  readers = collections.defaultdict(list)
  made_by, order = {}, []
  for depth in sorted(model._nodes_by_depth, reverse=True):
    for node in model._nodes_by_depth[depth]:
      order.append(node)
      for tensor in node.input_tensors:
        readers[id(tensor)].append(node)
      for tensor in node.outputs:
        made_by[id(tensor)] = node
  ends = {id(tensor) for tensor in model.outputs}

  def is_folded(node):
    """Whether a convolution becomes a part of the only node that reads it."""
    output = id(node.outputs[0])
    return output not in ends and _is_plain(node.operation) and (
        [_normalizes(reader) for reader in readers[output]] == [True])

  tensors, pairs = {id(x): x for x in model.inputs}, {}
  for node in order:
    if node.is_input or is_folded(node):
      continue
    before = made_by[id(node.input_tensors[0])]
    if is_folded(before):
      pair = before.operation, node.operation
      if pair not in pairs:  # layers may be called several times
        pairs[pair] = FoldedConvolution(*pair)
      output = pairs[pair](tensors[id(before.input_tensors[0])])
    else:
      args, kwargs = node.arguments.fill_in(tensors)
      output = node.operation(*args, **kwargs)
    for old, new in zip(node.outputs, keras.tree.flatten(output)):
      tensors[id(old)] = new
  return keras.Model(model.input, [tensors[id(x)] for x in model.outputs],
                     name=model.name)


def _is_plain(operation):
  """Whether an operation is a convolution without an activation."""
  return type(operation) in _CONVOLUTIONS and (
      operation.activation is keras.activations.linear
      and operation.data_format == "channels_last")


def _normalizes(node):
  """Whether a node is a batch normalisation of the channels."""
  return type(node.operation) is keras.layers.BatchNormalization and (
      node.operation.axis in (-1, len(node.input_tensors[0].shape) - 1))
