"""Explanation heads: their maps and losses by hand, their layers, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import trained_head
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.models import explanation_head
from atcon_tf.models import geometry
from atcon_tf.objectives import l_cam
from atcon_tf.objectives import tame

SIZE, CLASSES = 16, 3


@pytest.fixture(scope="module")
def classifier():
  keras.utils.set_random_seed(0)
  return models.build("tiny_cnn", CLASSES, image_size=SIZE)


def _images(count=2):
  return np.random.default_rng(0).uniform(
      size=[count, SIZE, SIZE, 3]).astype(np.float32)


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def test_l_cam_by_hand(classifier):
  """sigmoid(F k + b) of the last map, one class for each image."""
  with_head = explanation_head.attach(classifier, "l_cam")
  head = with_head.attention
  assert head.layers_used == ("relu4",) and head.size == (2, 2)
  head.bias.assign([1., -2., 3.])
  pass_ = forward_pass.forward(with_head, _images())
  heat = head(trained_head.features_of(pass_), np.array([2, 0]))
  features, kernel = pass_.features[0].numpy(), head.kernel.numpy()
  for image, c, bias in [(0, 2, 3.), (1, 0, 1.)]:
    np.testing.assert_allclose(heat[image],
                               features[image] @ kernel[:, c] + bias,
                               rtol=1e-5)
  mask = attribution.explain(with_head, _images(), "l_cam", [2, 0])
  np.testing.assert_allclose(
      mask, attribution.enlarge(with_head, tf.sigmoid(heat)), rtol=1e-5)
  raw = attribution.explain(with_head, _images(), "l_cam", [2, 0],
                            output="logit")
  assert float(tf.reduce_max(raw)) > 1 > float(tf.reduce_max(mask))


def test_tame_by_hand(classifier):
  """Each branch, then the concatenation and the fusing convolution."""
  layers = ["relu2", "relu3"]
  with_head = explanation_head.attach(classifier, "tame", layers)
  head, view = with_head.attention, classifier.with_cam_layers(layers)
  keras.utils.set_random_seed(5)
  for variable in head.variables:
    variable.assign(keras.random.uniform(variable.shape, .1, 1.))
  pass_ = forward_pass.forward(view, _images())
  branches = []
  for f, branch in zip(pass_.features, head.branches):
    gamma, beta, mean, variance = (v.numpy() for v in branch.norm.weights)
    x = f.numpy() @ branch.conv.kernel.numpy()[0, 0] + branch.conv.bias.numpy()
    x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    x = np.maximum(x + f.numpy(), 0)
    # Pooling by two puts a cell between two of the larger map.
    place = ((0, 1), (0, 1)) if f.shape[1] == 8 else ((.5, 2), (.5, 2))
    branches.append(np.stack([
        geometry.resize(tf.constant(x[..., k]), (8, 8), place).numpy()
        for k in range(x.shape[-1])], -1))
  c = np.concatenate(branches, -1) @ head.kernel.numpy() + head.bias.numpy()
  heat = head(pass_.features, np.array([1, 2]))
  np.testing.assert_allclose(heat, [c[0, ..., 1], c[1, ..., 2]], rtol=1e-4)


def test_losses_by_hand():
  corner = tf.constant([[[1., 0.], [0., 0.]]])
  # Two steps of 1; the corner lies on two borders.
  np.testing.assert_allclose(tame.variation(corner), [(2 + .3 * 2) / 2])
  np.testing.assert_allclose(
      tame.area(corner), [(1.0005**.3 + 3 * .0005**.3) / 4], rtol=1e-6)
  np.testing.assert_allclose(tame.area(corner, 1.0), [.2505], rtol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_cross_entropy_of_the_masked_image(classifier, multi_label):
  with_head = explanation_head.attach(classifier, "no_skip", ["relu3", "relu4"])
  loss = tame.Tame(with_head, multi_label, "labels")
  label = np.array([[1, 0, 1], [0, 1, 0]], np.float32)
  batch = {"image": tf.constant(_images()), "label": tf.constant(label)}
  logits = classifier.model(batch["image"], training=False).numpy()
  # The highest logit among the labels.
  target = [0 if logits[0, 0] > logits[0, 2] else 2, 1]
  mask = attribution.explain(with_head, _images(), "tame", target).numpy()
  masked = classifier.model(_images() * mask[..., None]).numpy()
  probability = _sigmoid(masked) if multi_label else np.exp(masked) / np.exp(
      masked).sum(-1, keepdims=True)
  value, weight = loss.call(batch)["cross_entropy"]
  np.testing.assert_allclose(
      value, -np.log(probability[[0, 1], target]), rtol=1e-4)
  np.testing.assert_array_equal(weight, [1, 1])
  label[0] = 0  # an image without a label has no class to explain
  weight = loss.call({**batch, "label": tf.constant(label)})["area"][1]
  np.testing.assert_array_equal(weight, [0, 1])


def test_l_cam_fm_masks_the_feature_map(classifier):
  with_head = explanation_head.attach(classifier, "l_cam")
  loss = l_cam.LCam(with_head, "fm")
  explained = loss.explain({"image": tf.constant(_images())})
  features = classifier.features(classifier.normalize(_images()))
  np.testing.assert_allclose(
      explained["logits"], classifier.head(
          features * explained["map"][..., tf.newaxis]), rtol=1e-5)
  other = l_cam.LCam(with_head, "img").explain(
      {"image": tf.constant(_images())})
  assert np.abs(explained["logits"] - other["logits"]).max() > 1e-4


@pytest.mark.parametrize("name, size, layers", [
    ("tiny_cnn", 64, ("relu2", "relu3", "relu4")),
    ("mobilenet_v2", 161, ("block_6_expand_relu", "block_13_expand_relu",
                           "out_relu")),
    ("resnet50", 65, ("conv3_block4_out", "conv4_block6_out",
                      "conv5_block3_out"))])
def test_default_layers(name, size, layers):
  classifier = models.build(name, 2, image_size=size)
  assert explanation_head.default_layers(classifier.graph) == layers


def test_the_cap_and_the_place_of_the_map():
  classifier = models.build("tiny_cnn", 2, image_size=256)
  head = explanation_head.attach(classifier).attention
  assert head.size == (56, 56)  # relu2 has 128 x 128
  (offset, stride), _ = head.place
  np.testing.assert_allclose([offset, stride], [(256 / 56 - 1) / 2, 256 / 56])


def test_one_pass_and_any_batch(classifier):
  """The map of an image does not depend on the others or their classes."""
  with_head = explanation_head.attach(classifier, "sigmoid_branch")
  both = attribution.explain(with_head, _images(), "tame", [0, 1])
  one = attribution.explain(with_head, _images()[1:], "tame", [1])
  np.testing.assert_allclose(both[1:], one, atol=1e-6)
  assert both.shape == (2, SIZE, SIZE)
  assert 0 < float(tf.reduce_min(both)) < float(tf.reduce_max(both)) < 1


def test_what_cannot_be(classifier):
  with pytest.raises(UserError, match="^tame: tiny_cnn has no trained head; "
                     ".*--objective=tame --warm_start=RUN"):
    attribution.build(classifier, "tame")
  with_head = explanation_head.attach(classifier, "l_cam")
  with pytest.raises(UserError, match="^tame: the head of tiny_cnn is l_cam"):
    attribution.build(with_head, "tame")
  with pytest.raises(UserError, match="^feature_layers='relu9': no such "
                     "layer in tiny_cnn; the last that can carry a map: "):
    explanation_head.attach(classifier, "tame", ["relu3", "relu9"])
  images = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.Conv2D(4, 3)(images)
  x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
  with pytest.raises(UserError, match="^feature_layers='pool': its output "
                     r"\(None, 4\) has no spatial extent"):
    explanation_head.attach(models.wrap(keras.Model(images, x)), "tame",
                            ["pool"])
  with pytest.raises(UserError, match=r"^feature_layers=\('relu3', 'rel"):
    explanation_head.attach(classifier, "l_cam", ["relu3", "relu4"])
  with pytest.raises(UserError, match="^output='soft': must be one of mask, l"):
    attribution.build(with_head, "l_cam", output="soft")(_images(), [0, 1])
