"""Networks with random weights that are as fast as trained ones."""

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import models


def cases(options, usual):
  """The networks that a part measures: (model, side, images in a call).

  Args:
    options: has model, image_size and batch_size; "" and 0 are the usual ones.
    usual: the triples of the part.
  """
  chosen = [case for case in usual if options.model in ("", case[0])] or [
      (options.model, *usual[0][1:])]
  return [(model, options.image_size or side, options.batch_size or count)
          for model, side, count in chosen]


def title(model, side, count):
  """A case in words."""
  return f"{model}, {side} px, {count} images"


def classifier(model, image_size, classes=20):
  """A classifier with calibrated statistics, and its image size."""
  keras.utils.set_random_seed(0)
  built = models.build(model, classes, image_size=image_size,
                       prior=[0.07] * classes)
  # One image: its activations would be the most memory of many a step.
  calibrate(built, images_for(built, 1))
  return built


def images_for(built, count):
  """Random images `[count, H, W, 3]` of a classifier."""
  return tf.constant(np.random.default_rng(0).uniform(
      size=[count, *built.image_size, 3]), tf.float32)


def calibrate(built, images):
  """Gives random weights BatchNorm statistics of their own.

  Without them activations fade to denormal numbers, which are slow.
  """
  norms = [l for l in built.network._flatten_layers()
           if isinstance(l, keras.layers.BatchNormalization)]
  before = [l.momentum for l in norms]
  for layer in norms:
    layer.momentum = 0.0
  built.model(images, training=True)
  for layer, momentum in zip(norms, before):
    layer.momentum = momentum
