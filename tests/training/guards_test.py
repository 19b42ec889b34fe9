"""What a run says that diverges, and of maps that explain nothing."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.attribution import maps
from atcon_tf.config import UserError
from atcon_tf.data import pipeline
from atcon_tf.objectives import base
from atcon_tf import training
from atcon_tf.training import one_run
from atcon_tf.training import streams
from atcon_tf.training import trainer
from atcon_tf.training.run_state import RunState
from tests.tiny_runs import tiny

QUICK = dict(objective="supervised", bootstrap=0, summary_images=0)


@pytest.mark.parametrize("wrong, says", [
    (float("nan"), "the loss is not finite"), (2e4, "the loss is 2e[+]04")])
def test_the_step_its_images_and_the_checkpoint_are_named(
    wrong, says, tmp_path, monkeypatch):
  step, taken = trainer.Trainer.step, []

  def third_is_wrong(self, batches):
    taken.append(1)
    logs = step(self, batches)
    return logs | {"loss": tf.constant(wrong)} if len(taken) == 3 else logs

  monkeypatch.setattr(trainer.Trainer, "step", third_is_wrong)
  with pytest.raises(UserError) as error:
    training.train_and_evaluate(tiny(**QUICK), tmp_path / "w")
  split = json.loads((tmp_path / "w/splits.json").read_text())
  order = pipeline.order(len(split["train_labeled"]), 4, 0, 1, 2)
  images = ", ".join(split["train_labeled"][i] for i in order)
  line = str(error.value)
  assert "\n" not in line and "atcon_tf.find_lr" in line
  assert f"its images: {images}; the checkpoint after 2 updates is kept" in line
  assert line.startswith("stopped in step 3 of ")
  assert re.search(says, line)


@pytest.mark.parametrize("settings", [
    dict(objective="self_training", bank_every=1, unlabeled_batch_size=3),
    dict(objective="atcon", unlabeled_batch_size=3), dict(objective="laso")])
def test_the_ids_are_those_of_the_batch(settings, tmp_path):
  run = one_run.prepare(tiny(augment=(), **settings), tmp_path / "s.json")
  state = RunState()
  for kind in run.trainer.objectives:
    if kind == base.CONSISTENCY and run._ranks:
      state.pseudo_labels = run._rank(0, state)
    batch = next(run._batches(kind, 2, state))
    ids = streams.ids(kind, run.trainer.objectives[kind], run.data,
                      run.config, 2, state.pseudo_labels)
    images = run.data.images
    shown = images.scaled(images.pixels[images.rows(ids)])
    seen = batch.get("unaugmented", batch["image"])
    np.testing.assert_allclose(seen, shown, atol=1e-6)


def test_constant_maps():
  m = tf.constant([[[0., 0.]], [[3., 3.]], [[0., 1e-3]], [[5., 5.001]]])
  assert maps.constant(m).numpy().tolist() == [True, True, False, False]


def test_dead_maps_are_counted_and_said(tmp_path, capsys):
  """A head without weights gives maps without a value."""
  run = one_run.prepare(tiny(**QUICK), tmp_path / "s.json")
  run.classifier.head_variables[0].assign(
      0 * run.classifier.head_variables[0])
  found = run.predictor.predict(run.data.images, run.data.records["val"][:5])
  assert found.dead.tolist() == [True] * 5
