"""Small Vision Transformers of Keras's own attention layers, for tests."""

import keras
import numpy as np

LAYERS = keras.layers
WIDTH, CLASSES, SIZE, GRID = 8, 3, (24, 16), (6, 4)


@keras.saving.register_keras_serializable("tests")
class Prefix(LAYERS.Layer):
  """Puts learned tokens, of a class or registers, before all others."""

  def __init__(self, count, **kwargs):
    super().__init__(**kwargs)
    self.count = count

  def build(self, shape):
    self.tokens = self.add_weight(shape=[1, self.count, shape[-1]],
                                  initializer="random_normal")

  def call(self, x):
    tokens = keras.ops.tile(self.tokens, [keras.ops.shape(x)[0], 1, 1])
    return keras.ops.concatenate([tokens, x], 1)

  def compute_output_shape(self, shape):
    return (shape[0], shape[1] + self.count, shape[2])

  def get_config(self):
    return {**super().get_config(), "count": self.count}


class Block(LAYERS.Layer):
  """A block as one layer, as in KerasHub's ViT."""

  def __init__(self, number):
    super().__init__(name=f"block{number}")
    self.parts = parts(number)

  def build(self, shape):
    norm, attention, second, hidden, last = self.parts
    attention.build(shape, shape)
    for layer in (norm, second, hidden):
      layer.build(shape)
    last.build((*shape[:2], 2 * WIDTH))

  def call(self, x, training=None):
    return block(x, *self.parts)

  def compute_output_shape(self, shape):
    return shape


class Encoder(LAYERS.Layer):
  """Blocks as one layer."""

  def __init__(self):
    super().__init__(name="encoder")
    self.blocks = [Block(1), Block(2)]

  def build(self, shape):
    for one in self.blocks:
      one.build(shape)

  def call(self, x, training=None):
    for one in self.blocks:
      x = one(x, training=training)
    return x

  def compute_output_shape(self, shape):
    return shape


class Embedding(LAYERS.Layer):
  """Patches and the tokens before them as one layer, as in KerasHub's ViT."""

  def __init__(self, before):
    super().__init__(name="embedding")
    self.patches, self.before = _patches(), before and Prefix(before)

  def build(self, shape):
    self.patches.build(shape)
    if self.before:
      self.before.build((None, None, WIDTH))

  def call(self, images):
    x = self.patches(images)
    x = keras.ops.reshape(x, [keras.ops.shape(x)[0], -1, WIDTH])
    return self.before(x) if self.before else x

  def compute_output_shape(self, shape):
    count = np.prod(GRID) + (self.before.count if self.before else 0)
    return (shape[0], int(count), WIDTH)


def _patches():
  return LAYERS.Conv2D(WIDTH, 4, 4, name="patches")


def parts(number):
  """The layers of a block."""
  return [LAYERS.LayerNormalization(name=f"norm{number}"),
          LAYERS.MultiHeadAttention(2, WIDTH // 2, name=f"attention{number}"),
          LAYERS.LayerNormalization(name=f"second{number}"),
          LAYERS.Dense(2 * WIDTH, "gelu", name=f"hidden{number}"),
          LAYERS.Dense(WIDTH, name=f"last{number}")]


def block(x, norm, attention, second, hidden, last):
  """A block of tokens."""
  normed = norm(x)
  x = x + attention(normed, normed)
  return x + last(hidden(second(x)))


def transformer(before=1, head="token", closed=False):
  """A Vision Transformer of two blocks, images of 24 x 16 pixels.

  Args:
    before: number of tokens before those of the patches.
    head: reads the first "token" or the "mean" of all.
    closed: patches and blocks are hidden in layers, as KerasHub's are.
  """
  keras.utils.set_random_seed(0)
  images = keras.Input([*SIZE, 3])
  if closed:
    x = Encoder()(Embedding(before)(images))
  else:
    x = _patches()(images)
    x = LAYERS.Reshape([-1, WIDTH])(x)
    x = Prefix(before)(x) if before else x
    for number in (1, 2):
      x = block(x, *parts(number))
  x = LAYERS.LayerNormalization(name="norm")(x)
  x = x[:, 0] if head == "token" else LAYERS.GlobalAveragePooling1D()(x)
  model = keras.Model(images, LAYERS.Dense(CLASSES, name="logits")(x))
  rng = np.random.default_rng(0)
  model.set_weights([rng.normal(0, .4, w.shape)
                     for w in model.get_weights()])
  return model
