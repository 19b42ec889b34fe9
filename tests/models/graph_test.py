"""A model's graph run once more: names, nesting, probabilities, padding."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.models.edge_padding import ReflectionPadding
from atcon_tf.models.graph import ModelGraph
from atcon_tf.models import guided_relu

LAYERS = keras.layers
X = np.random.default_rng(0).normal(size=[2, 12, 12, 3]).astype(np.float32)


@pytest.fixture(autouse=True)
def seed():
  keras.utils.set_random_seed(0)


def _rerun(model, size=12, **options):
  inputs = keras.Input([size, size, 3], name="normalized")
  graph = ModelGraph(model, inputs, **options)
  return graph, keras.Model(inputs, graph.outputs)


def _chain(*layers, name=None, size=12):
  x = images = keras.Input([size, size, 3])
  for layer in layers:
    x = layer(x)
  return keras.Model(images, x, name=name)


def _check_same(model, **options):
  graph, again = _rerun(model, **options)
  np.testing.assert_allclose(again(X), model(X), atol=1e-5)
  assert {id(v) for v in again.variables} == {id(v) for v in model.variables}
  return graph, again


def test_layers_inside_nested_models_have_two_names():
  inner = _chain(LAYERS.Conv2D(4, 3, name="conv"), name="inner")
  middle = keras.Sequential([keras.Input([12, 12, 3]), inner], name="middle")
  graph, _ = _check_same(_chain(middle, LAYERS.Flatten(), LAYERS.Dense(2)))
  assert graph.tensors["conv"] is graph.tensors["middle/inner/conv"]
  assert graph.tensors["inner"] is graph.tensors["conv"]
  assert graph.geometry["middle/inner/conv"] == ((1, 1), (1, 1))


def test_equal_names_in_different_models():
  """A loaded backbone and a new head may both have a "conv2d"."""
  def block(name):
    return _chain(LAYERS.Conv2D(3, 3, padding="same", name="conv",
                                activation="relu"),
                  LAYERS.BatchNormalization(name="norm"),
                  LAYERS.ReLU(name="relu"), keras.ops.negative, name=name)

  first, second = block("first"), block("second")
  outer = _chain(first, second, LAYERS.Conv2D(2, 3, name="conv"))
  for layer in (first.layers[2], second.layers[2]):
    layer.moving_mean.assign([.1, .2, .3])
  graph, again = _check_same(outer)
  assert graph.guided_relus == 4
  assert graph.tensors["first/conv"].shape[-1] == 3
  assert graph.tensors["conv"].shape[-1] == 2  # the outermost, called last
  # A renamed BatchNorm still follows `training`.
  np.testing.assert_allclose(again(X, training=True),
                             outer(X, training=True), atol=1e-4)


def test_names_that_look_like_ours():
  model = _chain(LAYERS.Conv2D(3, 3, name="normalized", activation="relu"),
                 LAYERS.Conv2D(3, 3, name="normalized_relu"))
  _, again = _check_same(model)
  names = [layer.name for layer in again.layers]
  assert len(set(names)) == len(names) == 4


def test_a_layer_called_twice_is_known_by_its_last_call():
  conv = LAYERS.Conv2D(3, 3, activation="relu", name="shared")
  model = _chain(conv, LAYERS.MaxPooling2D(name="pool"), conv)
  graph, _ = _check_same(model)
  assert graph.guided_relus == 1
  assert graph.tensors["shared"].shape == (None, 3, 3, 3)
  assert list(graph.tensors) == ["pool", "shared"]
  assert graph.geometry["shared"] == ((3.5, 2), (3.5, 2))


def test_a_nested_model_called_twice():
  inner = _chain(LAYERS.Conv2D(3, 3, padding="same", activation="relu"))
  graph, again = _check_same(_chain(inner, inner))
  assert graph.guided_relus == 1
  assert len(again.trainable_variables) == 2


def test_several_inputs_keywords_and_constants():
  images = keras.Input([12, 12, 3])
  a = LAYERS.Conv2D(3, 1, activation="relu")(inputs=images)
  b = keras.ops.multiply(2.0, a)
  c = LAYERS.Add()([a, b, keras.ops.transpose(images, (0, 2, 1, 3))])
  c = LAYERS.Concatenate(axis=-1)([c, LAYERS.BatchNormalization()(a)])
  _check_same(keras.Model(images, c))


def test_a_map_made_of_tokens_is_spread_over_the_image():
  model = _chain(LAYERS.Conv2D(5, 4, strides=4), LAYERS.Reshape([9, 5]),
                 LAYERS.Dense(5), LAYERS.Reshape([3, 3, 5], name="map"))
  graph, _ = _check_same(model)
  # Three cells of four pixels each: 1.5 5.5 9.5.
  assert graph.geometry["map"] == ((1.5, 4), (1.5, 4))


@pytest.mark.parametrize("ending", [
    lambda: [LAYERS.Dense(4, activation="softmax")],
    lambda: [LAYERS.Dense(4, activation="sigmoid")],
    lambda: [LAYERS.Dense(4), LAYERS.Softmax()],
    lambda: [LAYERS.Dense(4), LAYERS.Activation("softmax")],
    lambda: [LAYERS.Dense(4), LAYERS.Activation("sigmoid", dtype="float32")],
    lambda: [LAYERS.Dense(4), keras.ops.softmax],
    lambda: [LAYERS.Dense(4), keras.ops.sigmoid],
    lambda: [keras.Sequential([keras.Input([432]),
                               LAYERS.Dense(4, activation="softmax")])]],
    ids=["fused softmax", "fused sigmoid", "Softmax", "Activation softmax",
         "Activation sigmoid", "ops softmax", "ops sigmoid", "nested"])
def test_a_final_probability_is_left_out(ending):
  # The sigmoid in the middle is part of the network.
  model = _chain(LAYERS.Activation("sigmoid"), LAYERS.Flatten(), *ending())
  before = model(X)
  _check_same(model)
  _, bare = _rerun(model, logits=True)
  logits = bare(X)
  matrix, bias = model.get_weights()
  flat = (1 / (1 + np.exp(-X))).reshape(len(X), -1)
  np.testing.assert_allclose(logits, flat @ matrix + bias, atol=1e-5)
  np.testing.assert_array_equal(model(X), before)


@pytest.mark.parametrize("ending", ["relu", "linear", "tanh"])
def test_other_endings_stay(ending):
  model = _chain(LAYERS.Flatten(), LAYERS.Dense(4, activation=ending))
  _check_same(model, logits=True)


def test_relus_keep_the_dtype_of_the_model():
  """A float64 model, whatever the policy is when it is run again."""
  images = keras.Input([12, 12, 3], dtype="float64")
  y = LAYERS.Conv2D(3, 3, dtype="float64", activation="relu")(images)
  y = LAYERS.Conv2D(3, 3, dtype="float64")(keras.ops.relu(y))
  y = LAYERS.ReLU(dtype="float64")(y)
  model = keras.Model(images, y)
  inputs = keras.Input([12, 12, 3], dtype="float64")
  again = keras.Model(inputs, ModelGraph(model, inputs).outputs)
  x = X.astype(np.float64) / 3
  np.testing.assert_allclose(again(x), model(x), rtol=1e-14)


def test_models_without_a_graph():
  class Subclassed(keras.Model):
    def call(self, x):
      return x

  with pytest.raises(UserError, match="subclassed one has no graph"):
    _rerun(Subclassed())
  with pytest.raises(UserError, match="let it begin with keras.Input"):
    _rerun(keras.Sequential([LAYERS.Conv2D(2, 3)]))


def test_weights_are_saved_and_loaded_by_another_process(tmp_path):
  """Automatic names differ between processes: they must not matter."""
  def build():
    inner = _chain(LAYERS.Conv2D(3, 3, activation="relu"),
                   LAYERS.BatchNormalization())
    return _rerun(_chain(inner, LAYERS.SeparableConv2D(3, 3, padding="same",
                                                       activation="relu")),
                  reflect_padding=True)[1]

  first = build()
  path = tmp_path / "saved.weights.h5"
  first.save_weights(path)
  LAYERS.ReLU()(keras.Input([3]))
  second = build()
  assert np.abs(first(X) - second(X)).max() > 1e-3
  second.load_weights(path)
  np.testing.assert_array_equal(first(X), second(X))


def test_the_new_graph_is_an_ordinary_keras_model(tmp_path):
  _, again = _rerun(_chain(
      LAYERS.Conv2D(3, 3, padding="same", activation="relu"),
      LAYERS.ZeroPadding2D(1), LAYERS.Conv2D(2, 3)), reflect_padding=True)
  path = tmp_path / "again.keras"
  again.save(path)
  np.testing.assert_allclose(keras.saving.load_model(path)(X), again(X),
                             atol=1e-6)


# Padding by reflection.


def test_reflection_by_hand():
  row = tf.constant([1., 2., 3.])[tf.newaxis, tf.newaxis, :, tf.newaxis]
  padded = ReflectionPadding([[0, 0], [1, 2]])(row)
  np.testing.assert_array_equal(padded[0, 0, :, 0], [2, 1, 2, 3, 2, 1])


PADDED = {
    "same": (lambda: [LAYERS.Conv2D(4, 3, padding="same")],
             [[1, 1], [1, 1]]),
    "same, fused ReLU": (
        lambda: [LAYERS.Conv2D(4, 3, padding="same", activation="relu")],
        [[1, 1], [1, 1]]),
    # 12 cells, steps of 2: (6 - 1) * 2 + 3 - 12 = 1, after the end.
    "same, stride 2": (
        lambda: [LAYERS.Conv2D(4, 3, 2, padding="same")], [[0, 1], [0, 1]]),
    "even window": (
        lambda: [LAYERS.Conv2D(4, (4, 1), padding="same")], [[1, 2], [0, 0]]),
    "dilated": (
        lambda: [LAYERS.Conv2D(4, 3, dilation_rate=2, padding="same")],
        [[2, 2], [2, 2]]),
    "depthwise": (
        lambda: [LAYERS.DepthwiseConv2D(5, padding="same")],
        [[2, 2], [2, 2]]),
    "separable": (
        lambda: [LAYERS.SeparableConv2D(4, 3, padding="same")],
        [[1, 1], [1, 1]]),
    "zero padding": (
        lambda: [LAYERS.ZeroPadding2D(((0, 1), (2, 3))), LAYERS.Conv2D(4, 3)],
        [[0, 1], [2, 3]]),
}


@pytest.mark.parametrize("name", PADDED)
def test_reflect_padding_is_tf_pad_and_a_valid_convolution(name):
  build, amounts = PADDED[name]
  layers = build()
  model = _chain(*layers)
  before = model(X)
  graph, again = _rerun(model, reflect_padding=True)
  conv = layers[-1]
  config = {**conv.get_config(), "padding": "valid"}
  valid = type(conv).from_config(config)
  valid.build([None, 20, 20, 3])
  valid.set_weights(conv.get_weights())
  expected = valid(tf.pad(X, [[0, 0], *amounts, [0, 0]], "REFLECT"))
  np.testing.assert_allclose(again(X), expected, atol=1e-5)
  assert np.abs(again(X) - before).max() > 1e-3
  np.testing.assert_array_equal(model(X), before)
  # Cells lie where zero padding puts them.
  plain, _ = _rerun(model)
  assert graph.geometry == plain.geometry


@pytest.mark.parametrize("layer", [
    LAYERS.Conv2D(4, 1, padding="same"), LAYERS.Conv2D(4, 3),
    LAYERS.Conv2DTranspose(4, 3, padding="same"),
    LAYERS.MaxPooling2D(3, 1, padding="same")], ids=lambda layer: layer.name)
def test_what_reflect_padding_leaves_alone(layer):
  _check_same(_chain(layer), reflect_padding=True)


@pytest.mark.parametrize("layers", [
    lambda: [LAYERS.MaxPooling2D(12), LAYERS.Conv2D(2, 3, padding="same")],
    lambda: [LAYERS.AveragePooling2D((12, 1)), LAYERS.ZeroPadding2D(1)],
    lambda: [LAYERS.Conv2D(2, 25, padding="same")]],
    ids=["conv", "zero padding", "window"])
def test_maps_too_small_to_reflect(layers):
  with pytest.raises(UserError, match="reflect_padding: the map at layer"):
    _rerun(_chain(*layers()), reflect_padding=True)


def test_second_order_through_reflect_padding():
  keras.utils.set_random_seed(0)
  dtype = "float64"
  images = keras.Input([5, 5, 1], dtype=dtype)
  y = LAYERS.Conv2D(4, 3, padding="same", activation="relu", dtype=dtype)(
      images)
  y = LAYERS.Conv2D(1, 5, padding="same", dtype=dtype)(y)
  inputs = keras.Input([5, 5, 1], dtype=dtype)
  graph = ModelGraph(keras.Model(images, y), inputs, reflect_padding=True)
  again = keras.Model(inputs, graph.outputs)
  assert {layer.compute_dtype for layer in again.layers[1:]} == {
      dtype}
  x = tf.constant(np.random.default_rng(0).normal(size=[1, 5, 5, 1]))

  def guided_gradient(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = tf.reduce_sum(tf.sin(again(x)))
    with guided_relu.guided_rule():
      return tape.gradient(y, x)

  assert guided_gradient(x).dtype == tf.float64
  (exact,), (numeric,) = tf.test.compute_gradient(guided_gradient, [x], 1e-6)
  assert np.abs(exact).max() > .01
  np.testing.assert_allclose(exact, numeric, atol=1e-6)
