"""Pseudo-labels of the unlabelled pool, and batches drawn from them.

An objective that needs the whole pool has a rule, `objective.bank(logits) ->
(labels, weights)`. The pool is scored by the current weights every so many
updates; what came of it is stored with the checkpoint, so that a resumed run
goes on with the same bank.
"""

import dataclasses

import numpy as np

from atcon_tf.data import pipeline

STREAM = 3
# Strong views: the crop may keep little of the image.
CROP_AREA = 0.35


@dataclasses.dataclass(eq=False)
class PseudoLabels:
  """The pseudo-labels of a pool of N images.

  Attributes:
    label, weight: float32 `[N, classes]`, 0 or 1; weight 0: no statement.
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
      images: `pipeline.Images`.
      records: the N records of the pool.
      config: a `Config`.
      start, stop: which consistency batches of the run.
    """
    chosen = np.flatnonzero(self.label.any(1))
    # One class of each image, the same as long as this bank is used.
    draw = np.random.default_rng([config.seed, STREAM, self.first]).random(
        self.label.shape)
    target = np.argmax(self.label * draw, 1)
    return pipeline.training_batches(
        images, [records[i] for i in chosen], config.unlabeled_batch_size,
        config.seed, STREAM, start, stop, config.augment,
        {"label": self.label[chosen], "label_weight": self.weight[chosen],
         "class_index": target[chosen]}, CROP_AREA, two_views=True)


def score(objective, predictor, images, records, first, updates):
  """A new bank, from the current weights.

  Args:
    objective: has the rule `bank`.
    predictor: a `prediction.Predictor`.
    images, records: the pool.
    first, updates: see `Bank`.
  """
  logits = predictor.logits(images, records)
  return PseudoLabels(*objective.bank(logits), first, updates)
