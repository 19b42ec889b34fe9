"""What every objective is: per-image terms of a loss, never reduced."""

import tensorflow as tf


def targets(logits, batch, target):
  """The classes that are explained, a list of int `[B]`; constants."""
  logits = tf.stop_gradient(logits)
  if target == "top2":
    return tf.unstack(tf.math.top_k(logits, 2).indices, axis=1)
  if target == "labels":
    lowest = tf.fill(tf.shape(logits), logits.dtype.min)
    logits = tf.where(tf.cast(batch["label"], tf.bool), logits, lowest)
  return [tf.argmax(logits, -1)]


class Objective:
  """A loss as named terms.

  Attributes:
    classifier: the `models.Classifier` that it trains.
    loss_weights: `{term: its factor in the loss}`.
    variables: trainable variables of its own, beside the classifier's.
    state: variables that are not trained by gradients, but saved.
    paired: its batches are of pairs; see `pairs`.
  """

  paired = False

  def __init__(self, classifier, **loss_weights):
    self.classifier = classifier
    self.loss_weights = loss_weights
    self.variables = []
    self.state = []

  def call(self, batch, training=False):
    """The terms of the loss on one batch.

    Args:
      batch: dict with "image" `[B, H, W, 3]` in [0, 1] and, where the term
        needs it, "label" `[B, classes]` and others.
      training: whether BatchNorm uses batch statistics.
    Returns:
      `{term: (value [B], weight [B])}`: the term's mean over the global
      batch is `sum(value * weight) / sum(weight)`, which the trainer takes
      once over all replicas. A term of weight 0 in `loss_weights` is only
      logged.
    """
    raise NotImplementedError

  def after_update(self):
    """Called on the host after every update."""

SUPERVISED = "supervised"
CONSISTENCY = "consistency"
