"""Classifiers of every name and of every kind of .keras file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf import config
from atcon_tf import models
from atcon_tf import settings
from atcon_tf.config import UserError

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
  count = 0
  for layer in model.layers:
    if isinstance(layer, keras.Model):
      count += _count_relus(layer)
    else:
      activation = layer.get_config().get("activation")
      count += isinstance(layer, LAYERS.ReLU) or activation == "relu"
  return count


def test_backbones_of_this_test_are_all():
  assert set(BACKBONES) == set(settings.MODELS) == set(config.IMAGE_SIZE)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone(name, monkeypatch):
  """The backbone as Keras makes it, pooled, times the head's matrix."""
  size, application = BACKBONES[name]
  bases, backbone = [], models._backbone

  def kept(*args):
    bases.append(backbone(*args))
    return bases[-1]

  monkeypatch.setattr(models, "_backbone", kept)
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
      attribution.check(classifier, "guided_backprop")
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


@pytest.mark.parametrize("name", models.INPUT_RANGES)
def test_input_ranges(name):
  image = np.array([[[[0., .5, 1.]]]], np.float32)
  expected = {
      "0..1": [0, .5, 1], "-1..1": [-1, 0, 1], "0..255": [0, 127.5, 255],
      "imagenet": [(0 - .485) / .229, (.5 - .456) / .224, (1 - .406) / .225],
      "caffe": [255 - 103.939, 127.5 - 116.779, 0 - 123.68]}[name]
  layer = models.Normalize(**models.INPUT_RANGES[name])
  np.testing.assert_allclose(layer(image)[0, 0, 0], expected, rtol=1e-5,
                             atol=1e-6)
  np.testing.assert_allclose(layer.undo(layer(image).numpy()), image,
                             atol=1e-6)
  again = models.Normalize.from_config(layer.get_config())
  np.testing.assert_array_equal(again(image), layer(image))


def test_features_and_head_compose():
  classifier = models.build("tiny_cnn", 3, image_size=16,
                            cam_layer=("relu2",))
  features, logits = classifier.maps(classifier.normalize(X))
  np.testing.assert_array_equal(
      classifier.features(classifier.normalize(X)), features)
  np.testing.assert_allclose(classifier.head(features), logits, atol=1e-6)
  np.testing.assert_allclose(classifier.model(X), logits, atol=1e-6)


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
  base = models._tiny_cnn(16)
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
  models.load_weights(second.model, path, "--warm_start", options["name"])
  np.testing.assert_array_equal(second.model(images), before)


def test_weights_that_do_not_fit(tmp_path):
  other = str(tmp_path / "other.weights.h5")
  _sequential().save_weights(other)
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
  with pytest.raises(UserError, match="--model=inception_v3 --image_size=40"):
    models.build("inception_v3", 2, image_size=40)


# A user's own model.


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
  assert classifier.relus == _count_relus(model)
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
  attribution.check(classifier, "guided_backprop")
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
  models.graph.Rerun(model, keras.Input([16, 16, 3]), reflect_padding=True,
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
     "--image_size: needed"),
    (lambda: _net(*_pooled(LAYERS.Dense(3))), {"image_size": 20},
     "--image_size=20: .* takes 16x16"),
    (lambda: _net(*_pooled(), inputs=keras.Input([16, 20, 3])), {},
     "takes 16x20; must be square"),
    (lambda: _net(*_pooled(LAYERS.Dense(3)), channels=1), {},
     "must be one batch of RGB images"),
    (lambda: keras.Sequential([keras.Input([16, 16, 3]), LAYERS.Flatten(),
                               LAYERS.Dense(3)]), {},
     "has no layer with a spatial map"),
    (lambda: _net(LAYERS.Conv2D(2, 9), size=None), {"image_size": 16},
     "--image_size=16"),
    (lambda: keras.Model(*(lambda m: (m.inputs, [m.outputs[0]] * 2))(
        _net(*_pooled()))), {}, "1 inputs and 2 outputs"),
    (lambda: _net(*_pooled(LAYERS.Dense(3))), {"cam_layer": ("conv9",)},
     "--cam_layer=conv9: no such layer .* conv2, norm, last"),
    (lambda: _net(*_pooled(LAYERS.Dense(3))), {"cam_layer": ("pool",)},
     r"--cam_layer=pool: its output \(None, 8\) has no spatial extent"),
], ids=["any size", "other size", "not square", "grey", "no map", "too small",
        "two outputs", "no such layer", "vector"])
def test_users_models_that_do_not_fit(build, options, expected, tmp_path):
  path = str(tmp_path / "mine.keras")
  build().save(path)
  with pytest.raises(UserError, match=expected) as caught:
    models.build(path, 3, **options)
  assert "\n" not in str(caught.value)


@keras.saving.register_keras_serializable("models_test")
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
  with pytest.raises(UserError, match="--cam_layer=side: the logits depend"):
    _ = classifier.head
  _ = models.build(path, 3).head  # the sum is all that the logits see
