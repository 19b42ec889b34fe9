"""Self-training: sizes of classes, the terms of the loss, the bank."""

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf import data
from atcon_tf.data import augment
from atcon_tf.data import image_store
from atcon_tf import models
from atcon_tf.objectives import rank_labels
from atcon_tf.objectives import self_training
from atcon_tf.runs import run_data
from atcon_tf.training import pseudo_labels

# Five images, two classes.
LOGITS = np.array([[3., -1], [1, 5], [2, 4], [-2, 0], [0, -3]])


@pytest.fixture(scope="module")
def classifier():
  keras.utils.set_random_seed(0)
  return models.build("tiny_cnn", 3, image_size=32, prior=[.3] * 3)


def _batch(transform=(1, 0, 0, 0, 1, 0, 0, 0)):
  rng = np.random.default_rng(1)
  plain = tf.constant(rng.uniform(size=[2, 32, 32, 3]), tf.float32)
  moved = tf.constant([transform] * 2, tf.float32)
  return {"unaugmented": plain, "image": augment.warp(plain, moved),
          "transform": moved, "class_index": tf.constant([0, 2], tf.int64),
          "label": tf.constant([[1., 0, 0], [0, 0, 1]]),
          "label_weight": tf.constant([[1., 0, 1], [0, 0, 1]])}


def test_pseudo_is_the_weighted_cross_entropy(classifier):
  batch = _batch()
  value, weight = self_training.SelfTraining(
      classifier, atcon_weight=0).call(batch)["pseudo"]
  p = 1 / (1 + np.exp(-classifier.model(batch["image"]).numpy()))
  # Image 0 speaks of class 0 (yes) and 2 (no), image 1 of class 2 (yes);
  # the mean is over all three classes.
  np.testing.assert_allclose(
      value, [(-np.log(p[0, 0]) - np.log(1 - p[0, 2])) / 3,
              -np.log(p[1, 2]) / 3], rtol=1e-5)
  np.testing.assert_array_equal(weight, 1)


def test_terms_without_weight_are_not_computed(classifier):
  terms = self_training.SelfTraining(classifier, atcon_weight=0).call(_batch())
  assert set(terms) == {"pseudo"}
  loss = self_training.SelfTraining(classifier, equivariance_weight=.1,
                                    atcon_weight=.1)
  assert set(loss.call(_batch())) == {"pseudo", "equivariance", "atcon"}


def test_equivariance_is_perfect_without_a_change(classifier):
  loss = self_training.SelfTraining(classifier, equivariance_weight=1.,
                                    atcon_weight=0)
  value, _ = loss.call(_batch())["equivariance"]
  np.testing.assert_allclose(value, -1, atol=1e-5)


def test_equivariance_follows_the_flip():
  """With filters that are their own mirror image the map flips exactly."""
  keras.utils.set_random_seed(0)
  symmetric = models.build("tiny_cnn", 3, image_size=32, prior=[.3] * 3)
  for variable in symmetric.model.trainable_variables:
    if len(variable.shape) == 4:
      kernel = variable.numpy()
      variable.assign((kernel + kernel[:, ::-1]) / 2)
  loss = self_training.SelfTraining(symmetric, equivariance_weight=1.,
                                    atcon_weight=0)
  batch = _batch((-1, 0, 31, 0, 1, 0, 0, 0))
  right, _ = loss.call(batch)["equivariance"]
  np.testing.assert_allclose(right, -1, atol=1e-4)
  # Without the way between the views, the maps lie the wrong way round.
  lost = {**batch, "transform": _batch()["transform"]}
  wrong, _ = loss.call(lost)["equivariance"]
  assert np.all(wrong.numpy() > right.numpy() + .02)


def test_a_pool_smaller_than_a_class(classifier):
  loss = self_training.SelfTraining(classifier, per_class=6, atcon_weight=0)
  with pytest.raises(UserError, match="pseudo_per_class=6: only 5"):
    loss.pseudo_labels(LOGITS)


def test_how_many_of_a_class_become_positives(classifier):
  """One number, or a share of the expected ones, or a sixtieth."""
  logits = np.random.default_rng(0).normal(size=[180, 3])

  def sizes(**options):
    loss = self_training.SelfTraining(classifier, atcon_weight=0, **options)
    return loss.pseudo_labels(logits)[0].sum(0).tolist()

  assert sizes() == [3, 3, 3]
  # Half of 90, 18 and 36 expected images; at least 10.
  assert sizes(class_prior=[.5, .1, .2]) == [45, 10, 18]
  assert sizes(class_prior=[.5, .1, .2], share=1.) == [90, 18, 36]
  assert sizes(class_prior=[.5, .1, .2], per_class=7) == [7, 7, 7]


def test_batches_hold_images_with_a_positive_class():
  records = [data.Record(str(i), lambda i=i: np.full(
      [16, 16, 3], 10 * i, np.uint8), np.zeros([2], np.float32))
      for i in range(5)]
  images = image_store.Images(records, 16)
  label, weight = rank_labels.rank_labels(LOGITS, 2, 0.6)
  made = pseudo_labels.restored(label, weight, first=3, updates=30, seed=0)
  config = Config(objective="self_training", augment=(),
                  unlabeled_batch_size=3).resolve()
  batches = list(made.batches(images, records, config, 3, 6))
  assert len(batches) == 3
  for batch in batches:
    grey = batch["unaugmented"].numpy()[:, 0, 0, 0]
    index = np.round(grey * 25.5).astype(int)
    assert set(index) <= {0, 1, 2}  # images 3 and 4 are no positives
    np.testing.assert_array_equal(batch["label"], label[index])
    np.testing.assert_array_equal(batch["label_weight"], weight[index])
    chosen = batch["class_index"].numpy()
    assert all(label[i, c] for i, c in zip(index, chosen))


def test_negatives_of_images_with_one_label_each(tmp_path):
  for i in range(12):
    path = tmp_path / "data" / ("cat" if i % 2 else "dog") / f"{i}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", [32, 32], (20 * i, 0, 0)).save(path)
  config = Config(objective="self_training", dataset="folder", shots=1,
                  data_dir=str(tmp_path / "data"), image_size=32,
                  pseudo_negatives=.8).resolve()
  with pytest.raises(UserError, match="pseudo_negatives=0.8: not used "
                     "with images of one label each"):
    run_data.load(config, tmp_path / "splits.json")
