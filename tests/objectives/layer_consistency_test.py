"""Layer consistency: what the golden numbers do not reach."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.objectives import layer_consistency


def _classifier(layers):
  keras.utils.set_random_seed(0)
  return models.build("tiny_cnn", 3, image_size=32, prior=[.3] * 3,
                      cam_layer=layers)


def _explain(label):
  classifier = _classifier(("conv4", "relu4"))
  images = tf.random.stateless_uniform([3, 32, 32, 3], [0, 1])
  pass_ = forward_pass.forward(classifier, images)
  return layer_consistency.explain(pass_, label), pass_.logits.numpy()


def test_without_labels_the_two_highest_logits_are_compared():
  explained, logits = _explain(None)
  order = np.argsort(-logits, -1)
  np.testing.assert_array_equal(explained["class_index"], order[:, 0])
  np.testing.assert_array_equal(explained["other_index"], order[:, 1])


def test_with_labels_the_class_is_among_them_and_the_other_is_not():
  label = np.array([[1., 1, 0], [0, 0, 1], [0, 0, 0]])
  explained, logits = _explain(label)
  assert explained["class_index"][0] == np.argmax(logits[0, :2])
  assert explained["other_index"][0] == 2
  assert explained["class_index"][1] == 2
  assert explained["other_index"][1] == np.argmax(logits[1, :2])
  # An image without a label speaks for its highest logit.
  assert explained["class_index"][2] == np.argmax(logits[2])


def test_two_layers_of_one_size_are_needed():
  with pytest.raises(UserError, match="INNER,OUTER.*relu4 4x4"):
    layer_consistency.LayerConsistency(_classifier(("relu4",)))
  with pytest.raises(UserError, match="relu2 16x16, relu4 4x4"):
    layer_consistency.LayerConsistency(_classifier(("relu2", "relu4")))
