"""LIME and KernelSHAP of a linear network, whose superpixels are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import superpixels
from atcon_tf.config import UserError
from atcon_tf import models

LAYERS = keras.layers
SIZE = 12


def _linear():
  keras.utils.set_random_seed(0)
  images = keras.Input([SIZE, SIZE, 3])
  x = LAYERS.Conv2D(4, 3)(images)
  return models.wrap(keras.Model(
      images, LAYERS.Dense(3)(LAYERS.GlobalAveragePooling2D()(x))))


def _images():
  return np.random.default_rng(0).uniform(
      size=[2, SIZE, SIZE, 3]).astype(np.float32)


def _drops(classifier, part):
  """What each superpixel of class 1 adds to the logit, on its pixels."""
  pass_ = forward_pass.forward(classifier, tf.constant(_images()))
  share = tf.reduce_sum(pass_.normalized * pass_.gradient(
      [1, 1], pass_.normalized), -1).numpy()
  return np.stack([np.bincount(p.ravel(), s.ravel())[p]
                   for p, s in zip(part, share)])


def test_kernel_shap_of_a_linear_network_is_exact():
  classifier = _linear()
  part = superpixels.slic(tf.constant(_images()), 9).numpy()
  heat = attribution.explain(classifier, _images(), "kernel_shap", 1,
                             samples=60, parts=9, output="logit")
  np.testing.assert_allclose(heat, _drops(classifier, part), atol=1e-4)


def test_kernel_shap_sums_to_the_difference_of_the_outputs():
  classifier = models.build("tiny_cnn", 3, image_size=32)
  images = np.random.default_rng(0).uniform(size=[2, 32, 32, 3]).astype(
      np.float32)
  pass_ = forward_pass.forward(classifier, images)
  heat = attribution.explain(classifier, images, "kernel_shap", 2, samples=9,
                             parts=16)
  part = superpixels.slic(pass_.normalized, 16).numpy()
  total = [sum(h[p == k].mean() for k in np.unique(p))
           for h, p in zip(heat.numpy(), part)]
  gain = forward_pass.score(
      classifier, pass_.normalized, [2, 2], "probability") - (
          forward_pass.score(classifier, 0 * pass_.normalized, [2, 2],
                             "probability"))
  # A part without a pixel has a value, which no pixel shows: it is about 0.
  np.testing.assert_allclose(total, gain, atol=1e-2 * np.abs(heat).max())


def test_lime_of_a_linear_network_shrinks_by_the_ridge_alone():
  classifier = _linear()
  part = superpixels.slic(tf.constant(_images()), 9).numpy()
  expected = _drops(classifier, part)
  exact, shrunk = (attribution.explain(
      classifier, _images(), "lime", 1, samples=60, parts=9, ridge=ridge,
      output="logit") for ridge in (1e-6, 1.))
  np.testing.assert_allclose(exact, expected, atol=1e-4)
  assert 0 < np.linalg.norm(shrunk) < np.linalg.norm(expected)


def test_superpixels_follow_the_colours():
  image = np.random.default_rng(0).uniform(0, .1, [1, 20, 30, 3])
  image[:, 3:9, 10:22] += 1
  part = superpixels.slic(tf.constant(image), 12).numpy()[0]
  assert part.max() < np.prod(superpixels.grid((20, 30), 12))
  inside = np.zeros([20, 30], bool)
  inside[3:9, 10:22] = True
  assert not set(part[inside]) & set(part[~inside])


def test_refusals():
  for method, options, why in [
      ("lime", {"samples": 0}, "samples=0"), ("lime", {"parts": 0}, "parts=0"),
      ("kernel_shap", {"parts": 1}, "at least 2")]:
    with pytest.raises(UserError, match=why):
      attribution.explain(_linear(), _images(), method, **options)
