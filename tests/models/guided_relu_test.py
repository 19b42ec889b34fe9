"""The guided rule by hand, and every place where a ReLU may hide."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.models.graph import ModelGraph
from atcon_tf.models import guided_relu

X = np.array([-2., 0., 1., 3., 6., 7.])
DY = np.array([5., 5., -5., 4., 4., 3.])
LAYERS = keras.layers


@pytest.fixture(autouse=True)
def seed():
  keras.utils.set_random_seed(0)


def _gradient(x, dy, rule, max_value=None):
  x = tf.constant(x)
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = guided_relu.relu(x, max_value)
  if rule == "plain":
    return tape.gradient(y, x, output_gradients=tf.constant(dy))
  with guided_relu.guided_rule():
    return tape.gradient(y, x, output_gradients=tf.constant(dy))


@pytest.mark.parametrize("rule, max_value, expected", [
    ("plain", None, [0, 0, -5, 4, 4, 3]),
    ("plain", 6, [0, 0, -5, 4, 0, 0]),
    ("guided", None, [0, 0, 0, 4, 4, 3]),
    ("guided", 6, [0, 0, 0, 4, 0, 0])])
def test_rules_by_hand(rule, max_value, expected):
  np.testing.assert_array_equal(_gradient(X, DY, rule, max_value), expected)


@pytest.mark.parametrize("max_value, reference",
                         [(None, tf.nn.relu), (6, tf.nn.relu6)])
def test_plain_rule_is_tensorflows(max_value, reference):
  x = tf.constant(X)
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = reference(x)
  np.testing.assert_array_equal(guided_relu.relu(x, max_value), y)
  np.testing.assert_array_equal(
      _gradient(X, DY, "plain", max_value),
      tape.gradient(y, x, output_gradients=tf.constant(DY)))


def test_other_ceilings_are_refused():
  with pytest.raises(ValueError, match="max_value=4"):
    guided_relu.relu(tf.constant(X), 4)


def test_rule_ends_with_its_block_even_by_an_error():
  with pytest.raises(KeyError):
    with guided_relu.guided_rule():
      raise KeyError
  np.testing.assert_array_equal(_gradient(X, DY, "plain"),
                                [0, 0, -5, 4, 4, 3])


def test_rule_of_one_thread_is_not_that_of_another():
  found = []
  with guided_relu.guided_rule():
    thread = threading.Thread(
        target=lambda: found.append(_gradient(X, DY, "plain").numpy()))
    thread.start()
    thread.join()
  np.testing.assert_array_equal(found, [[0, 0, -5, 4, 4, 3]])


def test_rule_holds_where_the_gradient_is_traced():
  @tf.function
  def both(x):
    with tf.GradientTape(persistent=True) as tape:
      tape.watch(x)
      y = guided_relu.relu(x) * tf.constant(DY)
    with guided_relu.guided_rule():
      changed = tape.gradient(y, x)
    return tape.gradient(y, x), changed

  plain, changed = both(tf.constant(X))
  np.testing.assert_array_equal(plain, [0, 0, -5, 4, 4, 3])
  np.testing.assert_array_equal(changed, [0, 0, 0, 4, 4, 3])


@pytest.mark.parametrize("max_value", [None, 6])
def test_second_order(max_value):
  """The guided gradient of two layers, differentiated by finite
  differences."""
  rng = np.random.default_rng(0)
  first = tf.constant(rng.normal(size=[4, 5]))
  second = tf.constant(rng.normal(size=[5, 1]))
  x = tf.constant(2 * rng.normal(size=[3, 4]))

  def guided_gradient(x, first, second):
    with tf.GradientTape() as tape:
      tape.watch(x)
      hidden = guided_relu.relu(tf.square(x @ first), max_value)
      y = tf.exp(guided_relu.relu(hidden @ second) / 20)
    with guided_relu.guided_rule():
      return tape.gradient(y, x)

  arguments = [x, first, second]
  assert np.abs(guided_gradient(*arguments)).max() > 0
  for exact, numeric in zip(*tf.test.compute_gradient(
      guided_gradient, arguments, 1e-6)):
    np.testing.assert_allclose(exact, numeric, atol=1e-6, rtol=1e-5)


# Where a ReLU hides: each makes a model of one ReLU (or two) from an input.


def _functional(*layers):
  def build():
    x = images = keras.Input([6, 6, 3])
    for layer in layers:
      x = layer(x)
    return keras.Model(images, x)
  return build


def _nested():
  inner = _functional(LAYERS.Conv2D(4, 3), LAYERS.ReLU())()
  return _functional(inner, LAYERS.Conv2D(2, 1, activation="relu"))()


def _sequential():
  return keras.Sequential([
      keras.Input([6, 6, 3]), LAYERS.Conv2D(4, 3),
      keras.Sequential([LAYERS.Activation("relu"), LAYERS.Conv2D(2, 3)])])


def _called_twice():
  relu = LAYERS.ReLU()
  return _functional(LAYERS.Conv2D(4, 3), relu, LAYERS.Conv2D(4, 3), relu)()


HIDDEN = {
    "ReLU": (_functional(LAYERS.Conv2D(4, 3), LAYERS.ReLU()), 1),
    "ReLU6": (_functional(LAYERS.Conv2D(4, 3), LAYERS.ReLU(6.0)), 1),
    "Activation": (
        _functional(LAYERS.Conv2D(4, 3), LAYERS.Activation("relu")), 1),
    "Activation of ReLU6": (
        _functional(LAYERS.Conv2D(4, 3), LAYERS.Activation("relu6")), 1),
    "Activation of a layer": (
        _functional(LAYERS.Conv2D(4, 3), LAYERS.Activation(LAYERS.ReLU())), 1),
    "keras.ops": (_functional(LAYERS.Conv2D(4, 3), keras.ops.relu), 1),
    "keras.ops, ReLU6": (_functional(LAYERS.Conv2D(4, 3), keras.ops.relu6), 1),
    "keras.activations": (
        _functional(LAYERS.Conv2D(4, 3), keras.activations.relu), 1),
    "GuidedReLU": (
        _functional(LAYERS.Conv2D(4, 3), guided_relu.GuidedReLU()), 1),
    "nested": (_nested, 2),
    "Sequential": (_sequential, 1),
    "one layer called twice": (_called_twice, 1),
    **{f"fused into {kind.__name__}": (
        _functional(kind(*arguments, activation="relu")), 1)
       for kind, arguments in [
           (LAYERS.Conv2D, (4, 3)), (LAYERS.Dense, (4,)),
           (LAYERS.DepthwiseConv2D, (3,)), (LAYERS.SeparableConv2D, (4, 3)),
           (LAYERS.Conv2DTranspose, (4, 3))]},
    "fused as ReLU6": (
        _functional(LAYERS.Conv2D(4, 3, activation="relu6")), 1),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_found(name):
  build, count = HIDDEN[name]
  model = build()
  inputs = keras.Input([6, 6, 3])
  graph = ModelGraph(model, inputs)
  again = keras.Model(inputs, graph.outputs)
  x = tf.constant(np.random.default_rng(0).normal(size=[2, 6, 6, 3]) * 4,
                  tf.float32)
  assert graph.guided_relus == count
  np.testing.assert_allclose(again(x), model(x), atol=1e-6)

  with tf.GradientTape(persistent=True) as tape:
    tape.watch(x)
    y, reference = again(x), model(x)
    # Of both signs, so that a ReLU at the very end matters too.
    y, reference = (v * tf.cos(v + .5) for v in (y, reference))
  plain = tape.gradient(y, x)
  np.testing.assert_allclose(plain, tape.gradient(reference, x), atol=1e-5)
  with guided_relu.guided_rule():
    assert np.abs(tape.gradient(y, x) - plain).max() > 1e-3

  # The very same variables, each once; the model itself is as it was.
  assert {id(v) for v in again.variables} == {id(v) for v in model.variables}
  assert len(again.variables) == len(model.variables)
  before = model(x)
  again.set_weights([2 * w for w in again.get_weights()])
  assert np.abs(model(x) - before).max() > 1e-3
  np.testing.assert_allclose(again(x), model(x), atol=1e-5)


@pytest.mark.parametrize("layer", [
    LAYERS.ReLU(negative_slope=.1), LAYERS.ReLU(threshold=1.0),
    LAYERS.ReLU(max_value=4), LAYERS.LeakyReLU(), LAYERS.PReLU(),
    LAYERS.Activation("silu"), LAYERS.Dense(4, activation="gelu"),
    LAYERS.LSTM(4, activation="relu"), LAYERS.Add()],
    ids=lambda layer: layer.name)
def test_left_alone(layer):
  assert guided_relu.guided_version(layer) is None
  assert guided_relu.guided_version(guided_relu.fused_activation(layer)) is None


def test_a_users_layer_of_the_same_name_is_left_alone():
  class ReLU(keras.layers.Layer):  # pylint: disable=redefined-builtin
    max_value = None

  assert guided_relu.guided_version(ReLU()) is None


def test_altered_shares_variables_and_leaves_the_layer_as_it_was():
  layer = LAYERS.Conv2D(2, 3, padding="same", activation="relu")
  x = tf.constant(np.random.default_rng(0).normal(size=[1, 5, 5, 3]),
                  tf.float32)
  before = layer(x)
  twin = guided_relu.altered(layer, activation=keras.activations.linear,
                             padding="valid", name="other")
  assert twin.kernel is layer.kernel and twin.bias is layer.bias
  assert layer.padding == "same" and layer.name != "other"
  np.testing.assert_array_equal(layer(x), before)
  np.testing.assert_allclose(tf.nn.relu(twin(x)), before[:, 1:-1, 1:-1],
                             atol=1e-6)
  layer.kernel.assign(3 * layer.kernel)
  np.testing.assert_allclose(tf.nn.relu(twin(x)), layer(x)[:, 1:-1, 1:-1],
                             atol=1e-6)
  symbolic = keras.Input([5, 5, 3])
  twin(symbolic)
  assert not layer._outbound_nodes and not layer._inbound_nodes


@pytest.mark.parametrize("max_value", [None, 6])
def test_layer_is_saved_and_loaded(tmp_path, max_value):
  model = _functional(LAYERS.Conv2D(4, 3), guided_relu.GuidedReLU(max_value))()
  path = tmp_path / "model.keras"
  model.save(path)
  loaded = keras.saving.load_model(path)
  x = np.random.default_rng(0).normal(size=[2, 6, 6, 3]) * 9
  np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)
  assert loaded.layers[-1].max_value == max_value
  assert (np.max(model(x)) == 6) == (max_value == 6)
