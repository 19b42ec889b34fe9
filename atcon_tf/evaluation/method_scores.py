"""Scores of one attribution method on pairs of an image and a class."""

import dataclasses
import functools
import time

import numpy as np
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import METHODS
from atcon_tf.attribution import registry
from atcon_tf.config import names
from atcon_tf.config.names import CENTRE
from atcon_tf.evaluation.metrics import Evidence
from atcon_tf.evaluation.metrics import localization
from atcon_tf.evaluation.metrics import METRICS
from atcon_tf.evaluation import random_weights

# The metrics that need a threshold, and the field of `Evidence` that has it.
CUT = {"box_iou": "box_threshold", "mask_iou": "mask_threshold"}
BATCH = 16


def check_methods(methods):
  """Refuses an unknown method.

  Raises:
    UserError: naming it.
  """
  names.check("methods", methods, [*names.METHODS, CENTRE])


def limit(method, slow_limit):
  """How many pairs a method sees; None: all.

  Args:
    method: a key of `METHODS`, or CENTRE.
    slow_limit: pairs that a slow method sees.
  """
  return slow_limit if method != CENTRE and METHODS[method].slow else None


def predictor(classifier, multi_label):
  """The probability of a class as a compiled function.

  Args:
    classifier: a `models.Classifier`.
    multi_label: the probability is a sigmoid; otherwise a softmax.
  Returns:
    `fn(normalised images [n], class_index [n]) -> [n]`, traced once.
  """
  output = forward_pass.own_output(multi_label)
  return tf.function(
      lambda x, c: forward_pass.score(classifier, x, c, output),
      input_signature=[tf.TensorSpec([None, *classifier.maps.input.shape[1:]]),
                       tf.TensorSpec([None], tf.int64)])


def judgement(classifier, method, multi_label, predict=None):
  """A function that scores one method; TensorFlow traces it once.

  Args:
    classifier: a `models.Classifier`.
    method: a key of `attribution.METHODS`, or CENTRE.
    multi_label: the probability is a sigmoid; otherwise a softmax.
    predict: of `predictor`, if many methods share it; None: one is made.
  Returns:
    `fn(pairs, metrics, tell=None) -> {"scores": {metric: [P]},
    "images_a_second", "forward_passes"}`, metrics keys of `metrics.METRICS`;
    `tell(images)` is called after each batch.
  """
  predict = predict or predictor(classifier, multi_label)
  black = classifier.normalize(np.zeros(
      [1, 1, 1, classifier.image_shape[-1]], np.float32)).numpy()
  explain = maps_of(classifier, method, multi_label)

  def evidence_of(part, heat):
    return Evidence(
        heat, classifier.normalize(part.images).numpy(),
        lambda x, i: predict(x, part.class_index[i]).numpy(),
        lambda x: explain(x, part.class_index, True),
        lambda: explain(part.images, another_class(
            part.class_index, classifier.num_classes)),
        part.boxes, part.masks, black=black[0, 0, 0],
        explain_random=lambda: of_random_weights(part))

  def of_random_weights(part):
    with random_weights.of(classifier):
      return explain(part.images, part.class_index)

  def judged(pairs, metrics, tell=None):
    seconds = []
    rows = {metric: [] for metric in metrics}
    for first in range(0, len(pairs.ids), BATCH):
      part = pairs.part(slice(first, first + BATCH))
      started = time.perf_counter()
      heat = explain(part.images, part.class_index)
      seconds.append((time.perf_counter() - started, len(heat)))
      evidence = evidence_of(part, heat)
      for metric in metrics:
        rows[metric].append(_score(metric, evidence))
      if tell:
        tell(len(heat))
    scores = {metric: np.concatenate(parts) for metric, parts in rows.items()}
    for metric in CUT.keys() & scores.keys():
      scores[metric] = cross_fit(scores[metric])
    # The first batch is slower, and the last may be smaller.
    timed = seconds[1:-1] or seconds[-1:]
    return {"scores": {m: s.tolist() for m, s in scores.items()},
            "images_a_second": sum(n for _, n in timed) / sum(
                s for s, _ in timed) if method != CENTRE else None,
            "forward_passes": passes(classifier, method)}

  return judged


def another_class(class_index, num_classes):
  """A class other than each pair's, the same in every run, int `[P]`.

  Of one class alone there is no other, and it is returned.
  """
  # A large prime walks through the classes in no order that they have.
  step = 1 + np.arange(len(class_index)) * 7919 % max(num_classes - 1, 1)
  return (class_index + step) % num_classes


def _score(metric, evidence):
  """Scores `[P]`; of a metric in CUT `[P, T]`, at every threshold."""
  if metric not in CUT:
    return METRICS[metric](evidence)
  return np.stack([METRICS[metric](dataclasses.replace(
      evidence, **{CUT[metric]: t})) for t in localization.THRESHOLDS], 1)


def cross_fit(table):
  """Scores at thresholds that were chosen on other pairs.

  Args:
    table: `[P, T]`, scores at each threshold.
  Returns:
    `[P]`; even pairs at the best threshold of the odd pairs, and the other
    way round.
  """
  result = np.full(len(table), np.nan)
  for own in (0, 1):
    other = np.nan_to_num(table[1 - own::2], nan=0.0)
    best = np.argmax(other.mean(0)) if len(other) else len(table[0]) // 2
    result[own::2] = table[own::2, best]
  return result


def maps_of(classifier, method, multi_label):
  """A method's maps at the image's size, as a compiled function.

  Args:
    classifier: a `models.Classifier`.
    method: a key of `attribution.METHODS`, or CENTRE.
    multi_label: the probability is a sigmoid; otherwise a softmax.
  Returns:
    `fn(images, class_index, normalized=False) -> [B, H, W]`; `normalized`:
    the images are normalised already.
  """
  size = classifier.image_size
  if method == CENTRE:
    y, x = (np.linspace(-1, 1, n) for n in size)
    middle = np.exp(-2 * (y[:, None]**2 + x**2)).astype(np.float32)
    return lambda images, class_index, normalized=False: np.repeat(
        middle[None], len(images), 0)
  options = registry.output_of(method, multi_label)
  function = attribution.build(classifier, method, **options)

  def traced(of, make):
    # A concrete function: TensorFlow would warn that this line of code is
    # traced once for each method.
    signature = [tf.TensorSpec([None, *of.image_shape]),
                 tf.TensorSpec([None], tf.int64)]
    return tf.function(lambda x, c: attribution.enlarge(
        classifier, make(x, c)), input_signature=signature
                       ).get_concrete_function()

  usual = traced(classifier, function)

  @functools.cache
  def again():  # built outside of the tracing: the checks need numbers
    noisy = classifier.on_normalized()
    return traced(noisy, attribution.build(noisy, method, **options))

  return lambda images, class_index, normalized=False: (
      again() if normalized else usual)(images, class_index).numpy()


def passes(classifier, method):
  """Forward passes of the whole network an image, by default options."""
  return 0 if method == CENTRE else METHODS[method].passes(classifier)
