"""The range test of learning rates: its curve, its rule, and a real sweep."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.objectives import supervised
from atcon_tf.studies import learning_rate_range
from atcon_tf.training.run_state import RunState
from atcon_tf.training.trainer import Trainer
from atcon_tf.training import one_run
from tests import quiet_process
from tests.conftest import ROOT

ONE, OTHER = ("supervised",), ("consistency",)


def test_the_curve_is_corrected_for_its_start():
  curve = learning_rate_range.Curve([ONE])
  assert curve.add(ONE, 2.0) == pytest.approx(2)
  # (.9 * .2 + .1 * 4) / (1 - .81)
  assert curve.add(ONE, 4.0) == pytest.approx(.58 / .19)


def test_kinds_of_step_are_smoothed_apart():
  curve = learning_rate_range.Curve([ONE, OTHER])
  assert curve.add(ONE, 2.0) is None
  assert curve.add(OTHER, -1.0) == pytest.approx(1)
  assert curve.add(ONE, 4.0) == pytest.approx(.58 / .19 - 1)


@pytest.mark.parametrize("losses, explodes", [
    ([1, 1, 1, 40], True),  # the last point is 12.3
    ([1, 1, 1, 10], False),  # 3.6
    ([2, .01, .01, 5], False),  # not yet 3 times the fall above the minimum
    ([-.5, -.9, -.9, 1], False)])  # a correlation cannot explode
def test_explosion(losses, explodes):
  curve = learning_rate_range.Curve([ONE])
  for loss in losses:
    assert not curve.exploded
    curve.add(ONE, loss)
  assert curve.exploded == explodes


def test_the_rule():
  """A smooth step at the factor 1, a minimum at 100, a wall behind it."""
  factor = np.geomspace(1e-3, 1e3, 121)
  loss = 1 - 1 / (1 + np.exp(-2 * np.log(factor)))
  loss[factor > 101] = 9
  found = learning_rate_range.suggest(factor.tolist(), loss.tolist(),
                                      {"rate": .03})
  assert found["minimum"] == pytest.approx(100)
  assert found["steepest"] == pytest.approx(1)
  assert found["suggested"] == pytest.approx(1)
  assert found["suggested_rates"] == {"rate": .03}
  # Close to the wall: a tenth of the minimum's.
  late = learning_rate_range.suggest((factor / 1000).tolist(), np.where(
      factor > 3, 9, loss).tolist(), {"rate": .03})
  assert late["suggested"] == pytest.approx(late["minimum"] / 10)
  # A loss that only rises suggests nothing.
  assert set(learning_rate_range.suggest(factor.tolist(), factor.tolist(),
                                         {"rate": 1}).values()) == {None}


class _Cycle(keras.optimizers.schedules.LearningRateSchedule):
  maximum = 0.5

  def __call__(self, step):
    return 0.5 / 25


def test_every_rate_is_multiplied_also_that_of_a_cycle():
  keras.utils.set_random_seed(0)
  classifier = models.build("tiny_cnn", 2, image_size=16)
  trainer = Trainer(
      classifier, {"supervised": supervised.Supervised(classifier)},
      {"backbone": keras.optimizers.SGD(0.1),
       "head": keras.optimizers.SGD(_Cycle())})
  factor = learning_rate_range.hold_rates(trainer)
  batch = {"image": tf.random.stateless_uniform([4, 16, 16, 3], [0, 0]),
           "label": tf.one_hot([0, 1, 1, 1], 2)}
  variables = [classifier.backbone_variables[0], classifier.head_variables[0]]
  before = [v.numpy() for v in variables]
  moved = []
  for value in (0.0, 1.0, 10.0):
    for variable, start in zip(variables, before):
      variable.assign(start)
    factor.assign(value)
    trainer.run({"supervised": batch})
    moved.append([v.numpy() - b for v, b in zip(variables, before)])
    assert float(trainer.optimizers["backbone"].learning_rate
                 ) == pytest.approx(.1 * value)
    assert float(trainer.optimizers["head"].learning_rate
                 ) == pytest.approx(.5 * value)
  for still, once, ten in zip(*moved):
    assert not still.any() and once.any()
    assert np.linalg.norm(ten) > 5 * np.linalg.norm(once)


def _tool(*arguments):
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.find_lr", *map(str, arguments)],
      capture_output=True, text=True, cwd=ROOT)
  return quiet_process.output(done)


def test_a_sweep_whose_suggestion_trains(tmp_path):
  """As a command; then the suggested rates, for some steps of a run."""
  out = tmp_path / "sup.json"
  settings = dict(objective="supervised", image_size=32, shots=4)
  said = _tool(*(f"--{k}={v}" for k, v in settings.items()),
               "--sweep_steps=60", f"--out={out}", "--high=1e4")
  found = json.loads(out.read_text())
  assert found["stopped"] and "stopped after" in said
  assert " -m atcon_tf.find_lr --objective=supervised " in found["command"]
  assert len(found["factor"]) == len(found["loss"]) < 60
  rates = found["suggested_rates"]
  assert set(rates) == {"learning_rate", "head_learning_rate"}
  assert all(f"--{name}={rate:g}" in said for name, rate in rates.items())
  assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
  run = one_run.prepare(Config(**settings, steps=20, **rates).resolve(),
                        tmp_path / "splits.json")
  losses = [logs["loss"] for _, logs in run.steps(RunState())]
  assert len(losses) == 20
  assert np.mean(losses[-5:]) < np.mean(losses[:5])
  # Two sweeps in one plot.
  both = tmp_path / "both.png"
  said = _tool(f"--compare={out},{out}", f"--out={both}")
  assert said.strip() == str(both)
  assert both.read_bytes().startswith(b"\x89PNG")


def test_alternating_steps_and_a_bank():
  """The sweep begins where every kind of step has come."""
  settings = dict(image_size=32, shots=2, batch_size=4, unlabeled="40",
                  unlabeled_batch_size=4)
  for objective in ("atcon", "self_training"):
    config = Config(objective=objective, **settings).resolve()
    found = learning_rate_range.sweep(config, 1e-2, 1, 12)
    assert len(found["factor"]) == 12 and found["stopped"] is None
    assert found["smoothed"][-1] is not None
    np.testing.assert_allclose(found["factor"], np.geomspace(1e-2, 1, 12))
  assert None not in found["smoothed"]  # every step is both


def test_what_is_no_sweep(tmp_path):
  with pytest.raises(UserError, match="compare='.*none.json': .*No such"):
    learning_rate_range.read(tmp_path / "none.json")
  (tmp_path / "list.json").write_text("[1]")
  with pytest.raises(UserError, match="not what atcon_tf.find_lr writes"):
    learning_rate_range.read(tmp_path / "list.json")
