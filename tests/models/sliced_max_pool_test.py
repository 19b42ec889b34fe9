"""Max pooling from slices: values, both gradients, also compiled by XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import models
from atcon_tf.models import sliced_max_pool
from atcon_tf.objectives import atcon

CASES = [((2, 2), (2, 2), "valid", 9), ((2, 2), (2, 2), "same", 9),
         ((3, 3), (2, 2), "valid", 9), ((3, 3), (2, 2), "same", 8),
         ((3, 2), (1, 2), "same", 7)]


def _derivatives(pool, x):
  """Value, gradient, and the gradient of a function of the gradient."""
  with tf.GradientTape() as outer:
    outer.watch(x)
    with tf.GradientTape() as inner:
      inner.watch(x)
      y = pool(x)
      value = tf.reduce_sum(tf.sin(3 * y))
    g = inner.gradient(value, x)
    loss = tf.reduce_sum(g * g * x)
  return y, g, outer.gradient(loss, x)


@pytest.mark.parametrize("window, strides, padding, size", CASES)
def test_derivatives_are_those_of_tensorflow(window, strides, padding, size):
  x = tf.constant(np.random.default_rng(0).uniform(
      -1, 1, [3, size, size + 1, 4]))
  theirs = _derivatives(lambda x: tf.nn.max_pool2d(
      x, window, strides, padding.upper()), x)
  pool = lambda x: sliced_max_pool.max_pool(x, window, strides, padding)
  compiled = tf.function(lambda x: _derivatives(pool, x), jit_compile=True)
  for found in (_derivatives(pool, x),
                compiled(tf.cast(x, tf.float32))):
    for one, other in zip(found, theirs):
      np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-5)


def test_of_equal_values_the_first_gets_the_gradient():
  x = tf.ones([1, 4, 4, 1])
  for pool in (lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME"),
               lambda x: sliced_max_pool.max_pool(x, (2, 2), (2, 2), "same")):
    _, g, _ = _derivatives(pool, x)
    assert np.flatnonzero(g).tolist() == [0, 2, 8, 10]


def test_a_compiled_step_has_the_gradients_of_an_uncompiled_one():
  keras.utils.set_random_seed(0)
  classifier = models.build("tiny_cnn", 3, image_size=16)
  exact = sliced_max_pool.of(classifier)
  assert exact.relus == classifier.relus and exact is not classifier
  images = tf.constant(np.random.default_rng(0).uniform(
      size=[2, 16, 16, 3]), tf.float32)
  variables = classifier.backbone_variables

  def gradients(objective):
    with tf.GradientTape() as tape:
      value, _ = objective.call({"image": images})["consistency"]
      loss = tf.reduce_sum(value)
    return tape.gradient(loss, [v.value for v in variables])

  want, own = gradients(atcon.Atcon(classifier)), atcon.Atcon(exact)
  compiled = tf.function(lambda: gradients(own), jit_compile=True,
                         autograph=False)()
  for found in (gradients(own), compiled):
    for one, other in zip(found, want):
      assert np.abs(one - other).max() <= 1e-4 * np.abs(other).max()
