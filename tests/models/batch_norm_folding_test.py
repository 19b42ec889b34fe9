"""Folding changes nothing but the number of operations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import models
from atcon_tf.models import batch_norm_folding

LAYERS = keras.layers


@pytest.fixture(autouse=True)
def float64():
  before = keras.config.floatx()
  keras.config.set_floatx("float64")
  keras.config.set_dtype_policy("float64")
  yield
  keras.config.set_floatx(before)
  keras.config.set_dtype_policy(before)


def _random(model, seed=0):
  """Gives every variable, moving statistics too, numbers of its own."""
  rng = np.random.default_rng(seed)
  for v in model.variables:
    v.assign(rng.uniform(.2, 1.2, v.shape) * (
        1 if "variance" in v.path else rng.choice([-1, 1], v.shape)))
  return model


def _model(*layers, size=9):
  images = keras.Input([size, size, 3])
  x = images
  for layer in layers:
    x = layer(x)
  return _random(keras.Model(images, x))


def _images(size=9):
  return np.random.default_rng(1).normal(size=[2, size, size, 3])


def _folded(model):
  return [l for l in model.layers
          if isinstance(l, batch_norm_folding.FoldedConvolution)]


PAIRS = {
    "convolution": lambda: [LAYERS.Conv2D(4, 3), LAYERS.BatchNormalization()],
    "no bias, strides": lambda: [
        LAYERS.Conv2D(4, 3, strides=2, padding="same", use_bias=False),
        LAYERS.BatchNormalization(epsilon=.1)],
    "dilated": lambda: [LAYERS.Conv2D(4, 3, dilation_rate=2),
                        LAYERS.BatchNormalization(axis=3)],
    "groups": lambda: [LAYERS.Conv2D(6, 3, groups=3),
                       LAYERS.BatchNormalization()],
    "depthwise": lambda: [LAYERS.DepthwiseConv2D(3, depth_multiplier=2),
                          LAYERS.BatchNormalization()],
    "depthwise, strides": lambda: [
        LAYERS.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False),
        LAYERS.BatchNormalization()],
    "neither scale nor centre": lambda: [
        LAYERS.Conv2D(4, 3),
        LAYERS.BatchNormalization(scale=False, center=False)],
    # Their kernels have more numbers than the outputs of a small batch.
    "large kernel": lambda: [LAYERS.Conv2D(4, 8, strides=2),
                             LAYERS.BatchNormalization()],
    "large depthwise kernel": lambda: [
        LAYERS.DepthwiseConv2D(8, depth_multiplier=2, use_bias=False),
        LAYERS.BatchNormalization()],
}


def test_the_scale_of_a_large_kernel_comes_after_it():
  for name in PAIRS:
    folded = batch_norm_folding.fold(_model(*PAIRS[name]()))
    traced = tf.function(folded, autograph=False).get_concrete_function(
        tf.constant(_images()))
    (layer,) = _folded(folded)
    large = 8 * np.prod(folded.output_shape[1:]) < np.prod(
        layer.convolution.kernel.shape)
    assert large == name.startswith("large")
    product = [op.inputs for op in traced.graph.get_operations()
               if op.type == "Mul" and op.outputs[0].shape.rank == 4]
    # A convolution times the scale, or the kernel times it.
    assert [any("Conv2d" in x.op.type or "Conv2D" in x.op.type
                for x in pair) for pair in product] == [large]


@pytest.mark.parametrize("layers", PAIRS.values(), ids=PAIRS)
def test_a_pair_gives_the_same_numbers_and_gradients(layers):
  model = _model(*layers())
  folded = batch_norm_folding.fold(model)
  assert len(_folded(folded)) == 1
  assert [id(v) for v in folded.trainable_variables] == [
      id(v) for v in model.trainable_variables]
  found = []
  for network in (model, folded):
    with tf.GradientTape() as tape:
      y = network(_images(), training=False)
      loss = tf.reduce_sum(y**3)
    found.append([y, *tape.gradient(
        loss, [v.value for v in model.trainable_variables])])
  for before, after in zip(*found):
    np.testing.assert_allclose(before, after, rtol=1e-9, atol=1e-9)


def test_in_training_it_learns_the_batches_statistics():
  plain, twin = (_model(*PAIRS["convolution"]()) for _ in range(2))
  folded = batch_norm_folding.fold(twin)
  for _ in range(2):
    np.testing.assert_allclose(plain(_images(), training=True),
                               folded(_images(), training=True))
  for a, b in zip(plain.variables, twin.variables):
    np.testing.assert_allclose(a, b)


def test_a_map_before_the_normalisation_is_left_alone():
  first, second = PAIRS["convolution"]()
  images = keras.Input([9, 9, 3])
  middle = first(images)
  model = _random(keras.Model(images, [middle, second(middle)]))
  assert not _folded(batch_norm_folding.fold(model))


@pytest.mark.parametrize("layers", (
    lambda: [LAYERS.Conv2D(4, 3, activation="relu"),
             LAYERS.BatchNormalization()],
    lambda: [LAYERS.BatchNormalization(), LAYERS.Conv2D(4, 3)],
    lambda: [LAYERS.Conv2D(4, 3), LAYERS.BatchNormalization(axis=1)],
    lambda: [LAYERS.Conv2D(4, 3), LAYERS.ReLU(),
             LAYERS.BatchNormalization()]))
def test_what_cannot_be_folded_is_left_alone(layers):
  model = _model(*layers())
  folded = batch_norm_folding.fold(model)
  assert not _folded(folded)
  np.testing.assert_array_equal(model(_images()), folded(_images()))


def test_a_convolution_that_is_read_twice_is_left_alone():
  images = keras.Input([9, 9, 3])
  middle = LAYERS.Conv2D(4, 3)(images)
  y = LAYERS.Add()([LAYERS.BatchNormalization()(middle), middle])
  assert not _folded(batch_norm_folding.fold(keras.Model(images, y)))


def test_layers_that_are_called_twice():
  conv, norm = LAYERS.Conv2D(3, 3, padding="same"), LAYERS.BatchNormalization()
  model = _model(conv, norm, LAYERS.ReLU(), conv, norm)
  folded = batch_norm_folding.fold(model)
  assert _folded(folded)
  np.testing.assert_allclose(model(_images()), folded(_images()),
                             rtol=1e-9)


# What these networks have is known: all but DenseNet's normalisations that
# come before their convolution.
@pytest.mark.parametrize("name, count", [
    ("mobilenet_v2", 52), ("resnet50", 53), ("densenet121", 59),
    ("efficientnet_b0", 49), ("tiny_cnn", 0)])
def test_backbones(name, count):
  keras.config.set_floatx("float32")
  keras.config.set_dtype_policy("float32")
  classifier = models.build(name, 2, image_size=65)
  assert len(_folded(classifier.maps)) == count
  assert not _folded(classifier.network)


def test_a_file_of_weights_is_the_same_wherever_the_map_is(tmp_path):
  model = _model(LAYERS.Conv2D(4, 3, name="conv"),
                 LAYERS.BatchNormalization(), LAYERS.ReLU(),
                 LAYERS.GlobalAveragePooling2D(), LAYERS.Dense(2))
  classifier = models.wrap(model)
  early = classifier.with_cam_layers(["conv"])
  assert _folded(classifier.maps) and not _folded(early.maps)
  classifier.stored.save_weights(tmp_path / "w.weights.h5")
  before = classifier.model(_images()).numpy()
  _random(model, seed=5)
  early.stored.load_weights(tmp_path / "w.weights.h5")
  np.testing.assert_allclose(early.model(_images()), before, rtol=1e-9)


def test_a_loop_reads_the_kernels_of_the_graph_around_it():
  folded = batch_norm_folding.fold(_model(*PAIRS["convolution"]()))

  def run(first):
    with batch_norm_folding.shared_kernels():
      x = tf.constant(_images())
      y = folded(x) if first else 0.
      loop = tf.while_loop(lambda i, _: i < 2, lambda i, y: (
          i + 1, y + folded(x)), (0, tf.zeros([2, 7, 7, 4], x.dtype)))[1]
      return y + loop + folded(x)

  want = folded(_images())
  for first in (True, False):
    traced = tf.function(run, autograph=False).get_concrete_function(first)
    graph = traced.graph.as_graph_def()
    inside = sum(node.op == "Rsqrt" for function in graph.library.function
                 for node in function.node_def)
    # Of a loop that comes first nothing can be read outside.
    assert inside == (0 if first else 1)
    assert sum(node.op == "Rsqrt" for node in graph.node) == 1
    np.testing.assert_allclose(traced(), (3 + first) * want)
