"""Ours against tf-keras-vis on trained weights, and through its interface."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.utils import model_modifiers
from tf_keras_vis.utils import scores

from atcon_tf import attribution
from atcon_tf.attribution.methods import tf_keras_vis_methods
from atcon_tf.attribution.tf_keras_vis_interface import Visualization
from atcon_tf.config import UserError
from atcon_tf import models

pytest.importorskip("tf_keras_vis")

SIZE, COUNT = 96, 3
TARGET = np.array([1, 4, 2])


@functools.lru_cache(maxsize=1)
def _trained(path):
  """MobileNet 0.25 with ImageNet weights under a random head."""
  keras.utils.set_random_seed(0)
  return models.build("mobilenet", 6, path, image_size=SIZE, width=0.25)


@pytest.fixture
def trained(data_dir):
  path = data_dir / "weights" / "mobilenet_v1_0.25_224_notop.weights.h5"
  if not path.exists():
    pytest.skip(f"no {path.name} in the data")
  return _trained(str(path))


@pytest.fixture
def images(data_dir):
  folder = data_dir / "VOCdevkit" / "VOC2007" / "JPEGImages"
  paths = sorted(folder.glob("*.jpg"))[:COUNT]
  if len(paths) < COUNT:
    pytest.skip("no VOC images in the data")
  return np.stack([keras.utils.img_to_array(keras.utils.load_img(
      p, target_size=(SIZE, SIZE))) / 255 for p in paths]).astype(np.float32)


def correlation(ours, theirs):
  ours, theirs = np.asarray(ours), np.asarray(theirs)
  return min(np.corrcoef(a.ravel(), b.ravel())[0, 1]
             for a, b in zip(ours, theirs))


@pytest.mark.parametrize("name, method, options", [
    ("gradcam", "grad_cam", {}),
    ("gradcam_plus_plus", "grad_cam_plus_plus", {"normalize_alpha": True}),
    ("layercam", "layer_cam", {}),
    ("scorecam", "score_cam", {"weighting": "score",
                               "alignment": "aligned"}),
])
def test_cams_agree(trained, images, name, method, options):
  other = attribution.build(trained, f"tf_keras_vis:{name}")(images, TARGET)
  ours = attribution.explain(trained, images, method, TARGET, **options)
  ours = tf.nn.relu(ours)  # as theirs
  assert correlation(ours, other) > 0.999


def test_saliency_agrees_channel_by_channel(trained, images):
  """Theirs is the largest channel's |gradient|, ours their sum."""
  other = attribution.build(trained, "tf_keras_vis:saliency", keepdims=True)(
      images, TARGET)
  ours = attribution.explain(trained, images, "gradient", TARGET)
  assert correlation(ours, np.sum(other, -1)) > 0.999


def test_smooth_saliency_agrees_under_the_same_noise(trained, images,
                                                     monkeypatch):
  """Theirs averages with its modifier (|.|) inside; here it has none."""
  z = np.random.default_rng(0).normal(size=[COUNT, 5, SIZE, SIZE, 3])
  monkeypatch.setattr(np.random, "normal", lambda mean, sigma, shape: (
      np.asarray(sigma) * np.swapaxes(z, 0, 1)).astype(np.float32))
  model, _ = tf_keras_vis_methods.flat_copy(trained)
  other = Saliency(model)(
      scores.CategoricalScore(TARGET.tolist()), trained.normalize(images),
      smooth_samples=5, smooth_noise=0.15, keepdims=True,
      gradient_modifier=None, normalize_map=False)
  ours = attribution.explain(trained, images, "smooth_grad", TARGET,
                             samples=5, noise=z.astype(np.float32))
  assert correlation(ours, np.abs(other).sum(-1)) > 0.999


def _softmax_model():
  keras.utils.set_random_seed(0)
  images = keras.Input([16, 16, 3])
  x = keras.layers.Conv2D(4, 3, activation="relu", name="map")(images)
  x = keras.layers.GlobalAveragePooling2D()(x)
  return keras.Model(images, keras.layers.Dense(3, activation="softmax")(x))


def test_their_scores_and_modifiers_with_our_methods():
  model = _softmax_model()
  x = np.random.default_rng(0).uniform(size=[2, 16, 16, 3]).astype("float32")
  heat = Visualization(
      model, "grad_cam", model_modifiers.ReplaceToLinear())(
          scores.CategoricalScore([0, 2]), x, penultimate_layer="map")
  assert heat.shape == (2, 16, 16)
  assert heat.min() == 0 and heat.max() <= 1
  assert model.layers[-1].activation is keras.activations.softmax
  np.testing.assert_allclose(
      Visualization(model)(scores.CategoricalScore(1), x[0],
                           normalize_cam=False, expand_cam=False),
      attribution.explain(model, x[:1], class_index=1), rtol=1e-5)


def test_binary_score_explains_for_and_against():
  x = np.random.default_rng(0).uniform(size=[2, 16, 16, 3]).astype("float32")
  keras.utils.set_random_seed(0)
  model = keras.Sequential([
      keras.Input([16, 16, 3]), keras.layers.Conv2D(4, 3, activation="relu"),
      keras.layers.GlobalAveragePooling2D(),
      keras.layers.Dense(1, activation="sigmoid")])
  for_, against = (Visualization(model)(
      scores.BinaryScore(value), x, normalize_cam=False)
                   for value in (True, False))
  np.testing.assert_allclose(for_, -against, rtol=1e-5)
  assert np.abs(for_).max() > 0
  with pytest.raises(UserError, match="^score='BinaryScore': the model has 3"):
    Visualization(_softmax_model())(scores.BinaryScore(True), x)


def test_what_is_not_known():
  with pytest.raises(UserError, match="unknown method 'tf_keras_vis:camcam'"):
    attribution.build(_softmax_model(), "tf_keras_vis:camcam")
  with pytest.raises(UserError, match="score='function': must be a Cat"):
    Visualization(_softmax_model())(
        lambda y: y[:, 0], np.zeros([1, 16, 16, 3], np.float32))
