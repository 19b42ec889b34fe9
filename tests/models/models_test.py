"""Classifiers over every named backbone; their weights."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.attribution import registry
from atcon_tf.config import settings
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.models import backbones
from atcon_tf.models import residual_3d

APPLICATIONS = keras.applications
LAYERS = keras.layers
# Sizes at which the last map has 2x2 cells, and Keras's own normalisation.
BACKBONES = {
    "tiny_cnn": (16, None),
    "mobilenet_v2": (33, APPLICATIONS.mobilenet_v2),
    "mobilenet": (93, APPLICATIONS.mobilenet),
    "resnet50": (33, APPLICATIONS.resnet),
    "resnet101": (33, APPLICATIONS.resnet),
    "densenet121": (61, APPLICATIONS.densenet),
    "inception_v3": (107, APPLICATIONS.inception_v3),
    "vgg16": (64, APPLICATIONS.vgg16),
    "vgg19": (64, APPLICATIONS.vgg19),
    # Its weights were trained on what the others call "torch".
    "efficientnet_b0": (33, APPLICATIONS.densenet),
}
WIDTH = {"mobilenet_v2": .35, "mobilenet": .25}
X = np.random.default_rng(0).uniform(size=[3, 16, 16, 3]).astype(np.float32)


@pytest.fixture(autouse=True)
def seed():
  keras.utils.set_random_seed(0)


def _images(size, count=2):
  rng = np.random.default_rng(1)
  return rng.uniform(size=[count, size, size, 3]).astype(np.float32)


def _count_relus(model):
  """ReLUs by what the layers' settings say."""
  return sum(isinstance(layer, LAYERS.ReLU)
             or layer.get_config().get("activation") == "relu"
             for layer in model.layers)


def test_backbones_of_this_test_are_all():
  assert {*BACKBONES, *residual_3d.NAMES} == set(settings.MODELS)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone(name, monkeypatch):
  """The backbone as Keras makes it, pooled, times the head's matrix."""
  size, application = BACKBONES[name]
  bases, make = [], backbones.make

  def kept(*args):
    bases.append(make(*args))
    return bases[-1]

  monkeypatch.setattr(backbones, "make", kept)
  classifier = models.build(name, 3, image_size=size,
                            width=WIDTH.get(name, 1.0), prior=[.1, .5, .9])
  (base,) = bases
  images = _images(size)
  before = 2 * images - 1 if application is None else (
      application.preprocess_input(255 * images))
  features = base(before, training=False).numpy()
  matrix, bias = (v.numpy() for v in classifier.head_variables)
  expected = features.mean((1, 2)) @ matrix + bias
  logits = classifier.model(images, training=False)
  assert logits.shape == (2, 3) and np.std(features) > 0
  np.testing.assert_allclose(
      logits, expected, atol=1e-4 * np.abs(expected).max(), rtol=1e-3)

  assert classifier.relus == _count_relus(base)
  if name == "efficientnet_b0":
    assert not classifier.relus
    with pytest.raises(UserError, match="efficientnet_b0 has no ReLU"):
      registry.check(classifier, "guided_backprop")
  assert classifier.features.output_shape[1:3] == (2, 2)
  assert classifier.image_size == (size, size)
  assert classifier.num_classes == 3

  # Each variable once, the backbone's own and the head's.
  variables = [id(v) for v in classifier.model.trainable_variables]
  assert sorted(variables) == sorted(
      id(v) for v in base.trainable_variables + classifier.head_variables)
  assert len(set(variables)) == len(variables)
  assert len(classifier.model.variables) == len(base.variables) + 2
  assert len(classifier.backbone_variables) == len(base.trainable_variables)


def test_head_begins_at_the_prior():
  prior = np.array([.02, .5, .9])
  classifier = models.build("tiny_cnn", 3, image_size=16, prior=prior)
  nothing = np.zeros([1, *classifier.features.output_shape[1:]])
  np.testing.assert_allclose(tf.sigmoid(classifier.head(nothing))[0], prior,
                             rtol=1e-5)
  prior = prior / prior.sum()
  classifier = models.build("tiny_cnn", 3, image_size=16, prior=prior,
                            multi_label=False)
  np.testing.assert_allclose(tf.nn.softmax(classifier.head(nothing))[0],
                             prior, rtol=1e-5)


def test_a_class_that_is_never_or_always_there_has_a_finite_bias():
  classifier = models.build("tiny_cnn", 2, image_size=16, prior=[0, 1])
  # log(.001 / .999) = -6.907
  np.testing.assert_allclose(classifier.head_variables[1],
                             [-6.906755, 6.906755], rtol=1e-5)


@pytest.mark.parametrize("name", backbones.INPUT_RANGES)
def test_input_ranges(name):
  image = np.array([[[[0., .5, 1.]]]], np.float32)
  expected = {
      "0..1": [0, .5, 1], "-1..1": [-1, 0, 1], "0..255": [0, 127.5, 255],
      "imagenet": [(0 - .485) / .229, (.5 - .456) / .224, (1 - .406) / .225],
      "kinetics": [(0 - .43216) / .22803, (.5 - .394666) / .22145,
                   (1 - .37645) / .216989],
      "caffe": [255 - 103.939, 127.5 - 116.779, 0 - 123.68]}[name]
  layer = backbones.Normalize(**backbones.INPUT_RANGES[name])
  np.testing.assert_allclose(layer(image)[0, 0, 0], expected, rtol=1e-5,
                             atol=1e-6)
  np.testing.assert_allclose(layer.undo(layer(image).numpy()), image,
                             atol=1e-6)
  again = backbones.Normalize.from_config(layer.get_config())
  np.testing.assert_array_equal(again(image), layer(image))


def test_features_and_head_compose():
  classifier = models.build("tiny_cnn", 3, image_size=16,
                            cam_layer=("relu2",))
  features, logits = classifier.maps(classifier.normalize(X))
  np.testing.assert_array_equal(
      classifier.features(classifier.normalize(X)), features)
  np.testing.assert_allclose(classifier.head(features), logits, atol=1e-6)
  np.testing.assert_allclose(classifier.model(X), logits, atol=1e-6)


def test_the_same_classifier_with_other_layers_or_without_normalisation():
  model = keras.Sequential([
      keras.Input([16, 16, 3]), LAYERS.Conv2D(4, 3, name="conv"),
      LAYERS.Flatten(name="flat"), LAYERS.Dense(2)])
  classifier = models.wrap(model, "caffe")
  other = classifier.with_layers(["conv", "flat"])
  assert other.cam_layers == ("conv", "flat")
  assert other.geometry == [((1, 1), (1, 1)), None]  # a vector is no map
  plain = classifier.on_normalized()
  np.testing.assert_allclose(plain.model(classifier.normalize(X)),
                             classifier.model(X), rtol=1e-5)
  for one in (other, plain):
    assert one.logits.shape == (None, 2)
    assert {id(v) for v in one.model.variables} == {
        id(v) for v in classifier.model.variables}


def test_float64_all_the_way(float64):
  classifier = models.build("vgg16", 2, image_size=32, reflect_padding=True,
                            cam_layer=("block4_pool",))
  images = tf.constant(_images(32), tf.float64)
  features, logits = classifier.maps(classifier.normalize(images))
  assert features.dtype == logits.dtype == tf.float64
  assert {v.dtype for v in classifier.model.variables} == {"float64"}
  assert {layer.compute_dtype for layer in classifier.maps.layers[1:]} == {
      "float64"}


# Weights.


def test_weights_file_of_the_backbone(tmp_path):
  path = str(tmp_path / "saved.weights.h5")
  base = backbones.tiny_cnn(16)
  base.save_weights(path)
  classifier = models.build("tiny_cnn", 2, path, image_size=16)
  np.testing.assert_allclose(
      classifier.features(X), base(X), atol=1e-6)


@pytest.mark.parametrize("options", [
    dict(name="vgg16"), dict(name="vgg16", reflect_padding=True),
    dict(name="tiny_cnn", reflect_padding=True)])
def test_weights_of_the_classifier(tmp_path, options):
  """With ReLUs and padding taken apart, as without."""
  size = 32
  first, second = (models.build(num_classes=2, image_size=size,
                                **options) for _ in range(2))
  images = _images(size)
  before = first.model(images)
  assert np.abs(before - second.model(images)).max() > 1e-3
  path = tmp_path / "best.weights.h5"
  first.model.save_weights(path)
  backbones.load_weights(second.model, path, options["name"],
                         ("warm_start", path))
  np.testing.assert_array_equal(second.model(images), before)


def test_weights_that_do_not_fit(tmp_path):
  other = str(tmp_path / "other.weights.h5")
  keras.Sequential([keras.Input([16, 16, 3]), LAYERS.Conv2D(4, 3),
                    LAYERS.Flatten(), LAYERS.Dense(3)]).save_weights(other)
  text = tmp_path / "text.weights.h5"
  text.write_text("not HDF5")
  cases = {
      other: "tiny_cnn", str(text): "tiny_cnn",
      str(tmp_path / "absent.weights.h5"): "no such file",
      str(tmp_path): "tiny_cnn"}
  for path, expected in cases.items():
    with pytest.raises(UserError, match=expected) as caught:
      models.build("tiny_cnn", 2, path, image_size=16)
    assert path in str(caught.value) and "\n" not in str(caught.value)
  # Those of its nearest kin.
  APPLICATIONS.VGG16(include_top=False, input_shape=(32, 32, 3),
                     weights=None).save_weights(other)
  with pytest.raises(UserError, match="not weights of vgg19"):
    models.build("vgg19", 2, other, image_size=32)


def test_backbone_too_small():
  with pytest.raises(UserError, match="^image_size=40: model=inception_v3: "):
    models.build("inception_v3", 2, image_size=40)


def test_a_size_that_keras_warns_of_is_no_warning(monkeypatch):
  def fails(*_, **__):
    raise OSError("no network")

  monkeypatch.setattr("keras.src.utils.file_utils.get_file", fails)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    with pytest.raises(UserError, match="cannot download mobilenet_v2 .no ne"):
      backbones.make("mobilenet_v2", "imagenet", 161)
