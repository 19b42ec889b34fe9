"""Networks and folders as people bring them, for tests of their own models."""

import keras
import numpy as np
import PIL.Image

from atcon_tf.config import Config

LAYERS = keras.layers


def network(*head, before=(), size=(16, 16, 3), body=None, **inputs):
  """A small network: `before`, two convolutions, the pooled map, `head`."""
  keras.utils.set_random_seed(0)
  x = images = keras.Input(size, **inputs)
  for layer in before:
    x = layer(x)
  for layer in body or [
      LAYERS.Conv2D(6, 3, activation="relu", name="conv"),
      LAYERS.MaxPooling2D(), LAYERS.Conv2D(8, 3), LAYERS.BatchNormalization(),
      LAYERS.ReLU(name="map"), LAYERS.GlobalAveragePooling2D(), *head]:
    x = layer(x)
  model = keras.Model(images, x)
  rng = np.random.default_rng(0)
  for weight in model.weights:  # statistics and biases that are not trivial
    if weight.path.split("/")[-1] in ("moving_mean", "bias", "beta"):
      weight.assign(rng.uniform(-.1, .1, weight.shape))
  return model


def saved(model, path):
  """Saves a model; returns the path as text."""
  model.save(path)
  return str(path)


def photos(folder, classes=("cat", "dog"), count=8, size=(40, 30)):
  """Class folders of noise with a square whose colour is the class."""
  rng = np.random.default_rng(0)
  for k, name in enumerate(classes):
    (folder / name).mkdir(parents=True)
    for i in range(count):
      pixels = rng.uniform(0, 60, [*size[::-1], 3])
      y, x = rng.integers(0, 14, 2)
      pixels[y:y + 14, x:x + 14, k] += 190
      PIL.Image.fromarray(pixels.astype("uint8")).save(
          folder / name / f"{i}.png")
  return str(folder)


def config(data_dir, model, objective="supervised", **settings):
  """The settings of a run of two steps on a folder of `photos`."""
  return Config(**{
      "dataset": "folder", "data_dir": data_dir, "model": model,
      "objective": objective, "shots": 2, "steps": 2, "eval_every": 2,
      "bootstrap": 0, "summary_images": 2, "batch_size": 4,
      **settings}).resolve()
