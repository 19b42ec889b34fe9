"""Features of one length: values, both gradients, files and exports."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import registry
from atcon_tf import models
from atcon_tf.models import feature_norm
from atcon_tf.models.feature_norm import FeatureNorm
from atcon_tf.models import probabilities
from atcon_tf.serving import formats

STEP = 1e-6


def _differences(function, x):
  """The gradient of a number, by central differences."""
  x = np.array(x, np.float64)
  out = np.zeros_like(x)
  for i in np.ndindex(x.shape):
    up, down = x.copy(), x.copy()
    up[i] += STEP
    down[i] -= STEP
    out[i] = (function(up) - function(down)) / (2 * STEP)
  return out


def _gradient(layer, x, dy, constant):
  x = tf.constant(x)
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x)
  if not constant:
    return tape.gradient(y, x, output_gradients=tf.constant(dy)).numpy()
  with feature_norm.constant_length():
    return tape.gradient(y, x, output_gradients=tf.constant(dy)).numpy()


def test_values_by_hand():
  found = FeatureNorm(length=2.)(tf.constant([[3., 4.], [0., -5.]]))
  np.testing.assert_allclose(found, [[1.2, 1.6], [0, -2]], rtol=1e-6)
  assert feature_norm.LENGTH == 10
  np.testing.assert_allclose(FeatureNorm()(tf.constant([[3., 4.]])), [[6, 8]],
                             rtol=1e-6)


@pytest.mark.parametrize("constant", [False, True])
def test_zero_stays_zero_and_its_gradient_is_finite(constant):
  """Beside another image, whose gradient it must not spoil."""
  x = np.array([[0., 0.], [3., 4.]], np.float32)
  np.testing.assert_array_equal(FeatureNorm()(tf.constant(x))[0], [0, 0])
  found = _gradient(FeatureNorm(), x, np.ones_like(x), constant)
  np.testing.assert_allclose(found[0], [10, 10])
  # Of 10 (x + y) / 5: 2 each, or 2 - 10 * 7 (3, 4) / 125.
  np.testing.assert_allclose(
      found[1], [2, 2] if constant else [.32, -.24], rtol=1e-5)


def test_both_gradients(float64):
  rng = np.random.default_rng(0)
  x, dy = rng.normal(size=[2, 3, 5])
  layer = FeatureNorm(length=7.)
  norm = np.linalg.norm(x, axis=1, keepdims=True)
  np.testing.assert_allclose(_gradient(layer, x, dy, True), 7 * dy / norm,
                             rtol=1e-12)
  true = _differences(lambda z: np.sum(dy * layer(tf.constant(z))), x)
  found = _gradient(layer, x, dy, False)
  np.testing.assert_allclose(found, true, atol=1e-7)
  # A change along x does not change the outcome; the constant rule differs.
  np.testing.assert_allclose(np.sum(found * x, 1), 0, atol=1e-12)
  assert np.abs(found - 7 * dy / norm).max() > .1


def test_the_rule_ends_with_its_block_and_nests():
  x, dy = np.array([[3., 4.]]), np.array([[1., 1.]])
  layer = FeatureNorm(dtype="float64")
  with pytest.raises(KeyError):
    with feature_norm.constant_length():
      with feature_norm.constant_length():
        pass
      np.testing.assert_allclose(_gradient(layer, x, dy, False), [[2, 2]])
      raise KeyError
  np.testing.assert_allclose(_gradient(layer, x, dy, False), [[.32, -.24]])


def test_the_rule_is_that_of_its_thread():
  """A replica that explains does not change another that trains."""
  layer, found = FeatureNorm(dtype="float64"), []
  x, dy = np.array([[3., 4.]]), np.array([[1., 1.]])
  with feature_norm.constant_length():
    thread = threading.Thread(
        target=lambda: found.append(_gradient(layer, x, dy, False)))
    thread.start()
    thread.join()
    np.testing.assert_allclose(_gradient(layer, x, dy, False), [[2, 2]])
  np.testing.assert_allclose(found, [[[.32, -.24]]])


@pytest.mark.parametrize("compiled", [False, True])
def test_second_derivatives_of_a_loss_of_maps(float64, compiled):
  """The inner gradient has constant lengths, the outer one has not."""
  rng = np.random.default_rng(1)
  x, w = rng.normal(size=[2, 4]), rng.normal(size=[4])
  layer = FeatureNorm(length=3.)

  def loss(x, kernel):
    with tf.GradientTape() as tape:
      tape.watch(x)
      score = tf.reduce_sum(tf.tanh(layer(x) * kernel))
    with feature_norm.constant_length():
      g = tape.gradient(score, x)
    return tf.reduce_sum(tf.square(g * x) * tf.constant([[1.], [2.]], x.dtype))

  def outer(x, kernel):
    with tf.GradientTape() as tape:
      tape.watch([x, kernel])
      value = loss(x, kernel)
    return tape.gradient(value, [x, kernel])

  def by_hand(x, w):
    """g = 3 w sech^2(w u) / |x|, u = 3 x / |x|: a function of x and w."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    g = 3 * w / np.cosh(w * 3 * x / norm)**2 / norm
    return np.sum((g * x)**2 * [[1.], [2.]])

  x_, w_ = tf.constant(x), tf.constant(w)
  np.testing.assert_allclose(loss(x_, w_), by_hand(x, w), rtol=1e-12)
  found = (tf.function(outer) if compiled else outer)(x_, w_)
  np.testing.assert_allclose(
      found[0], _differences(lambda z: by_hand(z, w), x), atol=1e-7)
  np.testing.assert_allclose(
      found[1], _differences(lambda z: by_hand(x, z), w), atol=1e-7)
  assert np.abs(found[0]).max() > .1


def _classifier(classes=3):
  keras.utils.set_random_seed(0)
  return models.build("tiny_cnn", classes, image_size=32, head="unit",
                      prior=[.3] * classes)


def _images(count=2):
  return np.random.default_rng(2).uniform(size=[count, 32, 32, 3])


def test_grad_cam_sees_a_constant_length(float64):
  classifier = _classifier()
  pass_ = forward_pass.forward(classifier, tf.constant(_images()))
  target = np.array([2, 0])
  a = pass_.features[-1].numpy()
  kernel, bias = [v.numpy() for v in classifier.head_variables]
  pooled = a.mean((1, 2))
  norm = np.linalg.norm(pooled, axis=1, keepdims=True)
  np.testing.assert_allclose(
      pass_.logits, 10 * pooled / norm @ kernel + bias, rtol=1e-9)
  cells = a.shape[1] * a.shape[2]
  weights = kernel.T[target] * 10 / norm / cells
  want = np.einsum("bk,bijk->bij", weights, a)
  found = registry.of_pass("grad_cam")(pass_, tf.constant(target))
  np.testing.assert_allclose(found, want, rtol=1e-9)
  # The sum of the map is the logit without its bias, as of a linear head.
  np.testing.assert_allclose(
      want.sum((1, 2)), (pass_.logits - bias).numpy()[[0, 1], target],
      rtol=1e-9)


def test_a_loss_sees_the_true_length(float64):
  """The gradient of a cross-entropy, in the bias of the last convolution."""
  classifier = _classifier()
  images = tf.constant(_images())
  label = tf.constant([[1., 0, 0], [0, 1, 1]], tf.float64)
  variable = next(v for v in classifier.model.trainable_variables
                  if v.path == "conv4/bias")

  def loss():
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(
        labels=label, logits=classifier.model(images)))

  with tf.GradientTape() as tape:
    value = loss()
  found = tape.gradient(value, variable.value).numpy()[:6]
  before = variable.numpy()

  def at(part):
    variable.assign(np.concatenate([part, before[6:]]))
    return loss().numpy()

  want = _differences(at, before[:6])
  variable.assign(before)
  np.testing.assert_allclose(found, want, atol=1e-6)
  assert np.abs(found).max() > 1e-3


def test_a_file_keeps_the_length_and_the_rule(tmp_path):
  inputs = keras.Input([2])
  model = keras.Model(inputs, FeatureNorm(length=4., name="unit")(inputs))
  model.save(tmp_path / "m.keras")
  loaded = keras.models.load_model(tmp_path / "m.keras")
  assert loaded.get_layer("unit").length == 4
  np.testing.assert_allclose(loaded(np.array([[3., 4.]])), [[2.4, 3.2]],
                             rtol=1e-6)
  x, dy = np.float32([[3., 4.]]), np.float32([[1., 1.]])
  np.testing.assert_allclose(_gradient(loaded, x, dy, True), [[.8, .8]],
                             rtol=1e-6)


def test_a_classifiers_file_gives_the_same_logits(tmp_path):
  classifier = _classifier()
  classifier.stored.save(tmp_path / "m.keras")
  loaded = keras.models.load_model(tmp_path / "m.keras")
  images = _images().astype(np.float32)
  np.testing.assert_allclose(loaded(images), classifier.model(images),
                             atol=1e-5)


@pytest.mark.parametrize("multi_label", [True, False])
def test_the_export_of_keras_alone_answers_the_same(tmp_path, multi_label):
  classifier = _classifier()
  formats.save_keras(formats.keras_only(classifier, multi_label),
                     tmp_path / "m.keras")
  loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={})
  kinds = {type(layer).__module__.partition(".")[0]
           for layer in loaded._flatten_layers()}
  assert kinds == {"keras"}
  images = np.concatenate([_images(), np.zeros([1, 32, 32, 3])])
  images = images.astype(np.float32)
  want = probabilities.probability(classifier.model(images), multi_label)
  np.testing.assert_allclose(loaded(images), want, atol=1e-5)
  # Without its scaling to 10 the answers would be far from these.
  assert np.std(want, axis=1).max() > .01


def test_features_of_zero_answer_the_prior_everywhere():
  """A head whose maps are all dark: both ways, 0 / 0 is not computed."""
  classifier = _classifier()
  for variable in classifier.backbone_variables:
    variable.assign(tf.zeros_like(variable))
  images = _images().astype(np.float32)
  np.testing.assert_allclose(tf.sigmoid(classifier.model(images)), .3,
                             rtol=1e-5)
  np.testing.assert_allclose(formats.keras_only(classifier, True)(images), .3,
                             rtol=1e-5)
  pass_ = forward_pass.forward(classifier, tf.constant(images))
  heat = registry.of_pass("grad_cam")(pass_, tf.constant([0, 1]))
  np.testing.assert_array_equal(heat, tf.zeros_like(heat))
