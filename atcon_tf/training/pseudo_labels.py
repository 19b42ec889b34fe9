"""Pseudo-labels of the unlabelled pool, and the batches drawn from them.

An objective that ranks the whole pool has a rule, `objective.pseudo_labels(
logits) -> (labels, weights)`. The current weights score the pool every
`bank_every` updates. The checkpoint holds the pseudo-labels, so that a resumed
run continues with the same ones.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import cam
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
    target: int `[N]`, one positive class of each image that has one. It does
      not change until the next ranking.
    maps: float32 `[N, h, w]`, Grad-CAM of the class `target` by the network
      that ranked the pool, 0 for an image without a positive class; None: no
      objective needs the maps.
  """

  label: np.ndarray
  weight: np.ndarray
  first: int
  updates: int
  target: np.ndarray
  maps: np.ndarray | None = None

  def batches(self, images, records, config, start, stop):
    """Batches `start` to `stop` of images that are positive for a class.

    Args:
      images: `image_store.Images`.
      records: the N records of the pool.
      config: a `Config`.
      start, stop: number of the first consistency batch, and of the first one
        left out.
    Returns:
      a `tf.data.Dataset`; see `pipeline.training_batches`.
    """
    chosen = np.flatnonzero(self.label.any(1))
    columns = {"label": self.label[chosen], "label_weight":
               self.weight[chosen], "class_index": self.target[chosen]}
    if self.maps is not None:
      columns["teacher_map"] = self.maps[chosen]
    return pipeline.training_batches(
        images, [records[i] for i in chosen], config.unlabeled_batch_size,
        config.seed, STREAM, start, stop, config.strong_augment, columns,
        CROP_AREA, two_views=True)


def rank(objective, predictor, images, records, seed, first, updates,
         logits=None):
  """Makes pseudo-labels with the current weights.

  Args:
    objective: an `Objective` with the rule `pseudo_labels`.
    predictor: a `predictor.Predictor` of the classifier.
    images: `image_store.Images`.
    records: list of `Record`, the pool.
    seed: seed of the run, which chooses one positive class of each image.
    first, updates: see `PseudoLabels`.
    logits: `[N, classes]` of the pool; None: the predictor computes them.
  Returns:
    `PseudoLabels`.
  """
  if logits is None:
    logits = predictor.logits(images, records)
  label, weight = objective.pseudo_labels(logits)
  target = _targets(label, seed, first)
  maps = None
  if objective.needs_teacher_maps:
    maps = _maps(predictor, images, records, label, target)
  return PseudoLabels(label, weight, first, updates, target, maps)


def restored(label, weight, first, updates, seed, maps=None):
  """The `PseudoLabels` of a checkpoint; the arguments are their attributes."""
  return PseudoLabels(label, weight, first, updates,
                      _targets(label, seed, first), maps)


def _targets(label, seed, first):
  """One positive class of each image, drawn from (seed, first)."""
  draw = np.random.default_rng([seed, STREAM, first]).random(label.shape)
  return np.argmax(label * draw, 1)


def _maps(predictor, images, records, label, target):
  """Grad-CAM of each image's class; see `PseudoLabels.maps`."""
  classifier = predictor.classifier
  chosen = np.flatnonzero(label.any(1))
  explain = tf.function(
      lambda x, c: cam.grad_cam(forward_pass.forward(classifier, x), c),
      reduce_retracing=True, autograph=False)
  maps, done = None, 0
  for batch, pixels in pipeline.evaluation_batches(
      images, [records[i] for i in chosen], predictor.batch_size):
    rows = chosen[done:done + len(batch)]
    heat = explain(tf.cast(pixels, classifier.maps.input.dtype),
                   tf.constant(target[rows])).numpy()
    if maps is None:
      maps = np.zeros([len(records), *heat.shape[1:]], np.float32)
    maps[rows], done = heat, done + len(batch)
  return maps
