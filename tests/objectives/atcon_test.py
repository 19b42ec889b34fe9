"""ATCON's options: controls, targets, constants, the teacher."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.attribution import consistency
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import registry
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.objectives import atcon
from atcon_tf.objectives import base


@pytest.fixture(scope="module")
def classifier():
  keras.utils.set_random_seed(0)
  return models.build("tiny_cnn", 4, image_size=32, prior=[.3] * 4)


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  return {"image": tf.constant(rng.uniform(size=[3, 32, 32, 3]), tf.float32),
          "label": tf.constant([[1., 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])}


def _agreement_of(classifier, batch, **fields):
  pass_ = forward_pass.forward(classifier, batch["image"])
  target = tf.argmax(pass_.logits, -1)
  agreement = consistency.MapAgreement(**fields)
  return agreement.compare(pass_, target), pass_, target


def test_a_constant_mask_halves_the_contrast(classifier, batch):
  compared, pass_, target = _agreement_of(classifier, batch, mask="constant")
  np.testing.assert_allclose(compared["masked"], pass_.normalized / 2)
  assert "second" not in compared  # guided backpropagation is not computed
  half = forward_pass.forward_normalized(classifier, pass_.normalized / 2)
  np.testing.assert_allclose(
      compared["similarity"], consistency.pearson(
          registry.of_pass("grad_cam")(pass_, target),
          registry.of_pass("grad_cam")(half, target)), rtol=1e-5)


def test_a_random_mask_has_the_same_values_elsewhere(classifier, batch):
  real = _agreement_of(classifier, batch, mask_scale="std")[0]["mask"].numpy()
  other = _agreement_of(classifier, batch, mask_scale="std",
                        mask="random")[0]["mask"].numpy()
  np.testing.assert_allclose(np.sort(real.reshape(3, -1)),
                             np.sort(other.reshape(3, -1)), rtol=1e-6)
  moved = np.abs(real - other).mean((1, 2))
  assert np.all(moved > .1)


def _gradients(classifier, batch, variable, **options):
  loss = atcon.Atcon(classifier, consistency.MapAgreement(
    mask_scale="std"), **options)
  with tf.GradientTape() as tape:
    value = tf.reduce_mean(loss.call(batch)["consistency"][0])
  return tape.gradient(value, variable.value)


def test_stop_gradient_leaves_out_one_of_the_maps(classifier, batch):
  kernel = classifier.model.trainable_variables[0]
  whole, first, second = (
      _gradients(classifier, batch, kernel, stop_gradient=which).numpy()
      for which in ("none", "first", "second"))
  # The loss is differentiated through two maps; each alone is a part.
  np.testing.assert_allclose(whole, first + second, rtol=1e-3,
                             atol=1e-4 * np.abs(whole).max())
  assert np.abs(first).max() > 0 and np.abs(second).max() > 0


def test_targets(batch):
  logits = tf.constant([[1., 9, 2, 3], [5, 1, 2, 3], [4, 3, 2, 1]])
  pick = lambda name: [t.numpy().tolist() for t in
                       base.targets(logits, batch, name)]
  assert pick("argmax") == [[1, 0, 0]]
  assert pick("labels") == [[2, 1, 3]]  # the highest among the labels
  assert pick("top2") == [[1, 0, 0], [3, 3, 1]]


def test_top2_is_the_mean_of_two_classes(classifier, batch):
  pass_ = forward_pass.forward(classifier, batch["image"])
  first, second = base.targets(pass_.logits, batch, "top2")
  value, _ = atcon.Atcon(classifier, target="top2").call(batch)["consistency"]
  compared = [consistency.PUBLISHED.compare(pass_, t)["similarity"]
              for t in (first, second)]
  np.testing.assert_allclose(value, -(compared[0] + compared[1]) / 2, rtol=1e-5)


def test_the_teacher_follows_by_moving_averages(classifier, batch):
  keras.utils.set_random_seed(1)
  teacher = models.build("tiny_cnn", 4, image_size=32, prior=[.3] * 4)
  loss = atcon.Atcon(classifier, teacher=teacher, ema_decay=0.9)
  kernel = teacher.model.trainable_variables[0]
  before = kernel.numpy()
  own = classifier.model.trainable_variables[0].numpy()
  loss.after_update()
  np.testing.assert_allclose(kernel.numpy(), .9 * before + .1 * own,
                             rtol=1e-5)
  assert any(v is kernel for v in loss.state)
  alone = atcon.Atcon(classifier).call(batch)["consistency"][0]
  followed = loss.call(batch)["consistency"][0]
  assert np.abs(alone - followed).max() > 1e-3


def test_a_nearly_constant_mask_is_logged_as_such(classifier, batch):
  terms = atcon.Atcon(classifier).call(batch)
  assert terms["mask_std"][0].numpy().max() < .02
  np.testing.assert_allclose(terms["mask_mean"][0], .5, atol=.02)
  scaled = atcon.Atcon(classifier, consistency.MapAgreement(
    mask_scale="std")).call(batch)
  assert scaled["mask_std"][0].numpy().min() > .2


def test_guided_maps_need_a_relu():
  smooth = models.build("efficientnet_b0", 3, image_size=32)
  with pytest.raises(UserError, match="no ReLU"):
    atcon.Atcon(smooth)
  atcon.Atcon(smooth, consistency.MapAgreement(second_map="gradient"))


def test_smooth_grad_draws_other_noise_for_other_images(classifier, batch):
  def loss(images, **options):
    agreement = consistency.MapAgreement(
        second_map="smooth_grad", match="upsample",
        options={"smooth_grad": {"samples": 2, **options}})
    return atcon.Atcon(classifier, agreement).call(
        {**batch, "image": images})["consistency"][0].numpy()

  # The images are so nearly the same that only the noise differs.
  images, nearly = batch["image"], batch["image"] * np.float32(1 - 1e-6)
  np.testing.assert_array_equal(loss(images), loss(images))
  np.testing.assert_allclose(loss(images, seed=7), loss(nearly, seed=7),
                             atol=1e-3)
  assert np.abs(loss(images) - loss(nearly)).max() > 5e-3
