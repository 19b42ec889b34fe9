"""Pseudo-labels of the unlabelled pool, and the batches drawn from them.

An objective that ranks the whole pool has a rule, `objective.pseudo_labels(
logits) -> (labels, weights)`. The current weights score the pool every so many
updates; the outcome is stored with the checkpoint, so that a resumed run goes
on with the same pseudo-labels.
"""

import dataclasses

import numpy as np

from atcon_tf.data import pipeline

STREAM = 3
# The smallest share of the image that a strong view keeps.
CROP_AREA = 0.35


@dataclasses.dataclass(eq=False)
class PseudoLabels:
  """The pseudo-labels of a pool of N images.

  Attributes:
    label: float32 `[N, classes]`, 0 or 1.
    weight: float32 `[N, classes]`. `weight[i, c]` is 0 where image i has no
      pseudo-label for class c; such entries do not enter the loss.
    first: number of the consistency batch that is drawn first.
    updates: supervised updates when the pool was ranked.
  """

  label: np.ndarray
  weight: np.ndarray
  first: int
  updates: int

  def batches(self, images, records, config, start, stop):
    """Batches `start` to `stop` of images that are positive for a class.

    Args:
      images: `image_store.Images`.
      records: the N records of the pool.
      config: a `Config`.
      start, stop: which consistency batches of the run.
    Returns:
      a `tf.data.Dataset`; see `pipeline.training_batches`.
    """
    chosen = np.flatnonzero(self.label.any(1))
    # One class of each image, the same as long as these labels are used.
    draw = np.random.default_rng([config.seed, STREAM, self.first]).random(
        self.label.shape)
    target = np.argmax(self.label * draw, 1)
    return pipeline.training_batches(
        images, [records[i] for i in chosen], config.unlabeled_batch_size,
        config.seed, STREAM, start, stop, config.strong_augment,
        {"label": self.label[chosen], "label_weight": self.weight[chosen],
         "class_index": target[chosen]}, CROP_AREA, two_views=True)


def rank(objective, predictor, images, records, first, updates):
  """New pseudo-labels, from the current weights.

  Args:
    objective: has the rule `pseudo_labels`.
    predictor: a `predictor.Predictor` of the classifier.
    images: `image_store.Images`.
    records: the pool.
    first, updates: see `PseudoLabels`.
  """
  logits = predictor.logits(images, records)
  return PseudoLabels(*objective.pseudo_labels(logits), first, updates)
