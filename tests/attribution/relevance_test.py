"""LRP, DeepLIFT and FullGrad: conservation, formulas by hand, refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import deep_lift
from atcon_tf.attribution.methods import full_grad
from atcon_tf.attribution.methods import gradient
from atcon_tf.attribution.methods import relevance_propagation
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.models import vit
from atcon_tf.models.feature_norm import FeatureNorm

LAYERS = keras.layers
SIZE = 12
LRP = ("lrp", "lrp_epsilon", "lrp_gamma", "lrp_alpha_beta", "lrp_z_plus")


def _randomize(model, biases):
  """Weights of any sign; biases and the means of normalisations, or none."""
  rng = np.random.default_rng(0)
  for v in model.variables:
    name = v.path.rpartition("/")[2]
    values = rng.normal(size=v.shape) * .5
    if name in ("moving_variance", "gamma"):
      values = rng.uniform(.5, 1.5, v.shape)
    elif name in ("bias", "beta", "moving_mean", "embedding") and not biases:
      values = np.zeros(v.shape)
    v.assign(values)
  return model


def _network(biases, unit=False):
  """Every kind of operation that both LRP and DeepLIFT have a rule for."""
  images = keras.Input([SIZE, SIZE, 3])
  x = LAYERS.Conv2D(6, 3, padding="same", name="first")(images)
  x = LAYERS.BatchNormalization()(x)
  x = skip = LAYERS.ReLU(6.)(x)
  x = LAYERS.DepthwiseConv2D(3, padding="same")(x)
  x = LAYERS.BatchNormalization()(x)
  gate = LAYERS.GlobalAveragePooling2D(keepdims=True)(x)
  gate = LAYERS.Conv2D(6, 1, activation="sigmoid")(gate)
  x = LAYERS.Multiply()([LAYERS.Activation("silu")(x), gate])
  x = LAYERS.Add()([x, skip])
  x = LAYERS.MaxPooling2D()(x)
  x = LAYERS.SeparableConv2D(8, 3, activation="leaky_relu")(x)
  x = LAYERS.Concatenate()([LAYERS.AveragePooling2D(2)(x),
                            LAYERS.MaxPooling2D()(x)])
  x = LAYERS.Flatten()(LAYERS.ZeroPadding2D()(x))
  x = LAYERS.Dense(8, activation="relu")(LAYERS.Dropout(.5)(x))
  if unit:
    x = FeatureNorm()(x)
  return models.wrap(_randomize(
      keras.Model(images, LAYERS.Dense(3)(x)), biases))


def _images(count=2, size=SIZE):
  return np.random.default_rng(1).normal(size=[count, size, size, 3])


def _logits(classifier, images, class_index):
  return tf.gather(classifier.model(images), class_index, batch_dims=1)


def _plain_network(bias=False):
  """Convolutions with a normalisation to fold, pooling, dense layers."""
  images = keras.Input([SIZE, SIZE, 3])
  x = images
  for channels in (6, 8):
    x = LAYERS.Conv2D(channels, 3)(x)
    x = LAYERS.ReLU()(LAYERS.BatchNormalization()(x))
  x = LAYERS.Flatten()(LAYERS.MaxPooling2D()(x))
  x = LAYERS.Dense(16, activation="relu")(x)
  return models.wrap(_randomize(
      keras.Model(images, LAYERS.Dense(3)(x)), bias))


@pytest.mark.parametrize("network, methods", [
    (_plain_network, LRP),
    # Here an output may have no positive or no negative part.
    (_network, ("lrp_epsilon", "lrp_gamma")),
    (lambda biases: _network(biases, unit=True),
     ("lrp_epsilon", "lrp_gamma"))], ids=["plain", "mixed", "unit"])
def test_relevance_sums_to_the_logit(float64, network, methods):
  classifier, target = network(False), [0, 2]
  logits = _logits(classifier, _images(), target)
  for method in methods:
    options = {"epsilon": 1e-12} if method in LRP[:2] else {}
    heat = attribution.explain(classifier, _images(), method, target,
                               **options)
    np.testing.assert_allclose(tf.reduce_sum(heat, [1, 2]), logits, rtol=1e-6,
                               err_msg=method)


def test_relevance_of_a_vision_transformer_sums_to_the_logit(float64):
  model = _randomize(vit.build(3, SIZE, patch=4, width=8, depth=2, heads=2),
                     biases=False)
  classifier = models.wrap(model)
  heat = attribution.explain(classifier, _images(), "lrp", 1, epsilon=1e-12)
  np.testing.assert_allclose(
      tf.reduce_sum(heat, [1, 2]), _logits(classifier, _images(), [1, 1]),
      rtol=1e-6)


def _two_layers():
  """Three inputs of any sign, two hidden ReLUs, one of two logits."""
  rng = np.random.default_rng(3)
  images = keras.Input([1, 2, 3])
  x = LAYERS.Dense(4, activation="relu")(LAYERS.Flatten()(images))
  model = keras.Model(images, LAYERS.Dense(2)(x))
  model.set_weights([rng.normal(size=v.shape) for v in model.variables])
  return model, rng.normal(size=[1, 2, 3])


def _by_hand(x, w, b, relevance, rule):
  """One layer's relevance, as the formulas of the papers say it."""
  parts = x[:, None] * w
  plus, minus = parts.clip(0), parts.clip(None, 0)
  z = parts.sum(0) + b
  z_plus, z_minus = plus.sum(0) + b.clip(0), minus.sum(0) + b.clip(None, 0)
  if rule == "epsilon":
    return (parts / (z + .1 * np.sign(z)) * relevance).sum(1)
  if rule == "gamma":
    share = np.where(z > 0, (parts + .5 * plus) / (z + .5 * z_plus),
                     (parts + .5 * minus) / (z + .5 * z_minus))
    return (share * relevance).sum(1)
  alpha = {"alpha_beta": 2, "z_plus": 1}[rule]
  return ((alpha * plus / z_plus - (alpha - 1) * minus / z_minus)
          * relevance).sum(1)


@pytest.mark.parametrize("rule", relevance_propagation.RULES)
@pytest.mark.parametrize("target", [0, 1])
def test_rules_by_hand(float64, rule, target):
  model, image = _two_layers()
  w1, b1, w2, b2 = model.get_weights()
  hidden = (image.ravel() @ w1 + b1).clip(0)
  logits = hidden @ w2 + b2
  assert logits[0] * logits[1] < 0  # both signs of a logit are tried
  relevance = _by_hand(hidden, w2, b2, logits * np.eye(2)[target], rule)
  expected = _by_hand(image.ravel(), w1, b1, relevance, rule)
  classifier = _of_columns(model)
  pass_ = forward_pass.forward(classifier, tf.constant(image)[None])
  heat = relevance_propagation.lrp_attributions(
      pass_, [target], rule, "z_plus", epsilon=.1, gamma=.5)
  np.testing.assert_allclose(tf.reshape(heat, [-1]), expected, rtol=1e-9)


def _of_columns(model):
  """A stand-in for a classifier of images that are not square."""
  class Stub:
    folded = model
    normalize = staticmethod(lambda images: images)
    maps = staticmethod(lambda x, training: [model(x)])
  return Stub


def test_lrp_without_epsilon_is_input_times_gradient(float64):
  classifier = _plain_network(bias=True)
  pass_ = forward_pass.forward(classifier, tf.constant(_images()))
  expected = gradient.input_x_gradient_attributions(pass_, [0, 1])
  heat = attribution.explain(classifier, _images(), "lrp_epsilon", [0, 1],
                             epsilon=0)
  np.testing.assert_allclose(heat, tf.reduce_sum(expected, -1), atol=1e-9)
  # FullGrad's terms are the rest of the logit.
  slope, terms = full_grad.bias_attributions(pass_, [0, 1])
  whole = tf.reduce_sum(pass_.normalized * slope, [1, 2, 3]) + sum(
      tf.reduce_sum(tf.reshape(t, [2, -1]), 1) for t in terms)
  np.testing.assert_allclose(whole, _logits(classifier, _images(), [0, 1]),
                             rtol=1e-9)


@pytest.mark.parametrize("unit", [False, True])
def test_summation_to_delta(float64, unit):
  classifier, target = _network(biases=True, unit=unit), [0, 2]
  for baseline in ("zero", "random"):
    heat = attribution.explain(classifier, _images(), "deep_lift", target,
                               baseline=baseline)
    pass_ = forward_pass.forward(classifier, tf.constant(_images()))
    start = deep_lift.integrated_gradients.baseline_images(pass_, baseline)
    gain = _logits(classifier, _images(), target) - _logits(
        classifier, start, target)
    np.testing.assert_allclose(tf.reduce_sum(heat, [1, 2]), gain, rtol=1e-6)
  others = np.random.default_rng(2).normal(size=[3, SIZE, SIZE, 3])
  heat = attribution.explain(classifier, _images(), "deep_shap", target,
                             baselines=others, batch_size=4)
  gain = _logits(classifier, _images(), target) - tf.reduce_mean(
      tf.gather(classifier.model(others), target, axis=1), 0)
  np.testing.assert_allclose(tf.reduce_sum(heat, [1, 2]), gain, rtol=1e-6)


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0"])
def test_backbones_have_rules(name):
  classifier = models.build(name, 3, image_size=64)
  images = np.random.default_rng(0).uniform(
      size=[1, 64, 64, 3]).astype(np.float32)
  for method in ("lrp", "deep_lift"):
    heat = attribution.explain(classifier, images, method, 0)
    assert np.ptp(heat) > 0


def test_refusals():
  images = keras.Input([SIZE, SIZE, 3])
  x = LAYERS.Conv2D(4, 3)(images)
  x = LAYERS.LayerNormalization(name="norm")(x)
  classifier = models.wrap(keras.Model(
      images, LAYERS.Dense(2)(LAYERS.GlobalAveragePooling2D()(x))))
  x = _images().astype(np.float32)
  with pytest.raises(UserError, match="deep_lift.*layer norm .*no rule"):
    attribution.explain(classifier, x, "deep_lift")
  y = LAYERS.Softmax(name="inner")(LAYERS.Conv2D(4, 3)(images))
  other = models.wrap(keras.Model(
      images, LAYERS.Dense(2)(LAYERS.GlobalAveragePooling2D()(y))))
  for method in ("lrp", "full_grad", "deep_shap"):
    with pytest.raises(UserError, match=f"{method}.*layer inner"):
      attribution.explain(other, x, method)
  for method, options, why in [
      ("lrp", {"dense": "zplus"}, "dense='zplus': must be one of epsilon"),
      ("lrp_alpha_beta", {"alpha": .5}, "alpha=0.5: must be at least 1"),
      ("lrp_epsilon", {"epsilon": -1}, "epsilon=-1: must be at least 0"),
      ("deep_lift", {"baseline": "white"}, "baseline='white': must be"),
      ("deep_shap", {"baselines": np.zeros([2, 3, 3, 3])}, "baselines of"),
      ("expected_gradients", {"samples": 0}, "samples=0"),
      ("blur_integrated_gradients", {"steps": 0}, "steps=0"),
      ("finer_cam", {"references": 0}, "references=0")]:
    with pytest.raises(UserError, match=why):
      attribution.explain(_small(), x, method, **options)


def _small():
  keras.utils.set_random_seed(0)
  images = keras.Input([SIZE, SIZE, 3])
  x = LAYERS.Conv2D(4, 3)(images)
  return models.wrap(keras.Model(
      images, LAYERS.Dense(3)(LAYERS.GlobalAveragePooling2D()(x))))


def test_linear_network_has_one_answer():
  """All path methods are `(x - x') w` where the gradient is w."""
  classifier, x = _small(), _images().astype(np.float32)
  pass_ = forward_pass.forward(classifier, tf.constant(x))
  w = pass_.gradient([1, 2], pass_.normalized)
  others = _images(3).astype(np.float32)[::-1]
  mean = others.mean(0)
  for method, start in [("deep_lift", 0 * x), ("deep_shap", mean),
                        ("expected_gradients", mean), ("lrp", None)]:
    options = {} if method in ("deep_lift", "lrp") else {
        "baselines": others}
    if method == "expected_gradients":
      options["samples"] = 6
    if method == "lrp":
      options, start = {"convolution": "epsilon", "epsilon": 0}, 0 * x
    heat = attribution.explain(classifier, x, method, [1, 2], **options)
    np.testing.assert_allclose(heat, tf.reduce_sum((x - start) * w, -1),
                               atol=1e-5, err_msg=method)
  blurred = deep_lift.integrated_gradients.blur(x, 3.)
  heat = attribution.explain(classifier, x, "blur_integrated_gradients",
                             [1, 2], sigma=3., steps=4)
  np.testing.assert_allclose(
      heat, gradient.magnitude((x - blurred) * w), atol=1e-5)


def test_finer_cam():
  classifier, x = _small(), _images().astype(np.float32)
  for alpha, references in [(0., 2), (1., 1), (.5, 9)]:
    heat = attribution.explain(classifier, x, "finer_cam", 1, alpha=alpha,
                               references=references)
    cams = np.stack([attribution.explain(classifier, x, "grad_cam", c)
                     for c in range(3)], 1)
    for one, own, z in zip(heat, cams, classifier.model(x).numpy()):
      near = sorted([0, 2], key=lambda c: abs(z[c] - z[1]))[:references]
      p = np.exp(z[near]) / np.exp(z[near]).sum()
      expected = own[1] - alpha * sum(a * own[d] for a, d in zip(p, near))
      np.testing.assert_allclose(one, expected, atol=1e-6)
