"""The base class of objectives: terms of a loss for each image."""

import dataclasses

import numpy as np
import tensorflow as tf

# The two kinds of step: on labelled images, and on unlabelled ones.
SUPERVISED = "supervised"
CONSISTENCY = "consistency"


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
  """The classification task.

  Attributes:
    multi_label: whether an image can have several labels.
    class_prior: `[classes]`, the share of images that shows each class; None:
      unknown.
    class_weights: `[classes]`, how much each class counts in the supervised
      loss; None: all the same. See `supervised.balanced`.
  """

  multi_label: bool = True
  class_prior: np.ndarray | None = None
  class_weights: np.ndarray | None = None


class Objective:
  """A loss as named terms.

  Attributes:
    classifier: the `models.Classifier` that it trains.
    loss_weights: `{term: its factor in the loss}`.
    variables: trainable variables of the objective, which are not part of
      the classifier.
    state: variables that are saved but get no gradient.
    paired: whether the batches hold pairs; see `data/label_pairs.py`.
    pseudo_labels: for an objective that ranks the unlabelled pool,
      `logits [N, classes] -> (labels, weights)`, both `[N, classes]`; its
      batches are then drawn from the images with a pseudo-label. None: its
      batches are drawn from the whole pool.
    begins: updates before the objective adds to the loss of labelled images.
    needs_teacher_maps: whether its batches hold "teacher_map", Grad-CAM of
      each image's pseudo-class by the network that ranked the pool.
  """

  begins = 0
  paired = False
  pseudo_labels = None
  needs_teacher_maps = False

  def __init__(self, classifier, **loss_weights):
    self.classifier = classifier
    self.loss_weights = loss_weights
    self.variables = []
    self.state = []

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    """The objective that the settings describe.

    Args:
      classifier: a `models.Classifier`.
      config: a resolved `Config`.
      task: a `Task`.
      twin: function that builds a second classifier with the same weights,
        for a teacher; None: no teacher is possible.
    """
    raise NotImplementedError

  def columns(self, records, size):
    """The columns of a batch of labelled images beside "image".

    Args:
      records: list of N `Record`.
      size: side of the network's square input, in pixels.
    Returns:
      `{name: array [N, ...]}`. The base class gives "label" `[N, classes]`.
    """
    del size
    return {"label": np.stack([r.label for r in records])}

  def call(self, batch, training=False):
    """The terms of the loss on one batch.

    Args:
      batch: dict with "image" `[B, H, W, 3]` in [0, 1] (of clips
        `[B, T, H, W, 3]`) and, where the term
        needs it, "label" `[B, classes]` and others; see `pipeline.Batch`.
      training: whether BatchNorm uses batch statistics.
    Returns:
      `{term: (value [B], weight [B])}`. The trainer computes the mean of a
      term over the global batch, `sum(value * weight) / sum(weight)`, once
      over all replicas. A term of weight 0 in `loss_weights` is only logged.
    """
    raise NotImplementedError

  def after_update(self):
    """The trainer calls this method on the host after every update."""


def targets(logits, batch, target):
  """The classes that are explained; no gradient runs through them.

  Args:
    logits: `[B, classes]`.
    batch: dict with "label" `[B, classes]` if `target` is "labels".
    target: "argmax" of the logits; "labels", the highest logit among the
      image's labels; "top2", the two highest logits.
  Returns:
    list of int `[B]`: one, or two for "top2".
  """
  logits = tf.stop_gradient(logits)
  if target == "top2":
    return tf.unstack(tf.math.top_k(logits, 2).indices, axis=1)
  if target == "labels":
    lowest = tf.fill(tf.shape(logits), logits.dtype.min)
    logits = tf.where(tf.cast(batch["label"], tf.bool), logits, lowest)
  return [tf.argmax(logits, -1)]
