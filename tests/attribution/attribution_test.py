"""Maps of small networks by hand; what may be asked and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import registry
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.models import guided_relu

LAYERS = keras.layers
METHODS = ["grad_cam", "gradient", "guided_backprop"]


@pytest.fixture(autouse=True)
def seed():
  keras.utils.set_random_seed(0)


def _random(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape)


def _images(size, count=3, dtype=np.float32):
  rng = np.random.default_rng(1)
  return rng.uniform(size=[count, size, size, 3]).astype(dtype)


def _classifier(tmp_path, *layers, size, classes=2, **options):
  """A classifier of a user's model made of these layers."""
  model = keras.Sequential([keras.Input([size, size, 3]), *layers])
  path = str(tmp_path / "mine.keras")
  model.save(path)
  classifier = models.build(path, classes, **options)
  assert not classifier.head_variables  # the user's own head is kept
  return classifier


def _conv(kernel, **options):
  """A 1x1 convolution without bias, `kernel` `[channels in, out]`."""
  return LAYERS.Conv2D(kernel.shape[1], 1, use_bias=False, **options,
                       kernel_initializer=keras.initializers.Constant(kernel))


def _dense(matrix, **options):
  return LAYERS.Dense(matrix.shape[1], use_bias=False, **options,
                      kernel_initializer=keras.initializers.Constant(matrix))


def _classes(images):
  return np.arange(len(images)) % 2


# By hand.


@pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "flattened"])
def test_grad_cam_of_a_linear_network(tmp_path, pooled):
  kernel = _random(3, 4)
  # Pooled: dy_c/dA_ijk = w_kc / 9. Flattened: w_ijkc, of which alpha is the
  # mean over the cells.
  matrix = _random(4 if pooled else 36, 2, seed=1)
  between = LAYERS.GlobalAveragePooling2D() if pooled else LAYERS.Flatten()
  classifier = _classifier(tmp_path, _conv(kernel, name="map"), between,
                           _dense(matrix), size=3, cam_layer=("map",))
  alpha = matrix / 9 if pooled else matrix.reshape(9, 4, 2).mean(0)
  images = _images(3)
  features = images @ kernel
  expected = np.einsum("bijk,kb->bij", features, alpha[:, _classes(images)])
  np.testing.assert_allclose(
      attribution.explain(classifier, images, "grad_cam", _classes(images)),
      expected, rtol=1e-4, atol=1e-6)


def test_gradient_of_a_linear_network(tmp_path):
  kernel, matrix = _random(3, 4), _random(4, 2, seed=1)
  classifier = _classifier(tmp_path, _conv(kernel),
                           LAYERS.GlobalAveragePooling2D(), _dense(matrix),
                           size=3)
  images = _images(3)
  # dy_c/dx is the same at every pixel: K w_c / 9.
  expected = np.abs(kernel @ matrix / 9).sum(0)[_classes(images)]
  found = attribution.explain(classifier, images, "gradient",
                              _classes(images))
  np.testing.assert_allclose(found, np.broadcast_to(
      expected[:, None, None], [3, 3, 3]), rtol=1e-4)


def test_guided_backprop_by_hand(tmp_path):
  # y = V relu(U relu(K x)) at each pixel, summed. The guided rule drops the
  # negative gradients at both ReLUs.
  kernel, matrix, last = (_random(*shape, seed=i) for i, shape in enumerate(
      [(3, 5), (5, 4), (4, 2)]))
  classifier = _classifier(
      tmp_path, _conv(kernel, activation="relu"), _conv(matrix), LAYERS.ReLU(),
      LAYERS.Flatten(), _dense(np.tile(last, [4, 1])), size=2)
  images = _images(2)
  first = images @ kernel
  second = np.maximum(first, 0) @ matrix
  weight = last[:, _classes(images)].T[:, None, None, :]
  plain = ((second > 0) * weight @ matrix.T * (first > 0)) @ kernel.T
  at_second = (second > 0) * np.maximum(weight, 0)
  at_first = (first > 0) * np.maximum(at_second @ matrix.T, 0)
  changed = at_first @ kernel.T
  assert np.abs(changed - plain).max() > .1
  for name, expected in [("gradient", plain), ("guided_backprop", changed)]:
    np.testing.assert_allclose(
        attribution.explain(classifier, images, name, _classes(images)),
        np.abs(expected).sum(-1), rtol=1e-4, atol=1e-5)


def test_two_maps_of_one_pass_are_those_of_two():
  classifier = models.build("tiny_cnn", 2, image_size=16)
  images = _images(16)
  pass_ = forward_pass.forward(classifier, images)
  for name in ["guided_backprop", "gradient", "grad_cam", "gradient"]:
    np.testing.assert_array_equal(
        registry.of_pass(name)(pass_, _classes(images)),
        attribution.explain(classifier, images, name, _classes(images)))


@pytest.mark.parametrize("name", METHODS)
def test_second_order(float64, tmp_path, name):
  """The derivative of a map by the weights, by finite differences."""
  keras.utils.set_random_seed(1)
  classifier = _classifier(
      tmp_path, LAYERS.Conv2D(4, 3, activation="relu"),
      LAYERS.BatchNormalization(), LAYERS.MaxPooling2D(),
      LAYERS.Conv2D(3, 2, name="conv"), LAYERS.ReLU(), LAYERS.Flatten(),
      LAYERS.Dense(2, activation="softmax"), size=8)
  images = tf.constant(_images(8, 2, np.float64))
  variables = classifier.model.trainable_variables

  def value():
    map_ = registry.of_pass(name)(
        forward_pass.forward(classifier, images), [0, 1])
    assert map_.dtype == tf.float64
    return tf.reduce_sum(tf.constant(_random(*map_.shape)) * map_)

  with tf.GradientTape() as tape:
    loss = value()
  gradients = tape.gradient(loss, [v.value for v in variables])
  compared = 0
  for variable, gradient in zip(variables, gradients):
    if gradient is None:
      continue  # the last bias: no map depends on it
    direction = _random(*variable.shape, seed=5)
    sides = []
    for step in (1e-6, -2e-6):
      variable.assign_add(step * direction)
      sides.append(value())
    variable.assign_add(1e-6 * direction)
    np.testing.assert_allclose(
        tf.reduce_sum(gradient * direction), (sides[0] - sides[1]) / 2e-6,
        rtol=1e-5, atol=1e-7, err_msg=variable.path)
    compared += 1
  assert compared >= len(variables) - 2


# One pass of a batch, of one image, inside a tf.function, of a nested model.


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_is_its_images_one_by_one(name, tmp_path):
  classifier = _classifier(
      tmp_path, LAYERS.Conv2D(6, 3, 2), LAYERS.BatchNormalization(),
      LAYERS.ReLU(6), LAYERS.SeparableConv2D(6, 3, activation="relu"),
      LAYERS.BatchNormalization(), LAYERS.GlobalAveragePooling2D(),
      LAYERS.Dropout(.5), LAYERS.Dense(2), size=16)
  images = _images(16)
  method = attribution.METHODS[name](classifier)
  together = method(images, _classes(images))
  alone = [method(images[i:i + 1], _classes(images)[i:i + 1])[0]
           for i in range(len(images))]
  scale = np.abs(together).max()
  np.testing.assert_allclose(together / scale, alone / scale, atol=1e-4)
  compiled = tf.function(method)(images, _classes(images))
  np.testing.assert_allclose(compiled / scale, together / scale, atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_nested_model_has_the_maps_of_a_flat_one(tmp_path, name):
  layers = [LAYERS.Conv2D(4, 3, activation="relu"), LAYERS.Conv2D(5, 3),
            LAYERS.ReLU()]
  head = [LAYERS.GlobalAveragePooling2D(), LAYERS.Dense(2)]
  flat = _classifier(tmp_path, *layers, *head, size=12)
  inner = keras.Sequential([keras.Input([12, 12, 3]), *layers], name="inner")
  nested = _classifier(tmp_path, inner, *head, size=12)
  images = _images(12)
  assert nested.relus == flat.relus == 2
  np.testing.assert_allclose(
      attribution.explain(nested, images, name),
      attribution.explain(flat, images, name), atol=1e-6)


# What may be asked.


def test_class_index_forms():
  classifier = models.build("tiny_cnn", 3, image_size=16)
  images = _images(16)
  explain = lambda index: attribution.explain(
      classifier, images, "grad_cam", index)
  each = np.stack([explain(c) for c in range(3)])
  for same in ([2] * 3, np.int64(2), np.full([3], 2, np.int32),
               tf.constant(2)):
    np.testing.assert_array_equal(explain(same), each[2])
  np.testing.assert_array_equal(explain([0, 2, 1]), each[[0, 2, 1], range(3)])
  best = np.argmax(classifier.model(images), -1)
  np.testing.assert_array_equal(explain(None), each[best, range(3)])
  assert np.abs(each[0] - each[1]).max() > 0


@pytest.mark.parametrize("index, expected", [
    (3, "class index 3: must be 0 to 2"), (-1, "class index -1"),
    ([0, 1, 7], "class index 7"), ([0, -2, 7], "class index -2"),
    ([0, 1], r"shape \(2,\): must be one number, or one for each of 3 images"),
    ([[0], [1], [2]], r"shape \(3, 1\)")])
def test_class_index_out_of_range(index, expected):
  classifier = models.build("tiny_cnn", 3, image_size=16)
  with pytest.raises(UserError, match=expected):
    attribution.explain(classifier, _images(16), "grad_cam", index)


def test_unknown_method():
  with pytest.raises(UserError, match="'grad_cma'; one of: .*grad_cam"):
    attribution.explain(models.build("tiny_cnn", 2, image_size=16),
                        _images(16), "grad_cma")


# Guided maps are refused where they would be plain ones.


def test_a_network_without_relu_is_refused_by_name(tmp_path):
  """EfficientNet itself: see models_test.py."""
  classifier = _classifier(
      tmp_path, LAYERS.Conv2D(4, 3, activation="silu"), LAYERS.Flatten(),
      LAYERS.Dense(2), size=8)
  with pytest.raises(UserError, match="guided_backprop: .*mine.keras has no "
                     "ReLU.*use gradient"):
    attribution.explain(classifier, _images(8), "guided_backprop")
  for name in ("grad_cam", "gradient"):
    found = attribution.explain(classifier, _images(8), name)
    assert np.all(np.isfinite(found)) and np.std(found) > 0


@keras.saving.register_keras_serializable("attribution_test")
class Block(LAYERS.Layer):
  """A layer of a user's that keeps its ReLU to itself."""

  def call(self, x):
    return tf.nn.relu(x - .5)


def test_a_relu_inside_a_users_layer_is_not_silently_plain(tmp_path):
  head = [LAYERS.GlobalAveragePooling2D(), LAYERS.Dense(2)]
  classifier = _classifier(tmp_path, LAYERS.Conv2D(4, 3), Block(), *head,
                           size=8)
  with pytest.raises(UserError, match="has no ReLU"):
    attribution.METHODS["guided_backprop"](classifier)


def test_a_network_that_only_adds_is_not_refused(tmp_path):
  """Every gradient is positive, and rightly the same by both rules."""
  classifier = _classifier(
      tmp_path, _conv(np.abs(_random(3, 4)), activation="relu"),
      LAYERS.GlobalAveragePooling2D(), _dense(np.abs(_random(4, 2))), size=4)
  images = _images(4)
  np.testing.assert_array_equal(
      attribution.explain(classifier, images, "guided_backprop"),
      attribution.explain(classifier, images, "gradient"))


def test_a_network_whose_relus_are_all_inactive_is_refused(tmp_path):
  classifier = _classifier(
      tmp_path, _conv(-np.abs(_random(3, 4)), activation="relu"),
      LAYERS.GlobalAveragePooling2D(), _dense(_random(4, 2)), size=4)
  with pytest.raises(UserError, match="all are inactive"):
    registry.check(classifier, "guided_backprop")


class Traced:
  """The maps of a classifier, traced as a function of their own."""

  def __init__(self, maps):
    self.input, self.outputs = maps.input, maps.outputs
    self._call = tf.function(maps)

  def __call__(self, images, training):
    return self._call(images, training=training)


def test_relus_inside_a_tf_function_are_refused():
  classifier = models.build("tiny_cnn", 2, image_size=16)
  registry.check(classifier, "guided_backprop")
  hidden = dataclasses.replace(classifier)
  hidden.maps = Traced(classifier.maps)
  with pytest.raises(UserError, match="equals its plain gradient.*hidden"):
    registry.check(hidden, "guided_backprop")
  registry.check(hidden, "grad_cam")  # needs no guided rule


def test_the_check_leaves_the_rule_as_it_was():
  registry.check(models.build("tiny_cnn", 2, image_size=16),
                 "guided_backprop")
  x = tf.constant([1.])
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = -guided_relu.relu(x)
  assert tape.gradient(y, x) == -1  # 0 by the guided rule
