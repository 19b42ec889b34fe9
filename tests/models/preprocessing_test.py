"""What a user's graph begins with: it is fed the range that it expects."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.models import preprocessing
from tests.own_models import LAYERS
from tests.own_models import network
from tests.own_models import saved

X = np.random.default_rng(0).uniform(size=[3, 16, 16, 3]).astype(np.float32)
APPS = keras.applications
# The pixels of each range, from those in [0, 1].
SCALED = {"0..1": lambda x: x, "-1..1": lambda x: 2 * x - 1,
          "0..255": lambda x: 255 * x}


def _normalization(scale):
  layer = LAYERS.Normalization()
  layer.adapt(np.random.default_rng(1).normal(
      .45 * scale, .25 * scale, [9, 8, 8, 3]).astype(np.float32))
  return layer


def _called(function):
  """A function of `keras.applications` as the first operations of a graph."""
  images = keras.Input([16, 16, 3])
  rest = network(LAYERS.Dense(3))
  return keras.Model(images, rest(function(images)))


# What a graph begins with -> the range that it was made for.
BEGINNINGS = {
    "Rescaling to 1": (lambda: [LAYERS.Rescaling(1 / 255)], "0..255"),
    "Rescaling about 0": (lambda: [LAYERS.Rescaling(1 / 127.5, -1)], "0..255"),
    "Rescaling of [0, 1]": (lambda: [LAYERS.Rescaling(2., -1)], "0..1"),
    "Rescaling of [0, 1] to levels": (lambda: [LAYERS.Rescaling(255.)],
                                      "0..1"),
    "Rescaling of [-1, 1]": (lambda: [LAYERS.Rescaling(.5, .5)], "-1..1"),
    "levels of [-1, 1]": (lambda: [LAYERS.Rescaling(127.5, 127.5)], "-1..1"),
    "Normalization of levels": (lambda: [_normalization(255)], "0..255"),
    "Normalization of [0, 1]": (lambda: [_normalization(1)], "0..1"),
    "augmentation before it": (
        lambda: [keras.Sequential([LAYERS.RandomFlip(), LAYERS.RandomZoom(.1)]),
                 LAYERS.GaussianNoise(.1), LAYERS.Rescaling(1 / 255)],
        "0..255"),
    "inside a model": (
        lambda: [keras.Sequential([LAYERS.Rescaling(1 / 255)])], "0..255"),
    "both": (lambda: [LAYERS.Rescaling(1 / 255), _normalization(1)],
             "0..255"),
}


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_a_model_is_fed_what_its_first_layers_expect(kind, tmp_path):
  before, expects = BEGINNINGS[kind]
  model = network(LAYERS.Dense(3, activation="softmax"), before=before())
  path = saved(model, tmp_path / "mine.keras")
  classifier = models.load(path)
  np.testing.assert_allclose(
      tf.nn.softmax(classifier.model(X, training=False)),
      model(SCALED[expects](X), training=False), atol=1e-5)
  assert f"fed pixels in {expects}" in " ".join(classifier.notes)
  wrong = next(r for r in (*SCALED, "caffe") if r != expects)
  with pytest.raises(UserError, match=f"input_range='{wrong}': .* begins with "
                     f".*expects pixels in {expects}"):
    models.load(path, wrong)
  assert models.load(path, expects).num_classes == 3


@pytest.mark.parametrize("app", ["mobilenet_v2", "resnet", "densenet"])
def test_the_preprocessing_of_an_application_is_found(app, tmp_path):
  model = _called(getattr(APPS, app).preprocess_input)
  classifier = models.load(saved(model, tmp_path / "mine.keras"))
  np.testing.assert_allclose(classifier.model(X, training=False),
                             model(255 * X, training=False), rtol=1e-4,
                             atol=1e-4)


@pytest.mark.parametrize("before", [
    [], [LAYERS.BatchNormalization()], [LAYERS.Rescaling(2.)],
    [LAYERS.RandomFlip()], [LAYERS.ReLU()]])
def test_other_beginnings_say_nothing_about_the_range(before, tmp_path):
  model = network(LAYERS.Dense(3), before=before)
  found = preprocessing.find(model)
  assert found is None or not found.expects
  path = saved(model, tmp_path / "mine.keras")
  for given, expected in [("auto", X), ("-1..1", 2 * X - 1)]:
    np.testing.assert_allclose(
        models.load(path, given).model(X, training=False),
        model(expected, training=False), atol=1e-5)
