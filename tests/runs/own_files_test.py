"""Runs from a file of one's own: kept whole, trained, explained, exported."""

import json
import pathlib
import shutil

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.evaluation import evaluate_run
from atcon_tf import runs
from atcon_tf.serving import export_run
from atcon_tf import training
from tests.own_models import config
from tests.own_models import LAYERS
from tests.own_models import network
from tests.own_models import photos
from tests.own_models import saved


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return photos(tmp_path_factory.mktemp("data") / "photos")


def _train(folder, model, path, **settings):
  return training.train_and_evaluate(config(folder, model, **settings), path)


def _softmax(*more, **options):
  return network(*more, LAYERS.Dense(2, activation="softmax"), **options)


def _map(run, pixels):
  return attribution.explain(run.classifier, pixels, "grad_cam", 1).numpy()


# The folder of a run is whole.


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
  """The root of a run whose file is another now: `run`, and `map`."""
  root = tmp_path_factory.mktemp("whole")
  path = saved(_softmax(), root / "mine.keras")
  _train(folder, path, root / "run")
  pixels = np.random.default_rng(0).uniform(size=[2, 16, 16, 3]).astype("f")
  np.save(root / "map.npy", _map(runs.load(root / "run"), pixels))
  np.save(root / "pixels.npy", pixels)
  saved(_softmax(before=[LAYERS.Rescaling(2.)]), path)  # its weights fit
  return root


def test_a_run_explains_its_own_network_whatever_becomes_of_the_file(
    whole, tmp_path, capsys, monkeypatch):
  pixels, before = np.load(whole / "pixels.npy"), np.load(whole / "map.npy")
  run = runs.load(whole / "run")
  np.testing.assert_array_equal(_map(run, pixels), before)
  out = capsys.readouterr().out
  assert "note: " in out and "mine.keras is no longer the file" in out
  moved = shutil.copytree(whole / "run", tmp_path / "moved")
  monkeypatch.chdir(tmp_path)
  text = json.loads((moved / "config.json").read_text())
  text["model"] = "mine.keras"  # a relative path that is nowhere now
  (moved / "config.json").write_text(json.dumps(text))
  run = runs.load(moved)
  np.testing.assert_array_equal(_map(run, pixels), before)
  scores = evaluate_run.evaluate(run)
  assert scores["test"] == runs.run.read_result(moved)["test"]
  export_run.export(run, tmp_path / "served", say=lambda line: None)
  assert "no longer" not in capsys.readouterr().out


def test_the_hash_of_the_file_is_recorded(whole):
  recorded = json.loads((whole / "run/result.json").read_text())
  copy = runs.kept_model.sha256(whole / "run/model.keras")
  assert recorded["model_sha256"] == copy


def test_a_run_is_not_continued_from_another_file(whole, folder, tmp_path):
  run = shutil.copytree(whole / "run", tmp_path / "run")
  (run / "result.json").unlink()
  with pytest.raises(UserError, match="model='.*mine.keras': is no longer the "
                     "file with which this run began"):
    _train(folder, str(whole / "mine.keras"), run)


def test_a_run_is_not_overwritten_from_its_own_copy(whole, folder, tmp_path):
  run = shutil.copytree(whole / "run", tmp_path / "run")
  with pytest.raises(UserError, match="model=.*is the copy in this run's "
                     "own folder"):
    training.train_and_evaluate(
        config(folder, str(run / "model.keras")), run, overwrite=True)
  assert (run / "model.keras").exists() and (run / "result.json").exists()


def test_weights_of_a_run_of_another_file_are_refused(whole, folder, tmp_path):
  """They fit by shape, and mean another network."""
  settings = dict(warm_start=str(whole / "run"),
                  splits=str(whole / "run/splits.json"))
  with pytest.raises(UserError, match="model='.*mine.keras': is another file "
                     "than .*model.keras, whose network the weights"):
    _train(folder, str(whole / "mine.keras"), tmp_path / "run", shots=8,
           start="prior", **settings)


def test_a_run_that_starts_from_a_run_takes_its_copy(whole, folder, tmp_path):
  """The file itself is another network now."""
  moved = shutil.copytree(whole / "run", tmp_path / "moved")
  start = config(folder, "", warm_start=str(moved), start="prior", shots=8,
                 splits=str(moved / "splits.json"))
  assert start.model == str(moved / "model.keras")
  assert start.resolve() == start
  training.train_and_evaluate(start, tmp_path / "run")
  assert runs.kept_model.same(tmp_path / "run/model.keras",
                              moved / "model.keras")


# One output, two classes.


def test_a_binary_head_is_kept_and_trained(folder, tmp_path, capsys):
  path = saved(network(LAYERS.Dense(1, activation="sigmoid")),
               tmp_path / "mine.keras")
  _train(folder, path, tmp_path / "run", learning_rate=1e-3, start="prior")
  out = capsys.readouterr().out
  assert "the head of" in out and "one output: it is kept" in out
  assert "mine.keras are taken for cat, dog, in this order" in out
  run = runs.load(tmp_path / "run")
  assert run.class_names == ("cat", "dog")
  kernel = run.classifier.network.get_layer(
      keras.saving.load_model(path).layers[-1].name).kernel
  before = keras.saving.load_model(path).layers[-1].kernel
  assert kernel.shape == (8, 1) and 0 < np.abs(kernel - before).max() < .01


def test_fit_of_a_binary_model(folder):
  """Labels as Keras has them, `[N, 1]`; the model remains one of Keras."""
  model = network(LAYERS.Dense(1, activation="sigmoid"))
  x = np.random.default_rng(0).uniform(size=[12, 16, 16, 3]).astype("f")
  x[::2, :8] += 1
  y = np.arange(12)[:, None] % 2
  training.fit(model, (x, y), objective="supervised", steps=60, batch_size=6,
               learning_rate=1e-2, head_learning_rate=1e-2, augment=())
  p = model.predict(x, verbose=0)
  assert p.shape == (12, 1) and ((p > .5) == y).mean() > .9


def test_a_replaced_head_is_said_once(folder, tmp_path, capsys):
  path = saved(network(LAYERS.Dense(5, activation="softmax")),
               tmp_path / "mine.keras")
  _train(folder, path, tmp_path / "run", objective="self_training",
         equivariance_weight=.1)
  out = capsys.readouterr().out
  assert out.count("has 5 outputs, the data have 2 classes: a new head "
                   "replaces it") == 1
  runs.load(tmp_path / "run")
  assert "note" not in capsys.readouterr().out


# Half precision.


@pytest.mark.parametrize("objective", ["atcon", "self_training"])
def test_a_model_of_mixed_precision_is_trained(objective, folder, tmp_path):
  keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    model = _softmax(LAYERS.Dense(4, activation="relu"))
  finally:
    keras.config.set_dtype_policy("float32")
  path = saved(model, tmp_path / "mine.keras")
  result = _train(folder, path, tmp_path / "run", objective=objective)
  assert np.isfinite(result["test"]["map_macro"])
  run = runs.load(tmp_path / "run")
  if objective == "atcon":
    version = export_run.export(run, tmp_path / "served", say=lambda _: None)
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    x = np.random.default_rng(0).uniform(size=[2, 16, 16, 3]).astype("f")
    np.testing.assert_allclose(
        served(images=tf.constant(x))["probabilities"],
        tf.nn.softmax(run.classifier.model(x, training=False)), atol=1e-6)


# Grey and wide images.


@pytest.mark.parametrize("objective", ["gain", "self_training"])
def test_a_grey_wide_network_from_training_to_serving(
    objective, folder, tmp_path):
  path = saved(_softmax(size=(None, None, 1), before=[
      LAYERS.Rescaling(1 / 255)]), tmp_path / "mine.keras")
  result = _train(folder, path, tmp_path / "run", objective=objective,
                  image_size="16x24", augment=("crop", "rotation", "cutout"))
  assert result["config"]["image_size"] == "16x24"
  assert result["config"]["input_range"] == "0..255"
  run = runs.load(tmp_path / "run")
  photo = pathlib.Path(folder) / "dog/0.png"
  # By hand: the picture as grey levels, 16 rows and 24 columns.
  model = keras.saving.load_model(path)
  trained = run.classifier.network.weights
  by_path = {w.path: w for w in trained}
  for weight in model.weights:
    weight.assign(by_path[weight.path])
  levels = PIL.Image.open(photo).resize((24, 16), PIL.Image.BILINEAR)
  levels = np.asarray(levels.convert("L"), np.float32)[None, ..., None]
  expected = model(levels, training=False)
  seen = pictures.for_network(str(photo), run.classifier.image_size)
  found = tf.nn.softmax(run.classifier.model(seen, training=False))
  np.testing.assert_allclose(found, expected, atol=2e-3)
  version = export_run.export(run, tmp_path / "served", say=lambda _: None)
  served = tf.saved_model.load(str(version))
  answer = served.signatures["explain_bytes"](
      image_bytes=tf.constant([photo.read_bytes()]),
      class_index=tf.constant([1]))
  np.testing.assert_allclose(answer["probabilities"], found, atol=1e-3)
  assert answer["grad_cam"].shape == (1, 16, 24)
  np.testing.assert_allclose(
      answer["grad_cam"], attribution.enlarge(
          run.classifier, _map(run, seen)), atol=1e-3)
  alone = keras.saving.load_model(
      version / "assets.extra/classifier.keras", safe_mode=True)
  np.testing.assert_allclose(alone(seen, training=False), found, atol=1e-5)


def test_a_named_network_of_wide_images_is_trained(folder, tmp_path):
  result = _train(folder, "tiny_cnn", tmp_path / "run", image_size="16x32",
                  weights="none")
  assert result["config"]["image_size"] == "16x32"
  assert runs.load(tmp_path / "run").classifier.image_size == (16, 32)


# Neighbours.


def test_a_frozen_model_has_nothing_to_train(folder, tmp_path):
  model = _softmax()
  model.trainable = False
  path = saved(model, tmp_path / "mine.keras")
  with pytest.raises(UserError, match="all its layers are frozen"):
    _train(folder, path, tmp_path / "run")


def test_frozen_layers_keep_their_weights(folder, tmp_path):
  model = _softmax()
  model.get_layer("conv").trainable = False
  path = saved(model, tmp_path / "mine.keras")
  _train(folder, path, tmp_path / "run", learning_rate=1e-2, start="prior")
  run = runs.load(tmp_path / "run")
  for layer, same in [(run.classifier.network.get_layer("conv"), True),
                      (run.classifier.network.layers[-1], False)]:
    kernel = keras.saving.load_model(path).get_layer(layer.name).kernel
    assert np.array_equal(layer.kernel, kernel) == same


def test_regularisers_that_no_loss_holds_are_said(folder, tmp_path, capsys):
  model = network(LAYERS.Dense(2, activation="softmax",
                               kernel_regularizer="l2"))
  path = saved(model, tmp_path / "mine.keras")
  _train(folder, path, tmp_path / "run")
  assert "1 regularisation terms, which are not part of the loss" in (
      capsys.readouterr().out)


@pytest.mark.parametrize("change", ["color", "cutout"])
def test_fit_refuses_changes_of_images_in_another_range(change):
  """They are made for [0, 1]: of levels they would leave white and black."""
  x = np.random.default_rng(0).uniform(0, 255, [4, 16, 16, 3]).astype("f")
  model = _softmax(before=[LAYERS.Rescaling(1 / 255)])
  with pytest.raises(UserError, match=f"augment=.*{change}.*range"):
    training.fit(model, (x, np.arange(4) % 2), objective="supervised",
                 steps=1, batch_size=4, augment=(change,))
