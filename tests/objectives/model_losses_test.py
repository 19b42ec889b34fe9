"""ATCON's loss of any Keras model, inside a tape of the user's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import objectives
from atcon_tf.attribution import consistency
from atcon_tf.config import UserError
from atcon_tf.models import wrap
from atcon_tf.objectives import atcon

L = keras.layers


def _fused():
  return keras.Sequential([
      keras.Input([12, 12, 3]), L.Conv2D(4, 3, activation="relu"),
      L.Conv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D(),
      L.Dense(3, activation="softmax")])


def _nested():
  inner = keras.Sequential([L.Conv2D(4, 3), L.ReLU(), L.Conv2D(4, 3),
                            L.ReLU()], name="inner")
  images = keras.Input([12, 12, 3])
  return keras.Model(images, L.Dense(3)(
      L.GlobalAveragePooling2D()(inner(images))))


@pytest.fixture(params=[_fused, _nested])
def model(request):
  keras.utils.set_random_seed(3)
  return request.param()


@pytest.fixture
def images():
  return np.random.default_rng(0).uniform(size=[3, 12, 12, 3]).astype(
      np.float32)


def test_the_loss_is_atcons(model, images):
  loss = objectives.atcon_loss(model, images)
  wanted = atcon.Atcon(wrap(model)).call({"image": tf.constant(images)})
  np.testing.assert_allclose(loss, wanted["consistency"][0], rtol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_is_that_of_finite_differences(float64, model, images,
                                                    compiled):
  images = images.astype(np.float64)

  def step():
    with tf.GradientTape() as tape:
      loss = tf.reduce_mean(objectives.atcon_loss(
          model, images, 1, mask_scale="std"))
    return tape.gradient(loss, model.trainable_variables)

  gradients = (tf.function(step) if compiled else step)()
  kernel = model.trainable_variables[0]
  found = gradients[0].numpy()
  assert np.abs(found).max() > 1e-6  # an auxiliary gradient that is there
  at = np.unravel_index(np.abs(found).argmax(), found.shape)
  start, h, values = kernel.numpy(), 1e-5, []
  for sign in (1, -1):
    moved = start.copy()
    moved[at] += sign * h
    kernel.assign(moved)
    values.append(float(tf.reduce_mean(objectives.atcon_loss(
        model, images, 1, mask_scale="std"))))
  kernel.assign(start)
  np.testing.assert_allclose((values[0] - values[1]) / (2 * h), found[at],
                             rtol=1e-3)


def test_the_measure_has_no_gradient_and_is_that_of_the_tables(model, images):
  with tf.GradientTape() as tape:
    value = objectives.consistency(model, images)
    total = tf.reduce_sum(value)
  assert all(g is None for g in tape.gradient(
      total, model.trainable_variables))
  wanted = consistency.explain(
      wrap(model), tf.constant(images),
      consistency.MapAgreement(mask_scale="std"))["similarity"]
  np.testing.assert_allclose(value, wanted, rtol=1e-5)


def test_refuses_a_model_without_relu(images):
  model = keras.Sequential([keras.Input([12, 12, 3]), L.Conv2D(4, 3),
                            L.GlobalAveragePooling2D(), L.Dense(3)])
  with pytest.raises(UserError, match="has no ReLU"):
    objectives.atcon_loss(model, images)
