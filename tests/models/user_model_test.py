"""Classifiers over every kind of .keras file; files that are refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import registry
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.models.graph import ModelGraph

LAYERS = keras.layers
X = np.random.default_rng(0).uniform(size=[3, 16, 16, 3]).astype(np.float32)


@pytest.fixture(autouse=True)
def seed():
  keras.utils.set_random_seed(0)


def _net(*ending, size=16, channels=3, inputs=None):
  x = images = inputs
  if inputs is None:
    x = images = keras.Input([size, size, channels], name="photo")
  x = LAYERS.Conv2D(6, 3, activation="relu", padding="same", name="conv1")(x)
  x = LAYERS.MaxPooling2D(name="down")(x)
  x = LAYERS.Conv2D(8, 3, name="conv2")(x)
  x = LAYERS.BatchNormalization(name="norm")(x)
  x = LAYERS.ReLU(name="last")(x)
  for layer in ending:
    x = layer(x)
  return keras.Model(images, x)


def _pooled(*ending):
  return [LAYERS.GlobalAveragePooling2D(name="pool"), *ending]


def _sequential():
  return keras.Sequential([
      keras.Input([16, 16, 3]), LAYERS.Conv2D(4, 3, activation="relu"),
      *_pooled(LAYERS.Dense(3, name="logits"))])


def _nested():
  images = keras.Input([16, 16, 3])
  x = LAYERS.Rescaling(2.0)(images)
  x = _net()(x, training=False)
  for layer in _pooled(LAYERS.Dropout(.5), LAYERS.Dense(3)):
    x = layer(x)
  return keras.Model(images, x)


# name -> (model, whether its last operation is a probability)
FILES = {
    "functional": (lambda: _net(*_pooled(LAYERS.Dense(3))), None),
    "flattened": (lambda: _net(LAYERS.Flatten(), LAYERS.Dense(3)), None),
    "Sequential": (_sequential, None),
    "nested": (_nested, None),
    "outputs in a list": (
        lambda: keras.Model(*(lambda m: (m.inputs, m.outputs))(
            _net(*_pooled(LAYERS.Dense(3))))), None),
    "input in a dict": (
        lambda: (lambda m: keras.Model({"photo": m.inputs[0]}, m.outputs[0]))(
            _net(*_pooled(LAYERS.Dense(3)))), None),
    "softmax": (lambda: _net(*_pooled(
        LAYERS.Dense(3, activation="softmax"))), tf.nn.softmax),
    "softmax of its own": (lambda: _net(*_pooled(
        LAYERS.Dense(3), LAYERS.Softmax())), tf.nn.softmax),
    "sigmoid": (lambda: _net(*_pooled(
        LAYERS.Dense(3, activation="sigmoid"))), tf.sigmoid),
    "any size": (lambda: _net(*_pooled(LAYERS.Dense(3)), size=None), None),
}


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "replaced"])
@pytest.mark.parametrize("name", FILES)
def test_users_model(name, kept, tmp_path):
  build, probability = FILES[name]
  model = build()
  path = str(tmp_path / "mine.keras")
  model.save(path)
  classifier = models.build(path, 3 if kept else 5, image_size=16,
                            input_range="0..255", prior=[.2] * 3 if kept
                            else [.2] * 5)
  logits = classifier.model(X)
  expected = model({"photo": 255 * X} if "dict" in name else 255 * X)
  expected = expected[0] if isinstance(expected, list) else expected
  assert classifier.relus == (1 if name == "Sequential" else 2)
  if kept:
    assert not classifier.head_variables
    found = probability(logits) if probability else logits
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    count = len(model.trainable_variables)
  else:
    assert logits.shape == (3, 5)
    matrix, bias = (v.numpy() for v in classifier.head_variables)
    features = classifier.features(255 * X).numpy()
    np.testing.assert_allclose(logits, features.mean((1, 2)) @ matrix + bias,
                               rtol=1e-4, atol=1e-4)
    count = len(model.trainable_variables)  # a matrix and a bias for another
  assert len(classifier.model.trainable_variables) == count
  registry.check(classifier, "guided_backprop")
  # Saved, and loaded by a classifier that starts from the same file.
  before = classifier.model(X)
  for v in classifier.model.trainable_variables:
    v.assign(v + .1)
  changed = classifier.model(X)
  assert np.abs(changed - before).max() > 1e-3
  weights = tmp_path / "best.weights.h5"
  classifier.model.save_weights(weights)
  again = models.build(path, 3 if kept else 5, image_size=16,
                       input_range="0..255")
  again.model.load_weights(weights)
  np.testing.assert_array_equal(again.model(X), changed)
  # The file is as it was.
  reloaded = keras.saving.load_model(path)
  for a, b in zip(reloaded.get_weights(), model.get_weights()):
    np.testing.assert_array_equal(a, b)


def test_the_model_given_is_not_changed():
  """Neither its outputs nor its settings, whatever is done to its graph."""
  model = _net(*_pooled(LAYERS.Dense(3, activation="softmax")))
  before, settings = model(X), model.get_config()
  ModelGraph(model, keras.Input([16, 16, 3]), reflect_padding=True,
             logits=True)
  np.testing.assert_array_equal(model(X), before)
  assert model.get_config() == settings


def test_new_names_do_not_meet_the_users(tmp_path):
  path = str(tmp_path / "mine.keras")
  _net(LAYERS.Conv2D(4, 1, name="logits"), LAYERS.AveragePooling2D(
      2, name="pool"), LAYERS.Conv2D(4, 1, name="normalized"),
       LAYERS.GlobalMaxPooling2D(), LAYERS.Dense(9)).save(path)
  classifier = models.build(path, 2)
  assert classifier.model(X).shape == (3, 2)
  assert classifier.cam_layers == ("normalized",)


def test_frozen_layers_of_a_users_model_stay_frozen(tmp_path):
  model = _net(*_pooled(LAYERS.Dense(3)))
  model.get_layer("conv1").trainable = False
  path = str(tmp_path / "mine.keras")
  model.save(path)
  classifier = models.build(path, 3)
  assert len(classifier.model.trainable_variables) == len(
      model.trainable_variables) == 6


@pytest.mark.parametrize("build, options, expected", [
    (lambda: _net(*_pooled(LAYERS.Dense(3)), size=None), {},
     "^image_size: needed"),
    (lambda: _net(*_pooled(LAYERS.Dense(3))), {"image_size": 20},
     "^image_size=20: .* takes 16x16"),
    (lambda: _net(*_pooled(LAYERS.Dense(3)), channels=4), {},
     "must be one batch of RGB or grey images"),
    (lambda: keras.Sequential([keras.Input([16, 16, 3]), LAYERS.Flatten(),
                               LAYERS.Dense(3)]), {},
     "has no layer with a spatial map"),
    (lambda: _net(LAYERS.Conv2D(2, 9), size=None), {"image_size": 16},
     "^image_size=16: model="),
    (lambda: keras.Model(*(lambda m: (m.inputs, [m.outputs[0]] * 2))(
        _net(*_pooled()))), {}, "1 inputs and 2 outputs"),
    (lambda: _net(*_pooled(LAYERS.Dense(3))), {"cam_layer": ("conv9",)},
     "^cam_layer='conv9': no such layer .* conv2, norm, last"),
    (lambda: _net(*_pooled(LAYERS.Dense(3))), {"cam_layer": ("pool",)},
     r"^cam_layer='pool': its output \(None, 8\) has no spatial extent"),
], ids=["any size", "other size", "four channels", "no map", "too small",
        "two outputs", "no such layer", "vector"])
def test_users_models_that_do_not_fit(build, options, expected, tmp_path):
  path = str(tmp_path / "mine.keras")
  build().save(path)
  with pytest.raises(UserError, match=expected) as caught:
    models.build(path, 3, **options)
  assert "\n" not in str(caught.value)


@keras.saving.register_keras_serializable("model_file_test")
class Subclassed(keras.Model):

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.conv = LAYERS.Conv2D(3, 3)

  def call(self, x):
    return tf.reduce_mean(self.conv(x), [1, 2])


def test_subclassed_model(tmp_path):
  model = Subclassed()
  model(X)
  path = str(tmp_path / "mine.keras")
  model.save(path)
  with pytest.raises(UserError, match="subclassed one has no graph"):
    models.build(path, 3, image_size=16)


def test_files_that_do_not_load(tmp_path):
  path = tmp_path / "mine.keras"
  for content in (b"", b"PK not a zip"):
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be loaded") as caught:
      models.build(str(path), 3, image_size=16)
    assert "\n" not in str(caught.value)


# Layers that carry the maps.


def test_several_cam_layers_and_a_nested_one(tmp_path):
  path = str(tmp_path / "mine.keras")
  model = _nested()
  model.save(path)
  nested = next(l.name for l in model.layers if isinstance(l, keras.Model))
  classifier = models.build(path, 3, cam_layer=("conv1", f"{nested}/norm"))
  first, second, _ = classifier.maps(X)
  assert first.shape == (3, 16, 16, 6) and second.shape == (3, 6, 6, 8)
  inner = model.get_layer(nested)
  reference = keras.Model(inner.inputs, [
      inner.get_layer("conv1").output, inner.get_layer("norm").output])
  for ours, theirs in zip((first, second), reference(2 * X)):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
  # Windows of 3 padded; halved; a window of 3.
  assert classifier.geometry == [((0, 1), (0, 1)), ((2.5, 2), (2.5, 2))]
  np.testing.assert_allclose(classifier.head(second), classifier.model(X),
                             atol=1e-5)


def test_a_skip_connection_around_the_map(tmp_path):
  images = keras.Input([16, 16, 3])
  a = LAYERS.Conv2D(4, 3, padding="same", activation="relu")(images)
  b = LAYERS.Conv2D(4, 3, padding="same", name="side")(a)
  y = LAYERS.GlobalAveragePooling2D()(LAYERS.Add(name="sum")([a, b]))
  path = str(tmp_path / "mine.keras")
  keras.Model(images, LAYERS.Dense(3)(y)).save(path)
  classifier = models.build(path, 3, cam_layer=("side",))
  with pytest.raises(UserError, match="cam_layer='side': the logits depend"):
    _ = classifier.head
  _ = models.build(path, 3).head  # the sum is all that the logits see


def test_head_on_an_inner_layer(tmp_path):
  """A new head reads the layer; nothing behind it is in the network."""
  path = str(tmp_path / "own.keras")
  _net(*_pooled(LAYERS.Dense(5, activation="relu", name="hidden"),
                LAYERS.Dense(3))).save(path)
  for layer, cam_layer, relus in (("conv1", "conv1", 1),
                                  ("hidden", "last", 3)):
    built = models.build(path, 3, head="unit", feature_layer=layer)
    features = keras.Model(built.network.input, built.graph.tensors[layer])(X)
    pooled = np.asarray(features).reshape(3, -1, features.shape[-1]).mean(1)
    unit = 10 * pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    kernel, bias = built.head_variables
    np.testing.assert_allclose(built.model(X), unit @ kernel.value + bias.value,
                               atol=1e-4)
    assert built.cam_layers == (cam_layer,) and built.relus == relus
    assert np.all(np.isfinite(attribution.explain(built, X)))
  with pytest.raises(UserError, match="cam_layer='last': no such layer"):
    models.build(path, 3, feature_layer="conv1", cam_layer=("last",))
  with pytest.raises(UserError, match="feature_layer='no': no such layer"):
    models.build(path, 3, feature_layer="no")
