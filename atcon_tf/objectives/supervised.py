"""Cross-entropy on the labelled images."""

import tensorflow as tf

from atcon_tf.objectives import base


class Supervised(base.Objective):
  """Cross-entropy of the logits z with the labels y; term "supervised".

  If an image can have several labels, it is the binary cross-entropy, the mean
  over the classes of `-y log s(z) - (1 - y) log(1 - s(z))`; otherwise the
  softmax cross-entropy.
  """

  def __init__(self, classifier, multi_label=True):
    super().__init__(classifier, supervised=1.0)
    self.multi_label = multi_label

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    del config, twin
    return cls(classifier, task.multi_label)

  def call(self, batch, training=False):
    logits = self.classifier.model(batch["image"], training=training)
    label = tf.cast(batch["label"], logits.dtype)
    value = cross_entropy(label, logits, self.multi_label)
    return {"supervised": (value, tf.ones_like(value))}


def cross_entropy(label, logits, multi_label):
  """Cross-entropy of each image, `[B]`, in nats.

  Args:
    label, logits: `[B, classes]`.
    multi_label: whether an image can have several labels.
  """
  if multi_label:
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(
        labels=label, logits=logits), -1)
  return tf.nn.softmax_cross_entropy_with_logits(labels=label, logits=logits)
