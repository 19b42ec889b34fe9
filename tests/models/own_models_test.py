"""What the graph of a user's model can hold, and what becomes of it.

Each kind is a report of someone who brought a network of his own: its values
are those that Keras gives for the same pixels, or it is refused by name.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.runs.run import load_classifier
from atcon_tf.serving import formats
from atcon_tf.training import head_start
from tests.own_models import LAYERS
from tests.own_models import network
from tests.own_models import saved

X = np.random.default_rng(0).uniform(size=[3, 16, 16, 3]).astype(np.float32)


# One output, two classes.


@pytest.mark.parametrize("end", ["sigmoid", "logit"])
def test_one_output_is_a_choice_between_two_classes(end, tmp_path):
  model = network(LAYERS.Dense(1, activation=end if end == "sigmoid"
                               else None, name="out"))
  path = saved(model, tmp_path / "mine.keras")
  classifier, names, multi_label = load_classifier(
      model=path, class_names=("cat", "dog"))
  assert names == ("cat", "dog") and not multi_label
  z = model(X, training=False)
  positive = (z if end == "sigmoid" else tf.sigmoid(z))[:, 0]
  np.testing.assert_allclose(
      tf.nn.softmax(classifier.model(X, training=False)),
      tf.stack([1 - positive, positive], 1), atol=1e-6)
  # Grad-CAM by hand: of half the logit, with the sign of the class.
  features = keras.Model(model.input, model.get_layer("map").output)(
      X, training=False)
  weights = model.get_layer("out").kernel[:, 0] / 5**2 / 2
  by_hand = tf.reduce_sum(features * weights, -1)
  dog = attribution.explain(classifier, X, "grad_cam", 1)
  cat = attribution.explain(classifier, X, "grad_cam", 0)
  assert dog.shape == by_hand.shape
  np.testing.assert_allclose(dog, by_hand, atol=1e-6)
  np.testing.assert_allclose(cat, -by_hand, atol=1e-6)
  assert "one output" in classifier.notes[0]


def test_one_output_of_one_class(tmp_path):
  """--multi_label, or one name, asks for a class that is there or not."""
  model = network(LAYERS.Dense(1, activation="sigmoid"))
  path = saved(model, tmp_path / "mine.keras")
  for options in ({"multi_label": True}, {"class_names": ("dog",)}):
    classifier, _, multi_label = load_classifier(model=path, **options)
    assert multi_label and classifier.num_classes == 1
    np.testing.assert_allclose(
        tf.sigmoid(classifier.model(X, training=False)),
        model(X, training=False), atol=1e-6)


# Half precision.


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_of_mixed_precision_runs_in_float32(policy, tmp_path):
  keras.config.set_dtype_policy(policy)
  try:
    half = network(LAYERS.Dense(3), LAYERS.Activation("softmax",
                                                      dtype="float32"))
  finally:
    keras.config.set_dtype_policy("float32")
  whole = network(LAYERS.Dense(3), LAYERS.Activation("softmax"))
  whole.set_weights(half.get_weights())
  classifier = models.load(saved(half, tmp_path / "half.keras"))
  np.testing.assert_allclose(
      tf.nn.softmax(classifier.model(X, training=False)),
      whole(X, training=False), atol=1e-6)
  assert all(t.dtype == "float32" for t in classifier.maps.outputs)
  assert policy in classifier.notes[0]
  reference = models.load(saved(whole, tmp_path / "whole.keras"))
  for method in ("grad_cam", "guided_backprop", "integrated_gradients"):
    np.testing.assert_allclose(attribution.explain(classifier, X, method),
                               attribution.explain(reference, X, method),
                               atol=1e-6)
  assert half.layers[1].compute_dtype == policy.removeprefix("mixed_")


def test_a_policy_of_half_precision_does_not_reach_a_classifier():
  """A notebook may have set one before it builds a named network."""
  keras.config.set_dtype_policy("mixed_float16")
  try:
    classifier = models.build("tiny_cnn", 3, image_size=16, head="unit")
  finally:
    keras.config.set_dtype_policy("float32")
  whole = models.build("tiny_cnn", 3, image_size=16, head="unit")
  whole.model.set_weights(classifier.model.get_weights())
  np.testing.assert_array_equal(classifier.model(X), whole.model(X))


def test_weights_in_half_precision_are_refused(tmp_path):
  model = network(LAYERS.Dense(3), body=[
      LAYERS.Conv2D(4, 3, dtype="float16", name="thin"),
      LAYERS.GlobalAveragePooling2D(), LAYERS.Dense(3)])
  with pytest.raises(UserError, match="the weights of its layer thin are "
                     "float16"):
    models.load(saved(model, tmp_path / "mine.keras"))


# Grey and wide images.


def test_a_network_of_grey_images_sees_the_luminance(tmp_path):
  model = network(LAYERS.Dense(2), size=(16, 16, 1))
  classifier = models.load(saved(model, tmp_path / "mine.keras"), "0..255")
  grey = 255 * (X @ np.float32([[.299], [.587], [.114]]))
  expected = model(grey, training=False)
  np.testing.assert_allclose(classifier.model(X, training=False), expected,
                             rtol=1e-3, atol=1e-3)
  np.testing.assert_allclose(
      formats.keras_only(classifier, False)(X, training=False),
      tf.nn.softmax(expected), atol=1e-4)
  # A plain Keras model gets its own images, and both are explained alike.
  np.testing.assert_allclose(
      attribution.explain(classifier, X, "grad_cam", 1),
      attribution.explain(model, grey, "grad_cam", 1), rtol=1e-3, atol=1e-3)
  normalized = classifier.normalize(X)
  assert normalized.shape == (3, 16, 16, 1)
  restored = classifier.normalize.undo(normalized.numpy())
  np.testing.assert_allclose(restored, np.repeat(grey / 255, 3, -1), atol=1e-5)
  with pytest.raises(UserError, match="input_range='caffe': is one of colours"):
    models.load(str(tmp_path / "mine.keras"), "caffe")


_METHODS = sorted(set(attribution.METHODS) - {
    "attention_rollout", "gradient_rollout", "legrad", "tame", "l_cam"})
_SMALL = {"sobol": {"masks": 40, "cells": 4}, "hsic": {"masks": 40},
          "guided_integrated_gradients": {"steps": 4}}


@pytest.mark.parametrize("size, method", [
    *(((16, 24, 3), name) for name in _METHODS),
    # Those of many passes look at grey images as they do at colours.
    *(((24, 16, 1), name) for name in _METHODS
      if not attribution.METHODS[name].many)])
def test_every_method_explains_wide_and_grey_networks(size, method, tmp_path):
  model = network(LAYERS.Dense(2), size=size)
  images = np.random.default_rng(0).uniform(size=[2, *size]).astype(np.float32)
  classifier = models.wrap(model)
  heat = attribution.explain(classifier, images, method, 1,
                             **_SMALL.get(method, {}))
  large = attribution.enlarge(classifier, heat)
  assert large.shape == (2, *size[:2]) and np.isfinite(large).all()
  if method == "grad_cam":  # two axes, each with a geometry of its own
    assert heat.shape == (2, (size[0] - 2) // 2 - 2, (size[1] - 2) // 2 - 2)


def test_a_named_network_of_wide_images():
  classifier = models.build("mobilenet_v2", 2, image_size="64x96", width=.35)
  assert classifier.image_size == (64, 96)
  assert classifier.maps.output_shape[0][1:3] == (2, 3)
  (rows, columns), = classifier.geometry
  assert rows[1] == columns[1] == 32


# Files of other ages.


def test_an_h5_file_is_the_same_model(tmp_path):
  model = network(LAYERS.Dense(3, activation="softmax"))
  classifier = models.load(saved(model, tmp_path / "old.h5"))
  np.testing.assert_allclose(
      tf.nn.softmax(classifier.model(X, training=False)),
      model(X, training=False), atol=1e-6)


class Unknown(keras.layers.Layer):
  """A layer that is not registered with Keras."""

  def call(self, x):
    return 2 * x


@pytest.mark.parametrize("write, says", [
    (lambda m, p: m.save_weights(p / "mine.weights.h5"),
     "holds weights alone; .* model.save"),
    (lambda m, p: m.export(p / "mine", verbose=False),
     "is a folder; a SavedModel"),
    (lambda m, p: (p / "mine.h5").write_bytes(b"\x89HDF"), "cannot be loaded"),
    (lambda m, p: network(LAYERS.Dense(3), Unknown()).save(p / "mine.keras"),
     "Unknown is not a part of Keras"),
    (lambda m, p: network(LAYERS.Dense(3), LAYERS.Lambda(lambda x: 2 * x))
     .save(p / "mine.keras"), "Lambda layer"),
    (lambda m, p: network(LAYERS.Dense(3), LAYERS.Lambda(lambda x: 2 * x))
     .save(p / "mine.h5"), "Lambda layer"),
], ids=["weights", "SavedModel", "broken", "unregistered", "Lambda",
        "Lambda in .h5"])
def test_what_is_no_model_says_how_to_save_one(write, says, tmp_path):
  write(network(LAYERS.Dense(3)), tmp_path)
  (path,) = tmp_path.iterdir()
  with pytest.raises(UserError, match=f"model='.*mine.*': .*{says}") as caught:
    load_classifier(model=str(path))
  assert "\n" not in str(caught.value)


# Neighbours.


def _ensemble(head):
  images = keras.Input([16, 16, 3])
  members = [network(LAYERS.Dense(3, activation=head)) for _ in range(2)]
  members[1].set_weights([w * .5 for w in members[1].get_weights()])
  return keras.Model(images, LAYERS.Average()([m(images) for m in members]))


ENDINGS = {
    "a cast behind the softmax": lambda: network(
        LAYERS.Dense(3, activation="softmax"),
        LAYERS.Activation("linear", dtype="float32")),
    "dropout behind the softmax": lambda: network(
        LAYERS.Dense(3, activation="softmax"), LAYERS.Dropout(.5)),
    "the mean of two softmaxes": lambda: _ensemble("softmax"),
    "keras.ops.softmax": lambda: (lambda m: keras.Model(
        m.input, keras.ops.softmax(m.output)))(network(LAYERS.Dense(3))),
    "log_softmax": lambda: network(LAYERS.Dense(3, activation="log_softmax")),
    "logits": lambda: network(LAYERS.Dense(3)),
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_probabilities_are_not_taken_for_logits(kind, tmp_path):
  model = ENDINGS[kind]()
  path = saved(model, tmp_path / "mine.keras")
  classifier, _, multi_label = load_classifier(model=path)
  expected = model(X, training=False)
  if kind == "logits":
    expected = tf.nn.softmax(expected)
  elif kind == "log_softmax":
    expected = tf.exp(expected)
  assert not multi_label
  np.testing.assert_allclose(
      tf.nn.softmax(classifier.model(X, training=False)), expected, atol=1e-5)


def test_the_mean_of_sigmoids_is_refused(tmp_path):
  path = saved(_ensemble("sigmoid"), tmp_path / "mine.keras")
  with pytest.raises(UserError, match="do not sum to 1; let it end in logits"):
    load_classifier(model=path)


@pytest.mark.parametrize("given", ["0..1", "-1..1", "0..255", "imagenet",
                                   "caffe"])
def test_an_exported_file_comes_back_as_the_same_classifier(given, tmp_path):
  """It begins with the normalisation that `export` puts there."""
  path = saved(network(LAYERS.Dense(3)), tmp_path / "mine.keras")
  classifier = models.load(path, given)
  exported = formats.keras_only(classifier, multi_label=False)
  again = models.load(saved(exported, tmp_path / "exported.keras"))
  np.testing.assert_allclose(
      tf.nn.softmax(again.model(X, training=False)),
      tf.nn.softmax(classifier.model(X, training=False)), atol=1e-5)


def _called_in_training():
  images = keras.Input([16, 16, 3])
  x = LAYERS.RandomFlip()(images, training=True)
  x = LAYERS.Conv2D(8, 3, name="map")(x)
  x = LAYERS.BatchNormalization()(x, training=True)
  x = LAYERS.Dropout(.5)(LAYERS.ReLU()(x), training=True)
  return keras.Model(images, LAYERS.Dense(3)(
      LAYERS.GlobalAveragePooling2D()(x)))


def test_a_layer_left_in_training_mode_is_at_rest(tmp_path):
  """Else a map would be another one at every call, and in every batch."""
  path = saved(_called_in_training(), tmp_path / "mine.keras")
  classifier = models.load(path)
  first = attribution.explain(classifier, X, "grad_cam", 1)
  np.testing.assert_array_equal(
      first, attribution.explain(classifier, X, "grad_cam", 1))
  np.testing.assert_allclose(
      first[:1], attribution.explain(classifier, X[:1], "grad_cam", 1),
      atol=1e-6)


@pytest.mark.parametrize("build", [
    lambda: network(LAYERS.Dense(3), dtype="uint8",
                    before=[LAYERS.Rescaling(1 / 255)]),
    lambda: network(LAYERS.Dense(3), size=(None, None, 3)),
    lambda: network(body=[LAYERS.Conv2D(4, 3, activation="relu"),
                          LAYERS.GlobalMaxPooling2D(), LAYERS.Dense(3)]),
    lambda: network(body=[LAYERS.Conv2D(4, 3, activation="relu"),
                          LAYERS.Flatten(), LAYERS.Dense(3)]),
], ids=["uint8 input", "any size", "GlobalMaxPooling", "Flatten"])
def test_other_inputs_and_poolings(build, tmp_path):
  model = build()
  uint8 = model.inputs[0].dtype == "uint8"
  classifier = models.load(saved(model, tmp_path / "mine.keras"),
                           image_size=16)
  pixels = np.round(255 * X) / 255
  expected = model(np.round(255 * X).astype(np.uint8) if uint8 else pixels,
                   training=False)
  np.testing.assert_allclose(classifier.model(pixels, training=False),
                             expected, atol=1e-5)
  heat = attribution.explain(classifier, pixels, "grad_cam", 1)
  assert np.abs(heat).max() > 0


def test_a_submodel_that_is_called_twice(tmp_path):
  """A siamese network of an image and its mirror image has two last maps."""
  images = keras.Input([16, 16, 3])
  body = network(body=[LAYERS.Conv2D(4, 3, activation="relu", name="conv")])
  both = [body(images), body(keras.ops.flip(images, 2))]
  x = LAYERS.Concatenate()([LAYERS.GlobalAveragePooling2D()(b) for b in both])
  model = keras.Model(images, LAYERS.Dense(3)(x))
  classifier = models.load(saved(model, tmp_path / "mine.keras"))
  np.testing.assert_allclose(classifier.model(X, training=False),
                             model(X, training=False), atol=1e-5)
  assert "depend on more than its last map" in classifier.notes[0]


def test_channels_first_layers_are_refused_by_name(tmp_path):
  model = network(body=[
      LAYERS.Permute([3, 1, 2]),
      LAYERS.Conv2D(4, 3, data_format="channels_first", name="first"),
      LAYERS.GlobalAveragePooling2D(data_format="channels_first"),
      LAYERS.Dense(3)])
  with pytest.raises(UserError, match="its layer first is of "
                     "channels_first images"):
    models.load(saved(model, tmp_path / "mine.keras"))


def test_several_inputs_or_outputs_are_refused(tmp_path):
  one = network(LAYERS.Dense(3))
  two = keras.Model(one.input, [one.output, one.get_layer("map").output])
  other = keras.Input([4])
  with_facts = keras.Model([one.input, other], LAYERS.Dense(3)(
      LAYERS.Concatenate()([one.output, other])))
  for model, says in [(two, "1 inputs and 2 outputs"),
                      (with_facts, "2 inputs and 1 outputs")]:
    with pytest.raises(UserError, match=says):
      models.load(saved(model, tmp_path / "mine.keras"))


def test_kept_features_are_of_one_file(tmp_path):
  """Two files with equal weights and shapes are two networks all the same."""
  found = set()
  for i, scale in enumerate((1 / 255, 1 / 127.5)):
    path = saved(network(LAYERS.Dense(3), before=[LAYERS.Rescaling(scale)]),
                 tmp_path / f"{i}.keras")
    reader = head_start.Features(models.load(path), "plain", 4)
    found.add(reader._network())
  assert len(found) == 2
