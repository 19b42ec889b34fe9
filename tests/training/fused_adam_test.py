"""The fused Adam is Keras's, also on two replicas and with a schedule."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.training.fused_adam import FusedAdam
from atcon_tf.training import strategies


def _weights(make, strategy, steps=5):
  """Two variables after some steps; the second has no gradient at first."""
  with strategy.scope():
    variables = [keras.Variable(np.linspace(-1, 1, n), dtype="float64")
                 for n in (6, 4)]
    optimizer = make(0.1)
    optimizer.build(variables)

  def step(number):
    chosen = variables[:1 + (number > 1)]
    optimizer.apply([tf.sin(3 * v.value) + number for v in chosen], chosen)

  for number in range(steps):
    tf.function(lambda number=number: strategy.run(step, [number]))()
    optimizer.learning_rate = 0.1 / (number + 2)
  return [*(v.numpy() for v in variables),
          *(v.numpy() for v in optimizer.variables)]


@pytest.mark.parametrize("devices", [["/cpu:0"], ["/cpu:0", "/cpu:1"]])
def test_it_is_adam(devices):
  found, want = (_weights(make, strategies.make(devices=devices))
                 for make in (FusedAdam, keras.optimizers.Adam))
  assert len(found) == len(want)
  for one, other in zip(found, want):
    # Keras rounds beta to float32 in its powers, 1 - 0.999 to 1.3e-5.
    np.testing.assert_allclose(one, other, rtol=1e-4)
