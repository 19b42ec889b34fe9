"""The one-cycle schedule by hand, and what each optimiser of a head does."""

import keras
import numpy as np
import pytest

from atcon_tf.config import Config
from atcon_tf import models
from atcon_tf.models import explanation_head
from atcon_tf.objectives import tame
from atcon_tf.training import optimizers


def test_one_cycle_by_hand():
  rate = optimizers.OneCycle(0.5, 40)  # up until step 11, down until 39
  for step, want in [
      (0, .5 / 25), (5.5, .5 * (1 + 1 / 25) / 2), (11, .5),
      (25, .5 * (1 + 1 / 250000) / 2), (39, .5 / 250000), (99, .5 / 250000)]:
    assert float(rate(step)) == pytest.approx(want, rel=1e-4), step
  rates = [float(rate(step)) for step in range(40)]
  assert np.argmax(rates) == 11
  assert all(np.diff(rates[:12]) > 0) and all(np.diff(rates[11:]) < 0)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_very_short_cycle_is_finite(steps):
  rate = optimizers.OneCycle(0.5, steps)
  assert all(0 < float(rate(step)) <= .5 for step in range(steps))


def _built(weight_decay):
  keras.utils.set_random_seed(0)
  classifier = explanation_head.attach(
    models.build("tiny_cnn", 3, image_size=16))
  loss = tame.Tame(classifier)
  config = Config(objective="tame", warm_start="W/run", steps=1,
                  weight_decay=weight_decay, max_learning_rate=1.0).resolve()
  return loss, *optimizers.build(config, classifier, {"supervised": loss})


def test_groups_hold_each_variable_of_the_head_once():
  loss, built, groups = _built(5e-4)
  assert set(groups) == set(built) == {"kernels", "scales", "biases"}
  assert {name: len(group) for name, group in groups.items()} == {
      "kernels": 4, "scales": 3, "biases": 7}
  held = [id(v) for group in groups.values() for v in group]
  assert sorted(held) == sorted(id(v) for v in loss.variables)
  for sgd in built.values():
    assert isinstance(sgd, keras.optimizers.SGD)
    assert sgd.nesterov and sgd.momentum == 0.9


@pytest.mark.parametrize("weight_decay", [0.0, 0.02])
def test_one_update_by_hand(weight_decay):
  """Nesterov's first step is (1 + momentum) rate g; kernels decay as well."""
  _, built, groups = _built(weight_decay)
  for name, group in groups.items():
    for variable in group:
      variable.assign(np.full(variable.shape, 2.0))
    built[name].build(group)
    built[name].apply([np.ones(v.shape, np.float32) for v in group], group)
    rate = (2 if name == "biases" else 1) / 25
    want = 2 - 1.9 * rate
    if name == "kernels":  # 0.02 / (1 - 0.9)
      want -= rate * weight_decay * 10 * 2
    for variable in group:
      np.testing.assert_allclose(variable, np.full(variable.shape, want),
                                 rtol=1e-5)
