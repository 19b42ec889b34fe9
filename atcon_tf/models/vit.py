"""A small Vision Transformer with its attention as layers of their own.

Dosovitskiy et al., "An image is worth 16x16 words", arXiv 2010.11929, with
the mean of the tokens in place of a class token (Beyer et al., "Better plain
ViT baselines", arXiv 2205.01580), as a functional Keras model. The layer
"grid" puts the tokens back on their grid, so that every CAM has a map, and
each block's `Attention` layer gives the attention, for rollout.
"""

import keras
from keras import layers


@keras.saving.register_keras_serializable("atcon_tf")
class Attention(layers.Layer):
  """Queries and keys `[B, T, C]` -> attention `[B, heads, T, T]`.

  Row q is the softmax over the keys of token q.

  Attributes:
    heads: number of heads, a divisor of C.
    grid: `(h, w)`, the cells that the last h w tokens stand for.
  """

  def __init__(self, heads, grid, **kwargs):
    super().__init__(**kwargs)
    self.heads, self.grid = heads, tuple(grid)

  def call(self, query, key):
    query, key = (split_heads(x, self.heads) for x in (query, key))
    scale = query.shape[-1]**-0.5
    return keras.ops.softmax(keras.ops.einsum(
        "bhqc,bhkc->bhqk", query * scale, key))

  def compute_output_shape(self, query_shape, key_shape):
    return (query_shape[0], self.heads, query_shape[1], key_shape[1])

  def get_config(self):
    return {**super().get_config(), "heads": self.heads, "grid": self.grid}


@keras.saving.register_keras_serializable("atcon_tf")
class Attend(layers.Layer):
  """Attention `[B, heads, T, T]` and values `[B, T, C]` -> `[B, T, C]`."""

  def call(self, attention, value):
    value = split_heads(value, attention.shape[1])
    mixed = keras.ops.einsum("bhqk,bhkc->bqhc", attention, value)
    return keras.ops.reshape(
        mixed, [-1, mixed.shape[1], mixed.shape[2] * mixed.shape[3]])

  def compute_output_shape(self, attention_shape, value_shape):
    return value_shape


@keras.saving.register_keras_serializable("atcon_tf")
class Position(layers.Layer):
  """Adds a learned embedding to each token of `[B, T, C]`."""

  def build(self, shape):
    self.embedding = self.add_weight(
        shape=shape[1:], initializer=keras.initializers.RandomNormal(
            stddev=0.02), name="embedding")

  def call(self, tokens):
    return tokens + self.embedding

  def compute_output_shape(self, shape):
    return shape


def split_heads(x, heads):
  """`[B, T, C]` -> `[B, heads, T, C / heads]`."""
  x = keras.ops.reshape(x, [-1, x.shape[1], heads, x.shape[2] // heads])
  return keras.ops.transpose(x, [0, 2, 1, 3])


def build(num_classes, image_size=64, patch=8, width=64, depth=4, heads=4):
  """A Vision Transformer, images `[B, S, S, 3]` -> logits `[B, classes]`.

  Args:
    num_classes: number of logits.
    image_size: S, a multiple of `patch`.
    patch: side of a token's patch in pixels.
    width: C, a multiple of `heads`.
    depth: number of blocks.
    heads: of attention in each block.
  Raises:
    ValueError: sizes that do not divide.

  Example:
    >>> vit.build(4, image_size=32).output_shape
    (None, 4)
  """
  if image_size % patch or width % heads:
    raise ValueError(f"image_size={image_size} must be a multiple of patch="
                     f"{patch}, width={width} of heads={heads}")
  images = keras.Input([image_size, image_size, 3])
  x = layers.Conv2D(width, patch, patch, name="patches")(images)
  grid = x.shape[1:3]
  x = layers.Reshape([grid[0] * grid[1], width], name="tokens")(x)
  x = Position(name="position")(x)
  for number in range(1, depth + 1):
    x = _block(x, width, heads, grid, f"block{number}")
  x = layers.LayerNormalization(name="norm")(x)
  x = layers.Reshape([*grid, width], name="grid")(x)
  x = layers.GlobalAveragePooling2D(name="pool")(x)
  logits = layers.Dense(num_classes, name="logits")(x)
  return keras.Model(images, logits, name="vit")


def _block(x, width, heads, grid, name):
  normed = layers.LayerNormalization(name=f"{name}_norm1")(x)
  query, key, value = (layers.Dense(width, name=f"{name}_{part}")(normed)
                       for part in ("query", "key", "value"))
  attention = Attention(heads, grid, name=f"{name}_attention")(query, key)
  mixed = Attend(name=f"{name}_attend")(attention, value)
  x = layers.Add(name=f"{name}_add1")(
      [x, layers.Dense(width, name=f"{name}_project")(mixed)])
  normed = layers.LayerNormalization(name=f"{name}_norm2")(x)
  hidden = layers.Dense(2 * width, activation="gelu",
                        name=f"{name}_hidden")(normed)
  return layers.Add(name=f"{name}_add2")(
      [x, layers.Dense(width, name=f"{name}_mlp")(hidden)])
