"""Sobol, HSIC, guided integrated gradients and Shapley-CAM, by hand."""

import pathlib

import keras
import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import guided_integrated_gradients
from atcon_tf.config import UserError
from atcon_tf import models

LAYERS = keras.layers
STORED = pathlib.Path(__file__).with_name("reference_sensitivity.npz")
SIZE = 6
# The pixel in the middle of each of 2 x 2 cells has the cell's value.
MIDDLE = (slice(None), slice(1, None, 3), slice(1, None, 3))


def _classifier(activation=None):
  keras.utils.set_random_seed(0)
  images = keras.Input([SIZE, SIZE, 3])
  x = LAYERS.Conv2D(4, 1 if activation is None else 3, name="map",
                    activation=activation)(images)
  return models.wrap(keras.Model(
      images, LAYERS.Dense(3)(LAYERS.GlobalAveragePooling2D()(x))))


def _images(count=2):
  return np.random.default_rng(0).normal(
      size=[count, SIZE, SIZE, 3]).astype(np.float32)


def test_sobol_of_a_linear_network_is_its_share_of_the_variance():
  """y = sum_i m_i s_i with independent m_i: S_i = s_i^2 / sum s^2."""
  classifier = _classifier()
  pass_ = forward_pass.forward(classifier, _images())
  drops = (pass_.normalized * pass_.gradient([1, 1], pass_.normalized)
           ).numpy().sum(-1).reshape(2, 2, 3, 2, 3).sum((2, 4))
  expected = drops**2 / (drops**2).sum((1, 2), keepdims=True)
  heat = attribution.explain(classifier, _images(), "sobol", 1, cells=2,
                             masks=5 * 1024, output="logit",
                             batch_size=2048)
  np.testing.assert_allclose(heat.numpy()[MIDDLE], expected, atol=.02)


def test_hsic_is_the_criterion_of_kernels():
  classifier = _classifier("tanh")
  heat = attribution.explain(classifier, _images(), "hsic", 2, cells=2,
                             masks=32, output="logit", seed=3).numpy()
  masks = qmc.Sobol(4, seed=3).random_base2(5) > .5
  large = masks.reshape(-1, 2, 2).repeat(3, 1).repeat(3, 2)[..., None]
  centre = np.eye(32) - 1 / 32
  for image, found in zip(_images(), heat[MIDDLE]):
    y = classifier.model(image * large).numpy()[:, 2]
    alike = np.exp(-(y[:, None] - y)**2 / (2 * y.var()))
    expected = [np.trace((masks[:, None, i] == masks[:, i]) @ centre @ alike
                         @ centre) / 32**2 for i in range(4)]
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method, masks, same, seeded", [
    ("sobol", 64 * 17, .999, .8), ("hsic", 512, .95, .8)])
def test_rank_correlation_with_xplique(method, masks, same, seeded):
  """tools/reference_sensitivity.py has made the arrays."""
  stored = np.load(STORED)
  model = keras.Sequential([
      keras.Input([12, 12, 3]), LAYERS.Conv2D(6, 3, activation="relu"),
      LAYERS.MaxPooling2D(), LAYERS.Conv2D(8, 2, activation="relu"),
      LAYERS.Flatten(), LAYERS.Dense(10, activation="relu"), LAYERS.Dense(3)])
  model.set_weights([stored[f"weight{i}"] for i in range(8)])
  for seed, least in ((None, same), (0, seeded)):
    heat = attribution.explain(
        model, stored["images"], method, stored["target"], cells=4,
        masks=masks, output="logit", seed=seed,
        batch_size=1024).numpy()[:, 1::3, 1::3]
    for ours, theirs in zip(heat, stored[method]):
      assert stats.spearmanr(ours.ravel(), theirs.ravel())[0] > least


def _guided_by_hand(gradient, x, start, steps, fraction, distance):
  """The authors' loop for one image, block after block."""
  here, total = start.copy(), np.zeros_like(x)
  for step in range(1, steps + 1):
    g = gradient(here)
    least, most = (start + np.clip(step / steps + d, 0, 1) * (x - start)
                   for d in (-distance, distance))
    goal = np.abs(x - start).sum() * (1 - step / steps)
    before = here.copy()
    behind = np.abs(here - start) < np.abs(least - start)
    here[behind] = least[behind]
    size = np.abs(g)
    while np.abs(x - here).sum() > goal + 1e-9:
      size[np.isclose(here, most, rtol=0, atol=1e-12)] = np.inf
      limit = np.quantile(size, fraction, method="lower")
      chosen = (size <= limit) & np.isfinite(size)
      room = np.abs(most - here)[chosen].sum()
      share = min(1, (np.abs(x - here).sum() - goal) / room)
      here[chosen] += share * (most - here)[chosen]
    total += (here - before) * g
  return total


def test_guided_integrated_gradients(float64):
  classifier = _classifier("tanh")
  x = _images().astype(np.float64)
  pass_ = forward_pass.forward(classifier, tf.constant(x))
  found = guided_integrated_gradients.guided_attributions(
      pass_, [0, 2], steps=12, fraction=.3, max_distance=.1).numpy()

  for image, target, ours in zip(x, (0, 2), found):
    def gradient(at, target=target):
      point = forward_pass.forward(classifier, tf.constant(at[None]))
      return point.gradient([target], point.normalized)[0].numpy()

    expected = _guided_by_hand(gradient, image, 0 * image, 12, .3, .1)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-9)
  complete = guided_integrated_gradients.guided_attributions(
      pass_, [0, 2], steps=300)
  gain = forward_pass.pick(pass_.logits, [0, 2]) - forward_pass.score(
      classifier, 0 * x, [0, 2])
  np.testing.assert_allclose(tf.reduce_sum(complete, [1, 2, 3]), gain,
                             rtol=.01)


def test_shapley_cam_of_a_pooled_head():
  """u = z_c + log p_c: du/dz = 2 e_c - p, d2u/dz2 = p p^T - diag p."""
  classifier = _classifier("tanh")
  a = classifier.features(_images()).numpy()
  kernel = np.asarray(classifier.head.layers[-1].kernel)
  mean = a.mean((1, 2))
  for output in ("probability", "logit"):
    heat = attribution.explain(classifier, _images(), "shapley_cam", 1,
                               output=output).numpy()
    for i in range(2):
      p = tf.nn.softmax(classifier.model(_images()[i:i + 1]))[0].numpy()
      slope, bend = np.eye(3)[1], np.zeros([3, 3])
      if output == "probability":
        slope, bend = 2 * slope - p, np.outer(p, p) - np.diag(p)
      weights = kernel @ (slope - bend @ (kernel.T @ mean[i]) / 2)
      np.testing.assert_allclose(heat[i], a[i] @ weights / a[i, ..., 0].size,
                                 rtol=1e-3, atol=1e-6)
  plain = attribution.explain(classifier, _images(), "grad_cam", 1)
  np.testing.assert_allclose(heat, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method, options, why", [
    # 6 x 6 pixels have 36 cells at most.
    ("sobol", {"masks": 73}, "masks=73: must be at least 74, 2 for each of"),
    ("sobol", {"cells": 0}, "cells=0"), ("hsic", {"masks": 1}, "masks=1"),
    ("guided_integrated_gradients", {"steps": 0}, "steps=0"),
    ("guided_integrated_gradients", {"fraction": 0}, "fraction=0"),
    ("guided_integrated_gradients", {"baseline": "white"}, "baseline='white'"),
    ("shapley_cam", {"output": "odds"}, "output='odds'")])
def test_refusals(method, options, why):
  with pytest.raises(UserError, match=why):
    attribution.explain(_classifier(), _images(), method, 0, **options)
