"""Small networks for images of 16 pixels, for tests of many methods."""

import keras

from atcon_tf import models
from atcon_tf.models import vit

SIZE = 16
CLASSES = 3


def _cnn(fused=False, name="small"):
  """Two convolutions; ReLUs as layers or inside the convolutions."""
  x = images = keras.Input([SIZE, SIZE, 3])
  for i in (1, 2):
    x = keras.layers.Conv2D(
        6, 3, padding="same", activation="relu" if fused else None,
        kernel_initializer="he_normal", name=f"{name}_conv{i}")(x)
    if not fused:
      x = keras.layers.ReLU(name=f"{name}_relu{i}")(x)
    if i == 1:
      x = keras.layers.MaxPooling2D(name=f"{name}_pool")(x)
  return keras.Model(images, x, name=name)


def _with_head(images, features):
  x = keras.layers.GlobalAveragePooling2D()(features)
  return keras.Model(images, keras.layers.Dense(
      CLASSES, dtype="float32", name="logits")(x))


def _copy_weights(source, target):
  for a, b in zip(source.variables, target.variables):
    b.assign(a.value)


def small_classifier(kind="plain", like=None):
  """A small classifier and its Keras model.

  Args:
    kind: "plain", ReLU layers; "fused", ReLUs inside the convolutions;
      "nested", a model inside a model; or "vit".
    like: a Keras model whose weights are copied; None: random weights.
  Returns:
    `(models.Classifier, keras.Model)`.
  """
  keras.utils.set_random_seed(1)
  if kind == "vit":
    model = vit.build(CLASSES, SIZE, patch=4, width=8, depth=2, heads=2)
  elif kind == "nested":
    images = keras.Input([SIZE, SIZE, 3])
    model = _with_head(images, _cnn()(images))
  else:
    base = _cnn(fused=kind == "fused")
    model = _with_head(base.input, base.output)
  if like is not None:
    _copy_weights(like, model)
  return models.wrap(model), model
