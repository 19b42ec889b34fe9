"""Whole runs of TAME and L-CAM on the embedded data: the classifier stays."""

import csv
import json
import subprocess
import sys

from absl import flags
import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.config import Config
from atcon_tf.config import define_flags
from atcon_tf.config import from_flags
from atcon_tf.config import UserError
from atcon_tf.evaluation import cases
from atcon_tf.evaluation import leaderboard
from atcon_tf import models
from atcon_tf.models import explanation_head
from atcon_tf.objectives import base
from atcon_tf.objectives import build
from atcon_tf.objectives import tame
from atcon_tf import runs
from atcon_tf.runs.run_classifier import build_classifier
from atcon_tf.runs import run_data
from atcon_tf.serving import export_run
from atcon_tf.serving import formats
from atcon_tf import training
from atcon_tf.training import head_scores
from atcon_tf.training import optimizers
from atcon_tf.training import strategies
from atcon_tf.training.trainer import Trainer
from tests import quiet_process
from tests.conftest import ROOT
from tests.refusals import refused

TINY = dict(dataset="shapes", shots=2, unlabeled="labeled", steps=4,
            eval_every=2, checkpoint_every=2, bootstrap=0, summary_images=1,
            batch_size=4)


def _own_model(classes=6):
  """A user's classifier with BatchNorm whose statistics are its own."""
  keras.utils.set_random_seed(0)
  x = images = keras.Input([32, 32, 3])
  for i, channels in enumerate((8, 12)):
    x = keras.layers.Conv2D(channels, 3, padding="same", name=f"conv{i}")(x)
    x = keras.layers.BatchNormalization(name=f"norm{i}")(x)
    x = keras.layers.ReLU(name=f"relu{i}")(x)
    x = keras.layers.MaxPooling2D(name=f"pool{i}")(x)
  x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
  model = keras.Model(images, keras.layers.Dense(
      classes, activation="sigmoid", name="classes")(x))
  for layer in model.layers:
    if "norm" in layer.name:
      layer.moving_mean.assign(np.linspace(-.1, .1, layer.gamma.shape[0]))
      layer.moving_variance.assign(np.linspace(.5, 2, layer.gamma.shape[0]))
  return model


@pytest.fixture(scope="module")
def own(tmp_path_factory):
  path = tmp_path_factory.mktemp("own") / "own.keras"
  _own_model().save(path)
  return path


@pytest.fixture(scope="module")
def finished(own, tmp_path_factory):
  """A TAME run of that model."""
  path = tmp_path_factory.mktemp("runs") / "tame"
  training.train_and_evaluate(_config(own), path)
  return path


def _config(own, **changes):
  return Config(**{**TINY, "objective": "tame", "model": str(own),
                   **changes}).resolve()


def _same(a, b):
  return all(np.array_equal(x.numpy(), y.numpy()) for x, y in zip(a, b))


def test_what_a_run_leaves_behind(own, finished):
  run = runs.load(finished)
  head, result = run.classifier.attention, run.result
  assert head.layers_used == ("relu0", "relu1", "pool1")
  assert result["head"]["layers"] == ["relu0", "relu1", "pool1"]
  assert result["head"]["parameters"] == sum(
      int(np.prod(v.shape)) for v in head.variables)
  assert result["steps"]["supervised"] == 4
  # The lowest loss on validation images was kept, and is found again.
  losses = {row["step"]: row["val_loss"] for row in result["history"]}
  assert result["steps"]["best"] == min(losses, key=losses.get)
  val = result["head"]["val"]
  assert val["loss"] == pytest.approx(min(losses.values()), rel=1e-5)
  assert val["loss"] == pytest.approx(
      1.5 * val["cross_entropy"] + 2 * val["area"] + .01 * val["variation"])
  assert "map_macro" in result["test"]  # of the classifier, as it was
  assert (finished / "figures" / "maps.png").exists()


def test_faithfulness_at_each_validation(finished):
  """attribution.csv is the history; the best step's row is found again."""
  result = json.loads((finished / "result.json").read_text())
  rows = list(csv.DictReader(
      (finished / "attribution.csv").read_text().splitlines()))
  assert [int(row["step"]) for row in rows] == [2, 4]
  assert list(rows[0]) == ["step", *head_scores.METRICS]
  for row, stored in zip(rows, result["history"]):
    for name in head_scores.METRICS:
      assert float(row[name]) == stored[f"val_{name}"]
      assert 0 <= stored[f"val_{name}"] <= 100
  best = next(row for row in result["history"]
              if row["step"] == result["steps"]["best"])
  # The leaderboard says the same of the same images.
  run = runs.load(finished)
  records, pool = run_data.load_part(run, "val")
  board = leaderboard.judge(
      run.classifier, cases.cases_of(
          run.classifier, records, pool, "prediction"),
      ["tame"], head_scores.METRICS, run.multi_label, samples=0)
  for name in head_scores.METRICS:
    assert result["head"]["val"][name] == pytest.approx(
        best[f"val_{name}"], abs=1e-3)
    assert board["methods"]["tame"][name] == pytest.approx(
        best[f"val_{name}"], abs=1e-3)
    assert 0 <= result["head"]["test"][name] <= 100


def test_the_classifier_is_what_it_was(own, finished):
  """Weights and BatchNorm statistics, bit by bit; the head has moved."""
  model = keras.saving.load_model(own)
  trained = runs.load(finished).classifier
  assert _same(model.variables, trained.model.variables)
  keras.utils.set_random_seed(0)
  fresh = explanation_head.attach(models.load(str(own))).attention
  pairs = list(zip(fresh.variables, trained.attention.variables))
  moved = [v.path for u, v in pairs if not np.array_equal(u, v)]
  assert len(moved) == len(pairs)  # kernels, biases and the head's statistics


def test_interrupted_a_run_ends_the_same(own, finished, tmp_path,
                                         monkeypatch):
  """The schedule, the momenta and the head go on from the checkpoint."""
  step, taken = Trainer.step, []

  def interrupted(self, batches):
    if len(taken) == 3:
      raise KeyboardInterrupt
    taken.append(1)
    return step(self, batches)

  with monkeypatch.context() as patch:
    patch.setattr(Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
      training.train_and_evaluate(_config(own), tmp_path / "run")
  again = training.train_and_evaluate(_config(own), tmp_path / "run")
  whole = json.loads((finished / "result.json").read_text())
  assert json.loads(json.dumps(again["history"])) == whole["history"]
  assert again["head"] == whole["head"]


def test_explain_evaluate_and_export_use_the_head(finished, tmp_path,
                                                  monkeypatch):
  run = runs.load(finished)
  pixels = np.random.default_rng(0).integers(
      0, 255, [32, 32, 3], dtype=np.uint8)
  PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.explain", f"--workdir={finished}",
       f"--images={tmp_path / 'a.png'}", "--methods=tame", "--top=2",
       f"--out={tmp_path / 'out'}"], capture_output=True, text=True)
  quiet_process.output(done)
  images = pixels[np.newaxis].astype(np.float32) / 255
  with np.load(tmp_path / "out" / "a.npz") as arrays:
    for name in arrays.files:
      method, label = name.split("/")
      heat = attribution.explain(run.classifier, images, method,
                                 run.class_names.index(label))
      np.testing.assert_allclose(arrays[name], heat[0], atol=1e-6)

  monkeypatch.setattr(formats, "FORMATS", {})
  path = export_run.export(run, tmp_path / "served")
  served = tf.saved_model.load(str(path)).signatures["explain"]
  for c in (0, 3):
    answer = served(images=tf.constant(images),
                    class_index=tf.constant([c], tf.int32))
    for method in ("tame", "grad_cam", "guided_backprop"):
      np.testing.assert_allclose(
          answer[method], attribution.enlarge(
              run.classifier, attribution.explain(
                  run.classifier, images, method, c)), atol=1e-5)
  metadata = json.loads((path / "assets" / "metadata.json").read_text())
  assert metadata["methods"] == ["tame", "grad_cam", "guided_backprop"]

  records, pool = run_data.load_part(run)
  board = leaderboard.judge(
      run.classifier, cases.cases_of(
          run.classifier, records, pool, limit=4),
      ["tame", "l_cam"], ["average_drop"], samples=0)
  assert board["methods"]["tame"]["forward_passes"] == 1
  assert list(board["skipped"]) == ["l_cam"]


@pytest.mark.parametrize("version", ["img", "fm"])
def test_l_cam(own, tmp_path, version):
  training.train_and_evaluate(
      _config(own, objective="l_cam", l_cam_version=version, steps=2),
      tmp_path / "run")
  run = runs.load(tmp_path / "run")
  assert run.classifier.attention.layers_used == ("pool1",)
  heat = attribution.explain(
      run.classifier, np.zeros([1, 32, 32, 3], np.float32), "l_cam", 1)
  assert heat.shape == (1, 32, 32)


def test_a_head_goes_on_from_that_of_another_run(own, finished, tmp_path):
  config = _config(own, warm_start=str(finished), steps=1, eval_every=1,
                   max_learning_rate=1e-9)
  training.train_and_evaluate(config, tmp_path / "run")
  first, second = (runs.load(p).classifier.attention.trainable_variables
                   for p in (finished, tmp_path / "run"))
  for a, b in zip(first, second):
    np.testing.assert_allclose(a, b, atol=1e-6)
  for changes, other in [
      (dict(tame_version="sigmoid_branch"),
       "sigmoid_branch over relu0, relu1, pool1"),
      (dict(feature_layers=("relu0", "relu1")), "tame over relu0, relu1"),
      (dict(objective="l_cam"), "l_cam over pool1")]:
    with pytest.raises(UserError, match="warm_start='.*': its head is tame "
                       "over relu0, relu1, pool1, but this run's head is "
                       f"{other}$"):
      training.train_and_evaluate(
          _config(own, warm_start=str(finished), **changes),
          tmp_path / "other")


def test_what_cannot_be_explained(tmp_path):
  _own_model(4).save(tmp_path / "four.keras")
  with pytest.raises(UserError, match="four.keras': its logits are not of the "
                     "data's 6 classes; objective=tame explains"):
    training.train_and_evaluate(_config(tmp_path / "four.keras"),
                                tmp_path / "run")
  for settings, line in [
      (dict(objective="tame"), "^--objective=tame: explains a trained "
       "classifier; name one by --warm_start=RUN or --model=FILE.keras$"),
      (dict(objective="l_cam", warm_start="W", target="top2"),
       "^--target=top2: goes with --objective=atcon"),
      (dict(objective="l_cam", warm_start="W", tame_version="no_skip"),
       "^--tame_version=no_skip: not used with --objective=l_cam"),
      (dict(objective="tame", warm_start="W", learning_rate=.1),
       "^--learning_rate=0.1: not used with --objective=tame"),
      (dict(objective="supervised", weight_decay=.1),
       "^--weight_decay=0.1: not used with --objective=supervised")]:
    with refused(line):
      Config(**settings).resolve()


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_two_steps_of_a_preset(name, monkeypatch):
  """On random weights: the layers are there and the loss is finite."""
  monkeypatch.chdir(ROOT)
  values = flags.FlagValues()
  define_flags(values)
  values(["train", f"--flagfile=flags/{name}_tame.flags", "--steps=2",
          "--image_size=64", "--weights=none"])
  config = from_flags(values)
  classifier = build_classifier(config, 3, False)
  assert classifier.attention.layers_used == config.feature_layers
  loss = build(classifier, config, base.Task(multi_label=False))
  built, groups = optimizers.build(config, classifier, loss)
  trainer = Trainer(classifier, loss, built, "train", groups)
  kernels = groups["kernels"]
  before = [v.numpy() for v in kernels]
  for _ in range(2):
    trainer.run({base.SUPERVISED: {
        "image": tf.random.uniform([2, 64, 64, 3])}})
  for a, b in zip(before, kernels):
    assert not np.array_equal(a, b), b.path


@pytest.mark.parametrize("size", [8, 7])
def test_one_and_two_replicas_agree(float64, size):
  """The head's BatchNorm sees the whole batch, however it is split."""
  rng = np.random.default_rng(0)
  batches = [{"image": tf.constant(rng.uniform(size=[size, 32, 32, 3])),
              "label": tf.one_hot(rng.integers(6, size=size), 6,
                                  dtype=tf.float64)} for _ in range(3)]

  def trained(devices):
    with strategies.make(devices=devices).scope():
      classifier = explanation_head.attach(models.wrap(_own_model()))
      loss = tame.Tame(classifier)
      trainer = Trainer(
          classifier, {base.SUPERVISED: loss},
          {"all": keras.optimizers.SGD(.5)}, "train",
          {"all": loss.variables})
    logs = [trainer.run({base.SUPERVISED: batch}) for batch in batches]
    return logs, [v.numpy() for v in classifier.attention.variables]

  one, two = trained(["/cpu:0"]), trained(["/cpu:0", "/cpu:1"])
  for a, b in zip(one[0], two[0]):
    assert a == pytest.approx(b, abs=1e-9)
  for a, b in zip(one[1], two[1]):
    np.testing.assert_allclose(a, b, atol=1e-9)
