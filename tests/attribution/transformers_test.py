"""Maps of Vision Transformers that are made of Keras's own attention."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import attention_scores
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.serving import formats
from tests import own_models
from tests import stock_transformers
from tests.stock_transformers import GRID
from tests.stock_transformers import transformer

LAYERS = keras.layers
ROLLOUTS = ("attention_rollout", "gradient_rollout", "legrad")
TARGET = [0, 2]


@pytest.fixture(scope="module")
def network():
  """With a class token and 4 registers."""
  return transformer(before=5)


def _images(size=stock_transformers.SIZE):
  return np.random.default_rng(0).uniform(size=[2, *size, 3]).astype(
      np.float32)


def _blocks(model, tape):
  """The model by hand: scores and outputs of its blocks, watched."""
  get = model.get_layer
  x = get("patches")(_images())
  x = model.layers[3](tf.reshape(x, [2, -1, x.shape[-1]]))
  tape.watch(x)
  scores, sums, normed = [], [], []
  for n in (1, 2):
    normed.append(get(f"norm{n}")(x))
    mixed, own = get(f"attention{n}")(normed[-1], normed[-1],
                                      return_attention_scores=True)
    x = x + mixed
    x = x + get(f"last{n}")(get(f"hidden{n}")(get(f"second{n}")(x)))
    scores.append(own)
    sums.append(x)
  return normed, scores, sums


def _logit(model, x):
  """The logits of the classes, by the head of the class token."""
  logits = model.get_layer("logits")(model.get_layer("norm")(x)[:, 0])
  return tf.gather(logits, TARGET, batch_dims=1)


def test_grad_cam_of_the_cells_before_the_last_attention(network):
  classifier = models.wrap(network)
  assert classifier.cam_layers == ("attention2_grid",)
  assert classifier.geometry == [((1.5, 4), (1.5, 4))]
  np.testing.assert_allclose(classifier.model(_images()), network(_images()),
                             atol=1e-5)
  with tf.GradientTape() as tape:
    normed, _, sums = _blocks(network, tape)
    y = _logit(network, sums[-1])
  cells, g = (t[:, 5:].numpy() for t in (
      normed[1], tape.gradient(y, normed[1])))
  expected = np.einsum("btc,bc->bt", cells, g.mean(1)).reshape(2, *GRID)
  heat = attribution.explain(network, _images(), "grad_cam", TARGET)
  np.testing.assert_allclose(heat, expected, rtol=1e-3, atol=1e-5)
  first = classifier.with_cam_layers(["attention1_grid"])
  for method in ("hires_cam", "eigen_cam", "score_cam"):
    assert attribution.explain(first, _images(), method).shape == (2, *GRID)


def test_rollouts_and_legrad_by_hand(network):
  with tf.GradientTape(persistent=True) as tape:
    _, scores, sums = _blocks(network, tape)
    ys = [_logit(network, x) for x in sums]
  plain, relevance = np.eye(29)[None], np.eye(29)[None]
  change = 0
  for a, y in zip(scores, ys):
    plain = (a.numpy().mean(1) + np.eye(29)) / 2 @ plain
    g = tape.gradient(ys[-1], a)
    relevance = relevance + tf.nn.relu(g * a).numpy().mean(1) @ relevance
    change = change + tf.nn.relu(tape.gradient(y, a)).numpy().mean((1, 2)) / 2
  expected = {"attention_rollout": plain[:, 0],
              "gradient_rollout": (relevance - np.eye(29))[:, 0],
              "legrad": change}
  for method in ROLLOUTS:
    heat = attribution.explain(network, _images(), method, TARGET).numpy()
    wanted = expected[method][:, 5:].reshape(2, *GRID)
    np.testing.assert_allclose(heat, wanted, rtol=1e-3,
                               atol=1e-5 * wanted.max(), err_msg=method)


@pytest.mark.parametrize("before, head", [(0, "mean"), (1, "token")])
def test_a_network_of_closed_layers_is_opened(before, head):
  flat, closed = (transformer(before, head, closed=c) for c in (False, True))
  np.testing.assert_allclose(flat(_images()), closed(_images()), atol=1e-6)
  before_config = str(closed.layers[1].get_config())
  classifier = models.wrap(closed)
  assert classifier.geometry == [((1.5, 4), (1.5, 4))]
  for method in ("grad_cam", "gradient", *ROLLOUTS):
    one, other = (attribution.explain(m, _images(), method, TARGET).numpy()
                  for m in (flat, classifier))
    np.testing.assert_allclose(one, other, rtol=1e-3,
                               atol=1e-5 * np.abs(one).max(), err_msg=method)
  assert str(closed.layers[1].get_config()) == before_config
  # Its layers are still trained, all of them.
  held = {id(v) for v in classifier.model.trainable_variables}
  assert held == {id(v) for v in closed.trainable_variables}


def test_the_mean_of_all_tokens_is_read_where_the_head_reads_it():
  model = transformer(before=1, head="mean")
  classifier = attention_scores.with_attention(models.wrap(model), "rollout")
  scores = classifier.maps(_images())[:2]
  r = np.eye(25)
  for a in scores:
    r = (a.numpy().mean(1) + np.eye(25)) / 2 @ r
  heat = attribution.explain(model, _images(), "attention_rollout")
  np.testing.assert_allclose(heat, r.mean(1)[:, 1:].reshape(2, *GRID),
                             rtol=1e-4)


def test_compiled_saved_and_exported(network, tmp_path):
  classifier = models.load(own_models.saved(network, tmp_path / "vit.keras"))
  for method in ("grad_cam", "legrad"):
    expected = attribution.explain(network, _images(), method, TARGET).numpy()
    compiled = tf.function(attribution.build(classifier, method),
                           jit_compile=method == "legrad")
    np.testing.assert_allclose(
        compiled(tf.constant(_images()), tf.constant(TARGET)), expected,
        rtol=1e-3, atol=1e-4 * np.abs(expected).max())
  plain = formats.keras_only(classifier, False)
  np.testing.assert_allclose(plain(_images()),
                             tf.nn.softmax(network(_images())), atol=1e-5)
  assert not any("atcon_tf" in type(layer).__module__
                 for layer in plain.layers)


def _of_rows():
  """Tokens that are the rows of the image."""
  images = keras.Input([16, 16, 3])
  x = LAYERS.Conv2D(8, 3, padding="same")(images)
  x = LAYERS.Reshape([16, 128])(x)
  x = x + LAYERS.MultiHeadAttention(2, 4, name="of_rows")(x, x)
  return keras.Model(images, LAYERS.Dense(3)(
      LAYERS.GlobalAveragePooling1D()(x)))


def _without_sums():
  images = keras.Input([16, 16, 3])
  x = LAYERS.Reshape([16, 8])(LAYERS.Conv2D(8, 4, 4)(images))
  x = LAYERS.MultiHeadAttention(2, 4, name="alone")(x, x)
  return keras.Model(images, LAYERS.Dense(3)(
      LAYERS.GlobalAveragePooling1D()(x)))


def _along_axes():
  images = keras.Input([16, 16, 3])
  x = LAYERS.Conv2D(8, 4, 4)(images)
  x = x + LAYERS.MultiHeadAttention(2, 4, attention_axes=(1, 2),
                                    name="square")(x, x)
  return keras.Model(images, LAYERS.Dense(3)(
      LAYERS.GlobalAveragePooling2D()(x)))


def _flash():
  model = transformer()
  model.get_layer("attention2")._flash_attention = True
  return model


@pytest.mark.parametrize("make, why", [
    (_of_rows, "legrad: the tokens of .* are not one grid of patches"),
    (_without_sums, "no sum of tokens follows the attention layer alone"),
    (_along_axes, "the attention layer square of .* several axes"),
    (_flash, "the attention layer attention2 of .* flash attention")])
def test_refused_by_name(make, why):
  model = make()
  with pytest.raises(UserError, match=why):
    attribution.explain(model, _images(model.input_shape[1:3]), "legrad", 0)


def test_rules_of_layers_refuse_attention_by_name():
  with pytest.raises(UserError, match="the layer attention1 "):
    attribution.explain(transformer(0, "mean"), _images(), "lrp_epsilon", 0)


@pytest.mark.parametrize("name", ["vit", "dinov2"])
def test_networks_of_keras_hub(name):
  """Random weights; with the optional package alone."""
  hub = pytest.importorskip("keras_hub")
  keras.utils.set_random_seed(0)
  if name == "vit":
    backbone = hub.models.ViTBackbone(
        image_shape=(24, 16, 3), patch_size=4, num_layers=2, num_heads=2,
        hidden_dim=8, mlp_dim=16)
    model = hub.models.ViTImageClassifier(backbone, num_classes=3)
    grid = GRID
  else:
    backbone = hub.models.DINOV2Backbone(
        patch_size=4, num_layers=2, hidden_dim=8, num_heads=2,
        intermediate_dim=16, num_register_tokens=4, image_shape=(24, 24, 3),
        position_embedding_shape=(24, 24, 3))
    images = keras.Input([24, 24, 3])
    model = keras.Model(images, LAYERS.Dense(3)(
        backbone({"images": images})[:, 0]))
    grid = (6, 6)
  images = _images((4 * grid[0], 4 * grid[1]))
  classifier = models.wrap(model)
  np.testing.assert_allclose(classifier.model(images), model(images),
                             atol=1e-5)
  for method in ("grad_cam", *ROLLOUTS):
    heat = attribution.explain(classifier, images, method, TARGET).numpy()
    assert heat.shape == (2, *grid) and heat.std() > 0, method
