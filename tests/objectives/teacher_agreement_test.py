"""The agreement of a student's map with a teacher's: numbers by hand."""

import numpy as np
import pytest
from scipy import special
from scipy import stats
import tensorflow as tf

from atcon_tf import models
from atcon_tf.data import augment
from atcon_tf.objectives import self_training
from atcon_tf.objectives import teacher_agreement

RNG = np.random.default_rng(0)
STUDENT, TEACHER = RNG.normal(size=[2, 3, 4, 4])


def _pearson(a, b):
  a, b = (special.expit((m - m.mean()) / m.std(ddof=1)) for m in (a, b))
  return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def _cosine(a, b):
  a, b = np.maximum(a, 0).ravel(), np.maximum(b, 0).ravel()
  return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("name, by_hand", [("pearson", _pearson),
                                           ("cosine", _cosine)])
def test_similarities(name, by_hand):
  loss = teacher_agreement.agreement_loss(
      tf.constant(STUDENT), tf.constant(TEACHER), name,
      "similarity")
  np.testing.assert_allclose(
      loss, [-by_hand(a, b) for a, b in zip(STUDENT, TEACHER)], rtol=1e-6)


def test_soft_ranks_are_close_to_ranks():
  spread = 100 * np.arange(16.).reshape(1, 4, 4) ** 1.5
  mixed = RNG.permutation(spread.ravel()).reshape(1, 4, 4)
  loss = teacher_agreement.agreement_loss(
      tf.constant(spread), tf.constant(mixed), "soft_spearman",
      "similarity")
  wanted = stats.spearmanr(spread.ravel(), mixed.ravel())[0]
  np.testing.assert_allclose(-loss[0], wanted, atol=.03)


def test_info_nce_by_hand():
  loss = teacher_agreement.agreement_loss(
      tf.constant(STUDENT), tf.constant(TEACHER), temperature=0.5)
  every = np.array([[_pearson(s, t) for t in TEACHER] for s in STUDENT]) / .5
  wanted = np.log(np.exp(every).sum(1)) - np.diag(every)
  np.testing.assert_allclose(loss, wanted, rtol=1e-6)


def test_the_teacher_gets_no_gradient():
  student, teacher = tf.Variable(STUDENT), tf.Variable(TEACHER)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(teacher_agreement.agreement_loss(student, teacher))
  gradients = tape.gradient(loss, [student, teacher])
  assert np.abs(gradients[0]).max() > 1e-3 and gradients[1] is None


def test_a_mirrored_view_has_the_mirrored_map():
  classifier = models.build("tiny_cnn", 3, image_size=32)
  image = tf.constant(RNG.uniform(size=[2, 32, 32, 3]), tf.float32)
  seeds = [tf.constant([s, 0], tf.int64) for s in range(8)]
  views = [augment.distort(image, ("flip",), seed) for seed in seeds]
  mirrored = next(t for _, t in views if float(t[0, 0]) < 0)
  heat = tf.constant(RNG.uniform(size=[2, 4, 4]), tf.float32)
  moved = teacher_agreement.moved(classifier, heat, mirrored, (4, 4))
  still = teacher_agreement.moved(classifier, heat, tf.constant(
      [[1., 0, 0, 0, 1, 0, 0, 0]] * 2), (4, 4))
  np.testing.assert_allclose(moved[0], still[0, :, ::-1], atol=1e-5)


def test_the_averages_follow_the_weights():
  classifier = models.build("tiny_cnn", 3, image_size=32)
  teacher = models.build("tiny_cnn", 3, image_size=32)
  teacher.model.set_weights(classifier.model.get_weights())
  loss = self_training.SelfTraining(
      classifier, atcon_weight=0, agree_weight=1., teacher=teacher,
      agree_decay=.9)
  assert not loss.needs_teacher_maps
  kernel = classifier.model.trainable_variables[0]
  before = kernel.numpy()
  kernel.assign(before + 1)
  loss.after_update()
  np.testing.assert_allclose(teacher.model.trainable_variables[0],
                             before + .1, atol=1e-6)
