"""Cross-entropy on the labelled images."""

import keras
import numpy as np
import tensorflow as tf

from atcon_tf.objectives import base


class Supervised(base.Objective):
  """Cross-entropy of the logits z with the labels y; term "supervised".

  If an image can have several labels, it is the binary cross-entropy, the mean
  over the classes of `-w y log s(z) - (1 - y) log(1 - s(z))`; otherwise the
  softmax cross-entropy, of which each image has the weight w of its class. w
  is 1, or that of `balanced`.
  """

  def __init__(self, classifier, multi_label=True, class_weights=None):
    super().__init__(classifier, supervised=1.0)
    self.multi_label = multi_label
    if class_weights is not None:
      # A variable: a study compiles the step once for runs of several splits.
      self.state = [keras.Variable(class_weights, trainable=False,
                                   name="class_weights")]

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    del config, twin
    return cls(classifier, task.multi_label, task.class_weights)

  def call(self, batch, training=False):
    logits = self.classifier.model(batch["image"], training=training)
    label = tf.cast(batch["label"], logits.dtype)
    weights = tf.cast(self.state[0].value, logits.dtype) if (
        self.state) else None
    if self.multi_label:
      value = cross_entropy(label, logits, True, weights)
      return {"supervised": (value, tf.ones_like(value))}
    value = cross_entropy(label, logits, False)
    return {"supervised": (value, tf.ones_like(value) if weights is None
                           else tf.linalg.matvec(label, weights))}


def cross_entropy(label, logits, multi_label, positive_weights=None):
  """Cross-entropy of each image, `[B]`, in nats.

  Args:
    label, logits: `[B, classes]`.
    multi_label: whether an image can have several labels.
    positive_weights: `[classes]`, the factor of the positives of each class
      if an image can have several labels; None: 1.
  """
  if not multi_label:
    return tf.nn.softmax_cross_entropy_with_logits(labels=label, logits=logits)
  if positive_weights is None:
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(
        labels=label, logits=logits), -1)
  return tf.reduce_mean(tf.nn.weighted_cross_entropy_with_logits(
      label, logits, positive_weights), -1)


def balanced(label, multi_label):
  """Weights of the classes that make up for unequal numbers of images.

  If an image can have several labels, the positives of a class weigh as much
  as its negatives: the weight of n positives among N images is `(N - n) / n`.
  Otherwise the classes weigh the same: `N / (classes n)`. A class without
  images has the weight 1.

  Args:
    label: `[N, classes]`, 0 and 1.
    multi_label: whether an image can have several labels.
  Returns:
    float32 `[classes]`.

  Example:
    >>> supervised.balanced(np.array([[1, 0], [1, 0], [1, 0], [0, 1]]), False)
    array([0.6666667, 2.       ], dtype=float32)
  """
  count, (images, classes) = label.sum(0), label.shape
  wanted = images - count if multi_label else images / classes
  weights = wanted / np.maximum(count, 1)
  return np.where(count * wanted > 0, weights, 1).astype(np.float32)
