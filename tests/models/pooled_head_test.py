"""The gradient of a pooled head in closed form is the gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import models
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import cam
from atcon_tf.models import feature_norm
from tests.small_networks import small_classifier
from tests.small_networks import SIZE

IMAGES = np.random.default_rng(0).uniform(size=[2, SIZE, SIZE, 3])
METHODS = (cam.cam, cam.grad_cam, cam.grad_cam_plus_plus, cam.xgrad_cam,
           cam.hires_cam, cam.layer_cam, cam.finer_cam)


@pytest.mark.parametrize("head", ["linear", "unit"])
@pytest.mark.usefixtures("float64")
def test_maps_and_their_gradients_are_those_of_a_tape(head, monkeypatch):
  keras.utils.set_random_seed(0)
  classifier = models.build("tiny_cnn", 3, image_size=SIZE, head=head)
  assert (classifier.pooled_head.norm is None) == (head == "linear")
  target = tf.constant([2, 0])

  def found():
    result = []
    for method in METHODS:
      with tf.GradientTape() as tape:
        pass_ = forward_pass.forward(classifier, tf.constant(IMAGES))
        heat = method(pass_, target)
        loss = tf.reduce_sum(tf.sin(heat))
      variables = classifier.model.trainable_variables
      result.append((heat, tape.gradient(loss, [v.value for v in variables])))
    return result

  closed = found()
  with monkeypatch.context() as patch:
    patch.setattr(cam, "_pooled_head", lambda pass_, layer: None)
    taped = found()
  for (heat, gradients), (want, true) in zip(closed, taped):
    np.testing.assert_allclose(heat, want, rtol=1e-9, atol=1e-15)
    for one, other in zip(gradients, true):
      assert (one is None) == (other is None)
      if one is not None:
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-14)


def test_several_classes_at_once():
  for classifier, pooled in [
      (small_classifier()[0], True),
      (models.wrap(_model([keras.layers.Flatten(), keras.layers.Dense(3)])),
       False)]:
    assert bool(classifier.pooled_head) == pooled
    pass_ = forward_pass.forward(classifier, tf.constant(IMAGES, tf.float32))
    classes = tf.constant([[0, 2, 2], [1, 0, 2]])
    heat = cam.grad_cams(pass_, classes)
    for k in range(3):
      np.testing.assert_allclose(heat[:, k], cam.grad_cam(
          pass_, classes[:, k]), rtol=1e-4, atol=1e-7)


def _model(head):
  x = images = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.Conv2D(4, 3, activation="relu")(x)
  for layer in head:
    x = layer(x)
  return keras.Model(images, x)


@pytest.mark.parametrize("head, pooled", [
    (["GlobalAveragePooling2D"], True), (["GlobalMaxPooling2D"], False),
    (["Flatten"], False), (["GlobalAveragePooling2D", "relu"], False)])
def test_which_heads_are_pooled(head, pooled):
  layers = [keras.layers.ReLU() if name == "relu" else getattr(
      keras.layers, name)() for name in head]
  classifier = models.wrap(_model([*layers, keras.layers.Dense(3)]))
  assert bool(classifier.pooled_head) == pooled


def test_a_unit_head_is_found_through_its_norm():
  classifier = models.wrap(_model([
      keras.layers.GlobalAveragePooling2D(), feature_norm.FeatureNorm(),
      keras.layers.Dense(3)]))
  assert classifier.pooled_head.norm.length == feature_norm.LENGTH
