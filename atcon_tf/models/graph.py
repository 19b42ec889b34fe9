"""A Keras model's graph, built once more over the same layers.

`ModelGraph` gives a classifier its guided ReLUs, its reflected padding and its
feature maps without a change of the model: the new graph shares every layer
object, and so every variable, with the model; only the calls are new.
"""

import keras

from atcon_tf.config import UserError
from atcon_tf.models.edge_padding import EdgePadding
from atcon_tf.models.edge_padding import ReflectionPadding
from atcon_tf.models import frames_model
from atcon_tf.models import geometry
from atcon_tf.models import guided_relu
from atcon_tf.models import token_grid


class ModelGraph:
  """A model's graph, built once more over its layers.

  Attributes:
    outputs: the symbolic outputs of the new graph.
    tensors: `{layer name: its output}`; a layer inside a nested model has
      the second name "nested/layer".
    geometry: `{layer name: geometry of its cells}`; see `models/geometry.py`.
    guided_relus: number of ReLUs that follow the guided rule.
    left_out: the final "softmax" or "sigmoid" that was left out, or "".
    half: the dtype policy of layers in half precision, which run in float32
      here, or "".
    merged: whether a part of it runs the frames of clips as a batch of images
      (`frames_model.py`).
    end: the operation that gives the model's output.
  """

  def __init__(self, model, inputs, reflect_padding=False, logits=False,
               name="", stand_in=None):
    """Runs `model` on the symbolic `inputs`.

    Args:
      model: a functional or Sequential Keras model.
      inputs: a `keras.Input`, of any size that the layers take.
      reflect_padding: convolutions pad by reflection instead of zeros; those
        of clips repeat the edge.
      logits: leave out a final softmax or sigmoid.
      name: of the model, for messages; empty: its own.
      stand_in: function of a layer that gives the layer in its place, or None;
        None: no layer is replaced but ReLUs and what is said above.
    """
    self.tensors, self.geometry, self.guided_relus = {}, {}, 0
    self.left_out, self.half, self.merged = "", "", False
    self._name, self._stand_in = name or model.name, stand_in
    self.end = _final_operation(functional_of(model))
    self._reflect = reflect_padding
    self._final = self.end if logits else None
    self._stand_ins = {}
    self._names = {inputs._keras_history.operation.name}
    self._size = inputs.shape[1:-1]
    # Each tensor is kept beside its place: Python may give the id of a
    # deleted tensor to another one.
    self._place = {id(inputs): (inputs, geometry.identity(len(self._size)))}
    self.outputs = self._build(model, inputs, "")

  def end_at(self, inputs, output):
    """Forgets the layers that an output does not depend on."""
    operations = keras.Model(inputs, output).operations
    kept = {id(operation) for operation in operations}
    self.guided_relus = sum(
        isinstance(o, guided_relu.GuidedReLU) for o in operations)
    self.tensors = {name: tensor for name, tensor in self.tensors.items()
                    if id(tensor._keras_history.operation) in kept}

  def map_size(self, tensor):
    """Cells of an output along each axis of the input; (): it is no map.

    `(rows, columns)` in a network of images, `(times, rows, columns)` in one
    of clips.
    """
    shape = tuple(getattr(tensor, "shape", ()))
    if len(shape) == len(self._size) + 2:
      return shape[1:-1]
    if self.merged and len(shape) == 4:
      return (self._size[0], *shape[1:-1])
    return ()

  def unique(self, name):
    """A layer name that the new graph does not have yet."""
    new, number = name, 1
    while new in self._names:
      new, number = f"{name}_{number}", number + 1
    self._names.add(new)
    return new

  def _build(self, model, inputs, prefix):
    """Calls all operations of `model`; notes their outputs by name."""
    graph = functional_of(model)

    def call(operation, *args, **kwargs):
      if not args:  # called by keyword: layer(inputs=x)
        args = (kwargs.pop(next(iter(kwargs))),)
      inner = (operation, args[0]) if isinstance(operation, keras.Model) else (
          token_grid.opened(operation, args, kwargs))
      if inner:
        output = self._build(*inner, f"{prefix}{operation.name}/")
      else:
        output = self._call(operation, args, kwargs)
      if not isinstance(output, keras.KerasTensor):
        return output
      for name in dict.fromkeys([operation.name, prefix + operation.name]):
        self.tensors.pop(name, None)  # its last call gives its place
        self.tensors[name] = output
        self.geometry[name] = self._place.get(id(output), (None, None))[1]
      return output

    # clone_model() would give a model over new inputs; this runs the
    # operations of the graph on `inputs`.
    return graph._run_through_graph(inputs, call_fn=call)

  def _call(self, operation, args, kwargs):
    """The output of one operation that is not a model."""
    source = next(x for x in keras.tree.flatten(args)
                  if isinstance(x, keras.KerasTensor))
    if self._leaves_out(operation, operation):
      return source
    self.merged |= isinstance(operation, frames_model.MergeTime)
    if isinstance(operation, keras.layers.MultiHeadAttention):
      args, kwargs = self._on_grid(operation, source, args, kwargs)
    if self._reflect and isinstance(operation, _PADDING):
      output = self._reflected(operation, source, operation.padding)
    else:
      if self._reflects(operation):
        args = (self._reflected(operation, source,
                                _same_padding(operation, source)),)
      output = self._run(operation, source.dtype, args, kwargs)
    if isinstance(output, keras.KerasTensor):
      self._locate(operation, source, output)
    return output

  def _on_grid(self, attention, tokens, args, kwargs):
    """The arguments of an attention layer, with its tokens on their grid."""
    found = len(tokens.shape) == 3 and not isinstance(
        tokens._keras_history.operation, token_grid.GridTokens) and (
            token_grid.find(tokens))
    if not found:
      return args, kwargs
    grid, source = found
    name = self.unique(f"{attention.name}_grid")
    cells = token_grid.TokenGrid(grid, name=name, dtype=tokens.dtype)(tokens)
    same = token_grid.GridTokens(name=self.unique(f"{attention.name}_tokens"),
                                 dtype=tokens.dtype)(tokens, cells)
    place = self._place.get(id(source), (None, None))[1]
    self._place[id(cells)] = cells, place and geometry.recut(
        place, source.shape[1:3], grid)
    self.tensors[name], self.geometry[name] = cells, self._place[id(cells)][1]
    return keras.tree.map_structure(
        lambda x: same if x is tokens else x, (args, kwargs))

  def _run(self, operation, dtype, args, kwargs):
    """Calls the layers that stand in for an operation."""
    if id(operation) not in self._stand_ins:
      self._stand_ins[id(operation)] = self._layers_for(operation, dtype)
    first, *rest = self._stand_ins[id(operation)]
    output = first(*args, **kwargs)
    for layer in rest:
      output = layer(output)
    return output

  def _layers_for(self, operation, dtype):
    """The layers that stand in for an operation, over the same variables."""
    name = self.unique(operation.name)
    given = self._stand_in and self._stand_in(operation)
    if given:
      return [given]
    policy = self._policy(operation)
    relu = guided_relu.guided_version(operation, name, dtype)
    if relu is not None:
      self.guided_relus += 1
      relu.dtype_policy = policy or relu.dtype_policy
      return [relu]
    settings = {} if name == operation.name else {"name": name}
    if policy:
      settings["_dtype_policy"] = policy
    if self._reflects(operation):
      settings["padding"] = "valid"
    activation = guided_relu.fused_activation(operation)
    relu = guided_relu.guided_version(activation)
    if relu is not None:
      self.guided_relus += 1
      relu = guided_relu.GuidedReLU(
          relu.max_value, dtype=policy or operation.dtype_policy,
          name=self.unique(f"{operation.name}_relu"))
    if relu is not None or self._leaves_out(operation, activation):
      settings["activation"] = keras.activations.linear
    layer = operation
    if settings:
      layer = guided_relu.altered(operation, **settings)
    return [layer] if relu is None else [layer, relu]

  def _policy(self, operation):
    """float32 for a layer that computes in half precision; None otherwise.

    Maps, similarities and losses need the precision; the variables have it.
    """
    if getattr(operation, "data_format", None) == "channels_first":
      raise UserError("model", self._name,
                      f"its layer {operation.name} is of channels_first "
                      "images; maps are made of channels_last ones")
    if getattr(operation, "compute_dtype", "") not in ("float16", "bfloat16"):
      return None
    self.half = operation.dtype_policy.name
    if operation.variables and operation.variable_dtype != "float32":
      raise UserError("model", self._name,
                      f"the weights of its layer {operation.name} are "
                      f"{self.half}; convert the model to float32, or train "
                      f"it under mixed_{self.half}, which keeps float32 "
                      "weights")
    return keras.dtype_policies.DTypePolicy("float32")

  def _leaves_out(self, operation, activation):
    """Whether this is the final softmax or sigmoid, which is left out."""
    kind = _probability(activation) if operation is self._final else ""
    self.left_out = self.left_out or kind
    return bool(kind)

  def _reflects(self, operation):
    """Whether an operation is a convolution that shall pad by reflection."""
    return self._reflect and isinstance(operation, geometry.WINDOWED) and (
        operation.padding == "same" and max(operation.kernel_size) > 1)

  def _reflected(self, operation, source, amounts):
    """The input of a layer, padded by reflection; of clips, by the edge."""
    name = self.unique(f"{operation.name}_pad")
    if len(source.shape) == 5:
      return EdgePadding(amounts, name=name, dtype=source.dtype)(source)
    if any(size <= max(amount)
           for size, amount in zip(source.shape[1:3], amounts)):
      raise UserError("reflect_padding", None,
                      f"the map at layer {operation.name} is only "
                      f"{source.shape[1]}x{source.shape[2]}; use a larger "
                      "--image_size")
    return ReflectionPadding(amounts, name=name, dtype=source.dtype)(source)

  def _locate(self, operation, source, output):
    """Stores the geometry of an output."""
    cells, axes = tuple(output.shape[1:-1]), len(self._size)
    if not 2 <= len(cells) <= axes or None in cells:
      return
    known = self._place.get(id(source))
    if known and isinstance(operation, _REGROUPING):
      place = known[1]
    elif known and len(source.shape) == len(output.shape):
      # Frames in a batch: their place in time stays.
      first, own = known[1][:-len(cells)], known[1][-len(cells):]
      place = first + geometry.follow(operation, own, source.shape,
                                      output.shape)
    else:  # cells made of a vector or of tokens cover the whole image
      own = self._size[-len(cells):]
      place = geometry.identity(axes - len(cells)) + geometry.recut(
          geometry.identity(len(cells)), own, cells)
    self._place[id(output)] = output, place


_PADDING = (keras.layers.ZeroPadding2D, keras.layers.ZeroPadding3D)
_REGROUPING = (frames_model.MergeTime, frames_model.SplitTime)


def _same_padding(layer, source):
  """What "same" pads before and after each axis of `source`."""
  return [geometry.same_padding(size, (window - 1) * dilation + 1, step)
          for size, window, dilation, step in zip(
              source.shape[1:-1], layer.kernel_size, layer.dilation_rate,
              layer.strides)]


def _probability(operation):
  """"softmax" or "sigmoid" if an operation is one; "" otherwise.

  Args:
    operation: a layer, an operation or a function.
  """
  if isinstance(operation, keras.layers.Activation):
    operation = operation.activation
  for kind in ("softmax", "sigmoid"):
    if operation is getattr(keras.activations, kind) or guided_relu.is_keras(
        operation, kind.capitalize()):
      return kind
  return ""


def _final_operation(model):
  """The innermost operation that gives a model's first output.

  Operations behind it that pass a vector on as it is are skipped: a cast, a
  linear activation, dropout.
  """
  tensor = model.outputs[0]
  while True:
    operation, node, _ = tensor._keras_history
    if isinstance(operation, keras.Model):
      return _final_operation(functional_of(operation))
    sources = operation._inbound_nodes[node].input_tensors
    if not _passes_on(operation) or len(sources) != 1 or (
        sources[0].shape != tensor.shape):
      return operation
    tensor = sources[0]


def _passes_on(operation):
  """Whether an operation leaves values as they are, outside of training."""
  layers = keras.layers
  if isinstance(operation, layers.Activation):
    return operation.activation is keras.activations.linear
  return isinstance(operation, (
      layers.Identity, layers.Dropout, layers.Flatten, layers.Reshape)) or (
          guided_relu.is_keras(operation, "Cast"))


def functional_of(model):
  """The functional graph of a functional or Sequential model.

  Raises:
    UserError: the model is subclassed, and has no graph; or it is Sequential
      and has no input shape.
  """
  if isinstance(model, keras.Sequential):
    if not model.built:
      raise UserError("model", model.name,
                      "has no input shape; let it begin with keras.Input")
    return keras.Model(model.inputs, model.outputs[0], name=model.name)
  if not hasattr(model, "_run_through_graph"):
    raise UserError("model", model.name,
                    "must be a functional or Sequential Keras model; a "
                    "subclassed one has no graph to take maps from")
  return model
