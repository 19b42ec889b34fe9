"""A recomputed network: the same numbers, twice the forward operations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import models
from atcon_tf.config import UserError
from atcon_tf.models import batch_norm_folding
from atcon_tf.models import recomputation
from atcon_tf.objectives import atcon
from atcon_tf.objectives import supervised

LAYERS = keras.layers


def _block(x, channels, name):
  """Two convolutions and the path that passes them by."""
  y = LAYERS.Conv2D(channels, 3, padding="same", name=f"{name}_a")(x)
  y = LAYERS.ReLU()(LAYERS.BatchNormalization()(y))
  y = LAYERS.Conv2D(channels, 3, padding="same", name=f"{name}_b")(y)
  y = LAYERS.Add(name=f"{name}_add")([x, LAYERS.BatchNormalization()(y)])
  return LAYERS.ReLU(name=f"{name}_out")(y)


@pytest.fixture(scope="module")
def classifier():
  """A small network with residual blocks and a dense head."""
  keras.utils.set_random_seed(0)
  images = keras.Input([16, 16, 3])
  x = LAYERS.ReLU()(LAYERS.Conv2D(8, 3, strides=2, padding="same")(images))
  for number in range(4):
    x = _block(x, 8, f"block{number}")
  x = LAYERS.Dense(3)(LAYERS.GlobalAveragePooling2D()(x))
  return models.wrap(keras.Model(images, x))


def _batch():
  rng = np.random.default_rng(0)
  return {"image": tf.constant(rng.uniform(size=[4, 16, 16, 3]), tf.float32),
          "label": tf.constant(np.eye(3)[[0, 1, 2, 0]], tf.float32)}


def _step(classifier, objective):
  """A traced function: the loss, and its gradient for every variable."""
  built = objective(classifier)
  variables = classifier.model.trainable_variables

  def run():
    with tf.GradientTape() as tape, batch_norm_folding.shared_kernels():
      terms = built.call(_batch(), training=False)
      loss = tf.add_n([tf.reduce_sum(value) for value, _ in terms.values()])
    gradient = tape.gradient(loss, [v.value for v in variables])
    return loss, {v.path: g for v, g in zip(variables, gradient)
                  if g is not None}

  return tf.function(run, autograph=False)


def _convolutions(function):
  graph = function.get_concrete_function().graph
  return sum(op.type == "Conv2D" for op in graph.get_operations())


@pytest.mark.parametrize("objective", [supervised.Supervised, atcon.Atcon])
def test_the_gradient_is_that_of_the_whole_network(classifier, objective):
  whole = _step(classifier, objective)
  parts = _step(recomputation.of(classifier), objective)
  loss, gradient = whole()
  again, found = parts()
  assert loss.numpy() == pytest.approx(again.numpy(), rel=1e-6)
  assert gradient.keys() == found.keys()
  for path, value in gradient.items():
    scale = np.abs(value).max()
    np.testing.assert_allclose(found[path], value, atol=1e-4 * scale + 1e-9,
                               err_msg=path)
  assert _convolutions(parts) >= 1.5 * _convolutions(whole)


def test_the_parts_are_few_and_the_maps_between_them(classifier):
  again = recomputation.of(classifier)
  parts = [l for l in again.maps.layers
           if isinstance(l, recomputation.Recomputed)]
  assert 2 <= len(parts) <= 5
  assert {v.path for v in again.model.variables} == {
      v.path for v in classifier.model.variables}
  assert all(any(v is own for own in classifier.model.variables)
             for v in again.model.variables)
  with pytest.raises(UserError, match="recompute.*another path"):
    recomputation.of(classifier.with_cam_layers(["block1_a"]))
