"""The tokens of a Vision Transformer of stock layers, on their grid.

A Vision Transformer cuts an image into a grid of patches, row by row, and
reads them as a sequence of tokens, after a class token or registers:
`[B, prefix + h w, C]`. `ModelGraph` puts two layers before each
`keras.layers.MultiHeadAttention` that attends to such a sequence:

    cells = TokenGrid(grid)(tokens)            # [B, h, w, C]
    tokens = GridTokens()(tokens, cells)       # the same tokens again

They change no number. The first gives every method of maps a map, on the way
to the logits; it is called like the attention layer, with "_grid" behind.
The cells of the last attention layer are a classifier's map by default: behind
it, a network that reads the class token alone has no gradient at the cells.
"""

import keras

# Tokens before those of the cells: a class token, registers, a distilled one.
MOST_BEFORE = 16


@keras.saving.register_keras_serializable("atcon_tf")
class TokenGrid(keras.layers.Layer):
  """The cells of `[B, prefix + h w, C]` -> `[B, h, w, C]`.

  Attributes:
    grid: `(h, w)`; the last h w tokens stand for cells.
  """

  def __init__(self, grid, **kwargs):
    super().__init__(**kwargs)
    self.grid = tuple(grid)

  def call(self, tokens):
    height, width = self.grid
    return keras.ops.reshape(tokens[:, -height * width:],
                             [-1, height, width, tokens.shape[-1]])

  def compute_output_shape(self, shape):
    return (shape[0], *self.grid, shape[-1])

  def get_config(self):
    return {**super().get_config(), "grid": self.grid}


@keras.saving.register_keras_serializable("atcon_tf")
class GridTokens(keras.layers.Layer):
  """Tokens `[B, T, C]` with the cells `[B, h, w, C]` in place of the last."""

  def call(self, tokens, cells):
    count = cells.shape[1] * cells.shape[2]
    cells = keras.ops.reshape(cells, [-1, count, cells.shape[3]])
    before = tokens.shape[1] - count
    return keras.ops.concatenate([tokens[:, :before], cells], 1) if (
        before) else cells

  def compute_output_shape(self, tokens_shape, cells_shape):
    return tokens_shape


def find(tokens):
  """The grid on which the tokens of a graph lie.

  It is that of the nearest map `[B, h, w, C]` that becomes a sequence on the
  way to the tokens; or the one that a convolution inside a layer, from an
  image to tokens, makes of the image; or the only one of square patches.

  Args:
    tokens: a symbolic tensor `[None, T, C]`.
  Returns:
    `(h, w)` and the tensor of the map or image that it was found at; None:
    there is no such grid, or more than `MOST_BEFORE` other tokens.
  """
  seen, waiting = set(), [tokens]
  while waiting:
    tensor = waiting.pop(0)
    operation, node, _ = tensor._keras_history
    for source in operation._inbound_nodes[node].input_tensors:
      if len(source.shape) == 4 and len(tensor.shape) == 3:
        grid = _grid(operation, source, tensor, tokens.shape[1])
        return grid and (grid, source)
      if id(source) not in seen:
        seen.add(id(source))
        waiting.append(source)
  return None


def _grid(operation, source, tensor, count):
  """The grid of a map or an image that one operation makes tokens of."""
  def fits(grid):
    return None not in grid and 0 <= count - grid[0] * grid[1] <= MOST_BEFORE

  size = tuple(source.shape[1:3])
  if None in size or count is None:
    return None
  if fits(size):
    return size
  if type(operation).__module__.startswith("keras."):
    return None
  convolutions = [layer for layer in operation._flatten_layers()
                  if isinstance(layer, keras.layers.Conv2D)] if isinstance(
                      operation, keras.Layer) else []
  if len(convolutions) == 1:
    grid = tuple(convolutions[0].compute_output_shape(source.shape)[1:3])
    return grid if fits(grid) else None
  cuts = [(size[0] // side, size[1] // side)
          for side in range(1, min(size) + 1)
          if size[0] % side == size[1] % side == 0]
  cuts = [cut for cut in cuts if cut[0] * cut[1] == tensor.shape[1]]
  return cuts[0] if cuts and fits(cuts[0]) else None


def opened(layer, args, kwargs):
  """A layer that holds attention layers, as a model of its parts.

  Args:
    layer: an operation of a graph.
    args, kwargs: with which it is called.
  Returns:
    the model and its symbolic inputs, those among the arguments; None: the
    layer holds no attention, or does not show all of its parts.
  """
  if not isinstance(layer, keras.Layer) or isinstance(
      layer, keras.layers.MultiHeadAttention) or not any(
          isinstance(part, keras.layers.MultiHeadAttention)
          for part in layer._flatten_layers(include_self=False)):
    return None
  given = [x for x in keras.tree.flatten((args, kwargs))
           if isinstance(x, keras.KerasTensor)]
  inner = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in given]
  left = iter(inner)
  args, kwargs = keras.tree.map_structure(
      lambda x: next(left) if isinstance(x, keras.KerasTensor) else x,
      (args, kwargs))
  try:
    model = keras.Model(inner, layer.call(*args, **kwargs), name=layer.name)
  except Exception:  # code that wants numbers raises an error of its own
    return None
  held = {id(v) for v in model.variables}
  if any(id(v) not in held for v in layer.variables):
    return None  # its own variables would be constants of the model
  return model, given
