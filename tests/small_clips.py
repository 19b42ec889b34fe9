"""Small networks of clips, and clips for them, for tests."""

from unittest import mock

import keras
import numpy as np

from atcon_tf import models
from atcon_tf.models import residual_3d

FRAMES, SIZE, CLASSES = 8, 24, 3
TARGET = np.array([0, 1, 2, 1, 0])


def backbone(name="r3d_18", stages=2, **options):
  """A classifier of small clips with calibrated batch normalisation.

  Args:
    name: of a network of clips, or "tiny_cnn" over frames.
    stages: of a network of clips, with one block each.
    **options: of `models.build`.
  """
  keras.utils.set_random_seed(1)
  width = {} if name == "tiny_cnn" else {"width": 0.07}
  with mock.patch.multiple(residual_3d, STAGES=stages, BLOCKS=1):
    built = models.build(name, CLASSES, image_size=SIZE, frames=FRAMES,
                         **width, **options)
  # Moving statistics of real activations: with those of a new network they
  # vanish from layer to layer.
  for layer in built.network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
      layer.momentum = 0.0
  built.stored(clips(16, seed=3), training=True)
  for layer in built.network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
      layer.momentum = 0.9
  return built


def clips(count=5, seed=0):
  """Smooth random clips, float32 `[count, T, H, W, 3]` in [0, 1]."""
  coarse = np.random.default_rng(seed).uniform(size=[count, 4, 6, 6, 3])
  return coarse.repeat(FRAMES // 4, 1).repeat(SIZE // 6, 2).repeat(
      SIZE // 6, 3).astype(np.float32)
