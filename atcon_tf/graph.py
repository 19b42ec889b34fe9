"""A Keras model's graph, run once more over the same layers.

`rerun` is how a classifier gets its guided ReLUs, its reflected padding and
its feature maps without touching the model it was given: every layer object,
and so every variable, is shared; only the calls are new.
"""

import keras
import tensorflow as tf

from atcon_tf import geometry as geometry_lib
from atcon_tf import guided
from atcon_tf.config import UserError


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


class Rerun:
  """One walk through a model's graph.

  Attributes:
    outputs: the symbolic outputs of the new graph.
    tensors: `{layer name: its output}`; a layer inside a nested model is
      also known as "nested/layer".
    geometry: `{layer name: its cells' place on the image}`.
    swapped: number of ReLUs that now know the guided rule.
  """

  def __init__(self, model, inputs, reflect_padding=False, logits=False):
    """Runs `model` on the symbolic `inputs`.

    Args:
      model: a functional or Sequential Keras model.
      inputs: a `keras.Input`, of any size that the layers can take.
      reflect_padding: convolutions pad by reflection instead of zeros.
      logits: leave out a final softmax or sigmoid.
    """
    self.tensors, self.geometry, self.swapped = {}, {}, 0
    self._reflect = reflect_padding
    self._final = _final_operation(model) if logits else None
    self._place = {id(inputs): geometry_lib.IDENTITY}
    self.outputs = self._walk(model, inputs, "")

  def _walk(self, model, inputs, prefix):
    graph = functional_of(model)

    def call(operation, *args, **kwargs):
      if isinstance(operation, keras.Model):
        output = self._walk(operation, args[0], f"{prefix}{operation.name}/")
      else:
        output = self._call(operation, args, kwargs)
      for name in {operation.name, prefix + operation.name}:
        self.tensors[name] = output
        self.geometry[name] = self._place.get(id(output))
      return output

    # clone_model() would end in a new model whose tensors are cut off from
    # `inputs`; the walk underneath it is what is wanted here.
    return graph._run_through_graph(inputs, call_fn=call)

  def _call(self, operation, args, kwargs):
    source = keras.tree.flatten(args)[0] if args else None
    place = self._place.get(id(source), geometry_lib.IDENTITY)
    shape = getattr(source, "shape", None)
    if operation is self._final and _is_probability(operation):
      return source
    relu = guided.guided_version(operation)
    fused = guided.guided_version(guided.fused_activation(operation))
    if relu is not None:
      output = relu(*args)
    elif fused is not None:
      bare = self._padded(operation, args, kwargs, shape,
                          {"activation": keras.activations.linear})
      output = fused(bare)
    elif operation is self._final and _is_probability(
        guided.fused_activation(operation)):
      output = guided.Altered(
          operation, activation=keras.activations.linear)(*args)
    else:
      output = self._padded(operation, args, kwargs, shape, {})
    self.swapped += relu is not None or fused is not None
    if isinstance(output, keras.KerasTensor):
      self._place[id(output)] = geometry_lib.follow(operation, place, shape)
    return output

  def _padded(self, operation, args, kwargs, shape, settings):
    """Calls a layer, its zero padding replaced by reflection if asked."""
    window = getattr(operation, "kernel_size", (1, 1))
    if self._reflect and isinstance(operation, keras.layers.ZeroPadding2D):
      return ReflectionPadding(operation.padding)(*args)
    if self._reflect and max(window) > 1 and operation.padding == "same":
      amounts = [geometry_lib.same_padding(
          shape[1 + axis], (window[axis] - 1) * dilation + 1,
          operation.strides[axis])
          for axis, dilation in enumerate(operation.dilation_rate)]
      if max(shape[1:3]) <= max(map(max, amounts)):
        raise UserError(
            f"--reflect_padding: the map at layer {operation.name} is only "
            f"{shape[1]}x{shape[2]}; use a larger --image_size")
      args = (ReflectionPadding(amounts)(*args),)
      settings = {**settings, "padding": "valid"}
    if settings:
      return guided.Altered(operation, **settings)(*args)
    return operation(*args, **kwargs)


_PROBABILITIES = (keras.activations.softmax, keras.activations.sigmoid)


def _is_probability(operation):
  """Whether this is a softmax or sigmoid: a layer, an op or a function."""
  if isinstance(operation, keras.layers.Activation):
    operation = operation.activation
  return operation in _PROBABILITIES or (
      type(operation).__name__ in ("Softmax", "Sigmoid"))


def _final_operation(model):
  """The innermost operation that gives a model's first output."""
  operation = model.outputs[0]._keras_history.operation
  if isinstance(operation, keras.Model):
    return _final_operation(functional_of(operation))
  return operation


def functional_of(model):
  """The functional graph of a functional or Sequential model.

  Raises:
    UserError: a subclassed model has no graph to walk.
  """
  if isinstance(model, keras.Sequential):
    return keras.Model(model.inputs, model.outputs[0])
  if not hasattr(model, "_run_through_graph"):
    raise UserError(
        f"model {model.name}: must be a functional or Sequential Keras "
        "model; a subclassed one has no graph to take maps from")
  return model
