"""The training step: replicas, frozen BatchNorm, which variables move."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import models
from atcon_tf.objectives import atcon
from atcon_tf.objectives import supervised
from atcon_tf.training import schedule
from atcon_tf.training import strategies
from atcon_tf.training.trainer import Trainer


def _trainer(optimizer, name="tiny_cnn", **options):
  keras.utils.set_random_seed(3)
  classifier = models.build(name, 4, image_size=32, prior=[.3] * 4)
  return Trainer(
      classifier,
      {"supervised": supervised.Supervised(classifier),
       "consistency": atcon.Atcon(classifier)},
      {k: optimizer() for k in ("backbone", "head", "consistency")},
      **options)


def _batch(number, size=8):
  rng = np.random.default_rng(number)
  floatx = keras.config.floatx()
  return {"image": tf.constant(rng.uniform(size=[size, 32, 32, 3]), floatx),
          "label": tf.constant(rng.uniform(size=[size, 4]) < .4, floatx)}


def train(strategy, kinds, size=8):
  with strategy.scope():
    trainer = _trainer(lambda: keras.optimizers.SGD(0.05, momentum=0.9))
  logs = [trainer.run({kind: _batch(10 * i + j, size)
                       for j, kind in enumerate(step)})
          for i, step in enumerate(kinds)]
  weights = [v.numpy() for v in trainer.classifier.model.variables]
  return logs, weights


@pytest.mark.parametrize("how", ["alternating", "combined"])
@pytest.mark.parametrize("size", [8, 7])
def test_one_and_two_replicas_agree(float64, how, size):
  cpus = tf.config.list_logical_devices("CPU")
  assert len(cpus) >= 2, "tests/conftest.py makes two logical CPUs"
  kinds = schedule.plan(how, 20, 0.5, seed=0)[:20]
  assert len({k for step in kinds for k in step}) == 2
  one = train(strategies.make(devices=["/cpu:0"]), kinds, size)
  pair = strategies.make(devices=["/cpu:0", "/cpu:1"])
  assert isinstance(pair, tf.distribute.MirroredStrategy)
  two = train(pair, kinds, size)
  for a, b in zip(one[0], two[0]):
    assert a.keys() == b.keys()
    for name in a:
      assert a[name] == pytest.approx(b[name], abs=1e-9), name
  for a, b in zip(one[1], two[1]):
    np.testing.assert_allclose(a, b, atol=1e-9, rtol=0)


def test_consistency_step_moves_the_kernels_and_not_the_head_bias():
  trainer = _trainer(lambda: keras.optimizers.Adam(1e-3))
  before = {v.path: v.numpy() for v in trainer.classifier.model.variables}
  logs = trainer.run({"consistency": _batch(0)})
  moved = {v.path for v in trainer.classifier.model.variables
           if not np.array_equal(before[v.path], v.numpy())}
  assert "logits/bias" not in moved
  assert {"conv1/kernel", "conv4/kernel", "logits/kernel"} <= moved
  assert -1 <= logs["consistency"] <= 1
  assert logs["loss"] == logs["consistency"]


@pytest.mark.parametrize("mode", ["freeze", "train"])
def test_batch_statistics(mode):
  trainer = _trainer(lambda: keras.optimizers.SGD(0.0), "mobilenet",
                     batch_norm=mode)
  statistics = [v for v in trainer.classifier.model.variables
                if "moving" in v.path]
  assert statistics
  before = [v.numpy() for v in statistics]
  trainer.run({"consistency": _batch(0)})
  assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, statistics))
  trainer.run({"supervised": _batch(1)})
  changed = [not np.array_equal(a, b.numpy())
             for a, b in zip(before, statistics)]
  assert all(changed) if mode == "train" else not any(changed)


def test_the_teacher_follows_every_update():
  """Also those of steps that its own objective has no part in."""
  trainer = _trainer(lambda: keras.optimizers.SGD(0.05))
  teacher = models.build("tiny_cnn", 4, image_size=32, prior=[.3] * 4)
  trainer.objectives["consistency"] = atcon.Atcon(
      trainer.classifier, teacher=teacher, ema_decay=0.5)
  before = teacher.model.get_weights()
  trainer.run({"supervised": _batch(0)})
  for mean, old, new in zip(teacher.model.get_weights(), before,
                            trainer.classifier.model.get_weights()):
    np.testing.assert_allclose(mean, (old + new) / 2, rtol=1e-5, atol=1e-7)


def test_a_loss_that_is_not_finite_stops_the_run():
  trainer = _trainer(lambda: keras.optimizers.SGD(0.1))
  trainer.classifier.head_variables[1].assign([np.nan] * 4)
  with pytest.raises(FloatingPointError, match="supervised"):
    trainer.run({"supervised": _batch(0)})
