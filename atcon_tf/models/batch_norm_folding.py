"""Frozen batch normalisation, folded into the convolution before it.

With its moving statistics, `BN(conv(x, W) + b)` is one convolution:

    s = gamma / sqrt(variance + epsilon)
    y = conv(x, W s) + beta + (b - mean) s

The same numbers, without a graph over the activations for each operation of
the normalisation and for each of its derivatives. W, gamma and beta are
trained as before, through the product, and batch statistics are still there
to be trained with.
"""

import collections

import keras
import tensorflow as tf

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


class FoldedConvolution(keras.layers.Layer):
  """A convolution and the batch normalisation after it, as one layer."""

  def __init__(self, convolution, normalization):
    """Owns nothing: both layers are shared with the graph they are from."""
    # No autocast: the product is made in the precision of the variables.
    super().__init__(name=f"{convolution.name}_{normalization.name}",
                     dtype=convolution.dtype_policy, autocast=False)
    self.convolution, self.normalization = convolution, normalization

  def build(self, input_shape):
    pass  # both layers are

  def call(self, x, training=False):
    """`training=True`: normalises by, and learns, the batch's statistics."""
    convolution, norm = self.convolution, self.normalization
    if training:
      return norm(convolution(x), training=True)
    scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
    if norm.scale:
      scale *= norm.gamma
    offset = -norm.moving_mean * scale
    if norm.center:
      offset += norm.beta
    if convolution.use_bias:
      offset += convolution.bias * scale
    kernel = convolution.kernel * _like_kernel(convolution, scale)
    x, kernel, offset = (tf.cast(t, self.compute_dtype)
                         for t in (x, kernel, offset))
    return tf.nn.bias_add(_convolve(convolution, x, kernel), offset)

  def compute_output_shape(self, input_shape):
    return self.convolution.compute_output_shape(input_shape)


def _like_kernel(layer, scale):
  """A number for each output channel, shaped to multiply the kernel."""
  if type(layer) is keras.layers.DepthwiseConv2D:
    return tf.reshape(scale, [1, 1, *layer.kernel.shape[2:]])
  return scale


def _convolve(layer, x, kernel):
  """What the layer does but for its bias, with another kernel."""
  if type(layer) is keras.layers.DepthwiseConv2D:
    return keras.ops.depthwise_conv(
        x, kernel, strides=tuple(layer.strides), padding=layer.padding,
        dilation_rate=tuple(layer.dilation_rate))
  return layer.convolution_op(x, kernel)


def fold(model):
  """The same functional model, every pair that allows it folded.

  Folded is a convolution without an activation whose output nothing but a
  batch normalisation reads: not where it is an output of the model, that is,
  where a map is taken before the normalisation.

  Args:
    model: a functional model without models inside, channels last.
  Returns:
    a model over the same inputs, layers and variables.
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
        [_normalizes(reader.operation) for reader in readers[output]]
        == [True])

  tensors, pairs = {id(x): x for x in model.inputs}, {}
  for node in order:
    if node.is_input or is_folded(node):
      continue
    before = made_by[id(node.input_tensors[0])]
    if is_folded(before):
      pair = before.operation, node.operation
      if pair not in pairs:  # layers may be called again
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
  return type(operation) in _CONVOLUTIONS and (
      operation.activation is keras.activations.linear
      and operation.data_format == "channels_last")


def _normalizes(operation):
  return type(operation) is keras.layers.BatchNormalization and (
      operation.axis in (-1, 3))
