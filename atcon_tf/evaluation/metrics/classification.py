"""Scores of a classifier's probabilities, and of one binary score.

    threshold = best_threshold(val_label, val_probability)
    evaluate(test_label, test_probability, threshold)["f1_macro"]

`label` is `[images, classes]` of 0 and 1, `probability` of the same shape in
[0, 1]: the sigmoid of a multi-label model, the softmax of a single-label one,
never logits. The scores equal those of scikit-learn (see the test), but all
classes are ranked at once, since a bootstrap computes hundreds of them.
"""

import numpy as np
from sklearn import metrics

# Keras's value: a probability of exactly 0 must not make the loss infinite.
EPSILON = 1e-7


def evaluate(label, probability, threshold=None, multi_label=True):
  """All scores of a set of predictions.

  With several labels an image, the classes with `probability >= threshold`
  are predicted. With one label an image, the most probable class is
  predicted; of two classes the second is, if its probability reaches the
  threshold, if there is one.

  * F1 of a class: `2 TP / (2 TP + FP + FN)`. `f1_macro`: mean over classes;
    `f1_micro`: F1 of all decisions together; `f1_macro_at_half`: multi-label,
    at the threshold 0.5.
  * Average precision of a class: the mean, over its positive images, of the
    precision at their rank. `map_macro` is the mean over classes,
    `map_weighted` weighs each by its number of positives.
  * `auc_macro`: mean area under the ROC curve; a tie counts a half.
  * `loss`: mean binary cross-entropy over images and classes, or the mean
    categorical cross-entropy; natural logarithm.
  * `accuracy`: of one label an image.

  A class without a positive image has no F1 and no average precision, and one
  without a positive or without a negative image has no AUC. The means leave
  such a class out (scikit-learn counts its F1 as 0, unless `labels` names the
  others): otherwise a resample of the images that lacks a class would have a
  low F1 although each image is right.

  Args:
    label: `[images, classes]`, 0 or 1.
    probability: `[images, classes]` in [0, 1].
    threshold: from `best_threshold` on validation data, or that of an
      operating point; None: only with one label an image.
    multi_label: False when each image has exactly one label.
  Returns:
    `{name: float}`, in [0, 1] except for the loss; a score that is undefined
    is absent.
  Raises:
    ValueError: shapes or values differ from these.
  """
  return evaluate_all(label, probability, threshold, multi_label)[0]


def per_class(label, probability, threshold=None, multi_label=True):
  """The scores of each class; arguments as `evaluate`.

  Returns:
    `{"f1": [C], "precision": [C], "recall": [C], "ap": [C], "auc": [C],
    "support": [C], "predicted": [C]}`, lists for JSON, with None where a class
    has no such score. "support" is its number of positive images, "predicted"
    the number of images for which the class is predicted.
  """
  return evaluate_all(label, probability, threshold, multi_label)[1]


def evaluate_all(label, probability, threshold=None, multi_label=True):
  """`(evaluate(...), per_class(...))` of the same data, ranked once."""
  label, probability = _check(label, probability, multi_label)
  decision = decide(probability, threshold, multi_label)
  precision, auc = _rank_scores(label, probability)
  support = label.sum(0)
  f1 = np.where(support > 0, _f1(label, decision), np.nan)
  scores = {
      "f1_macro": _mean(f1),
      "f1_micro": _f1(label.ravel(), decision.ravel()),
      "map_macro": _mean(precision),
      "map_weighted": _mean(precision, support),
      "auc_macro": _mean(auc)}
  clipped = np.clip(probability, EPSILON, 1 - EPSILON)
  if multi_label:
    scores["f1_macro_at_half"] = _mean(np.where(
        support > 0, _f1(label, probability >= 0.5), np.nan))
    scores["loss"] = -np.log(np.where(label, clipped, 1 - clipped)).mean()
  else:
    scores["accuracy"] = (label & decision).sum() / len(label)
    scores["loss"] = -np.log(clipped[label]).mean()
  hits, predicted = (label & decision).sum(0), decision.sum(0)
  with np.errstate(invalid="ignore"):
    classes = {"f1": f1, "precision": hits / predicted,
               "recall": hits / support, "ap": precision, "auc": auc,
               "support": support, "predicted": predicted}
  return ({k: float(v) for k, v in scores.items() if not np.isnan(v)},
          {k: [None if np.isnan(x) else x for x in v.tolist()]
           for k, v in classes.items()})


def confusion(label, decision):
  """How many images of each class each class was predicted for.

  Args:
    label: `[N, classes]`, one label an image.
    decision: `[N, classes]`, see `decide`.
  Returns:
    int `[classes, classes]`: row i is over the images of class i.
  """
  return np.asarray(label, int).T @ np.asarray(decision, int)


def best_threshold(label, probability):
  """The one threshold for all classes with the highest macro F1.

  Macro F1 is a step function of the threshold, and every step is computed.
  All thresholds of one step are equally good on these data. The result is the
  middle of the best step, of the widest one if several are best.

  Args:
    label, probability: of multi-label validation data, see `evaluate`.
  Returns:
    float. Of the labels [1, 1, 0] with probabilities [.9, .6, .2], every
    threshold in (.2, .6] is perfect, and 0.4 is returned.
  Raises:
    ValueError: no label is positive.
  """
  label, probability = _check(label, probability, True)
  if not label.any():
    raise ValueError("no positive label to choose a threshold by")
  images, classes = label.shape
  order = np.argsort(-probability, axis=0)
  hits = np.cumsum(np.take_along_axis(label, order, 0), axis=0)
  # F1 of each class when its k highest images are predicted, and what the
  # k-th image adds to it.
  f1 = 2 * hits / (np.arange(1, images + 1)[:, None] + label.sum(0))
  gain = np.diff(f1, axis=0, prepend=0).ravel()
  # All classes in one falling order; equal values fall together.
  value = np.take_along_axis(probability, order, 0).ravel()
  order = np.argsort(-value)
  value, macro = value[order], np.cumsum(gain[order]) / classes
  last = np.append(value[1:] < value[:-1], True)
  upper, macro = value[last], macro[last]
  lower = np.append(upper[1:], 0.0)
  # Neighbours of the same height, up to the rounding of a sum, are one step.
  edge = np.diff((macro > macro.max() - 1e-9).astype(int), prepend=0, append=0)
  upper = upper[np.flatnonzero(edge == 1)]
  lower = lower[np.flatnonzero(edge == -1) - 1]
  widest = np.argmax(upper - lower)
  return float((upper[widest] + lower[widest]) / 2)


def is_binary(label, multi_label):
  """Whether each image has one of two classes; the second is positive."""
  return not multi_label and np.shape(label)[1] == 2


def sensitivities(label, probability, rates):
  """Sensitivity to the second of two classes at rates of false alarms.

  Args:
    label, probability: `[N, 2]`, one label an image; see `is_binary`.
    rates: of false alarms, in [0, 1].
  Returns:
    `{"sensitivity_at_0.01": float, ...}`, see `operating_points`; empty if
    one of the classes has no image.
  """
  label, probability = _check(label, probability, False)
  if not label.any(0).all():
    return {}
  found = sensitivity_at(label[:, 1], probability[:, 1], rates)
  return {f"sensitivity_at_{rate:g}": float(value)
          for rate, value in zip(rates, found)}


def roc(label, score, corners=False):
  """The ROC curve of one score.

  Args:
    label: `[N]`, 0 or 1, both present.
    score: `[N]`, any range; a higher score means 1.
    corners: leave out points that lie on the line between their neighbours.
  Returns:
    (false alarm rate, sensitivity, threshold), each `[K]`: the point (0, 0,
    infinite), and one for each different score. `score >= threshold` is an
    alarm.
  """
  label, score = _check_binary(label, score)
  return metrics.roc_curve(label, score, drop_intermediate=corners)


def auc(label, score):
  """Area under `roc`: P(positive > negative) + P(equal) / 2."""
  label, score = _check_binary(label, score)
  return float(metrics.roc_auc_score(label, score))


def sensitivity_at(label, score, false_alarm_rates, convention="exact"):
  """Sensitivity `[R]` at each false alarm rate; see `operating_points`."""
  return operating_points(label, score, false_alarm_rates, convention)[0]


def operating_points(label, score, false_alarm_rates, convention="exact"):
  """Sensitivity and threshold at given false alarm rates.

  Args:
    label, score: see `roc`.
    false_alarm_rates: `[R]` in [0, 1], e.g. (0.001, 0.01).
    convention: "exact": the threshold is the lowest score that keeps the
      rate, infinite if no score does, and the sensitivity is that of this
      threshold: a share of the positives, not a point between two of them.
      "reference", to compare with a published
      implementation: of 10,000 equidistant t from the lowest negative to the
      highest positive score, the sensitivity `mean(positive > t)` and the
      rate `1 - mean(negative <= t)`; sensitivity and t are linear between
      the rates.
  Returns:
    sensitivity and threshold, `[R]` each.
  """
  if convention not in ("exact", "reference"):
    raise ValueError(f"unknown convention {convention!r}; one of: exact, "
                     "reference")
  rates = np.asarray(false_alarm_rates, float)
  if not ((rates >= 0) & (rates <= 1)).all():
    raise ValueError(f"false alarm rates must be in [0, 1], not {rates}")
  if convention == "exact":
    alarms, sensitivity, thresholds = roc(label, score)
    # Of several thresholds with the same rate, the last has the highest
    # sensitivity.
    last = np.append(np.diff(alarms) > 0, True)
    alarms, sensitivity = alarms[last], sensitivity[last]
    kept = np.searchsorted(alarms, rates, side="right") - 1
    return sensitivity[kept], thresholds[last][kept]
  label, score = _check_binary(label, score)
  positive, negative = np.sort(score[label]), np.sort(score[~label])
  thresholds = np.linspace(negative[0], positive[-1], 10000)[::-1]
  below = np.searchsorted(positive, thresholds, side="right")
  sensitivity = 1 - below / len(positive)
  alarms = 1 - np.searchsorted(negative, thresholds, "right") / len(negative)
  return (np.interp(rates, alarms, sensitivity),
          np.interp(rates, alarms, thresholds))


def _f1(label, decision):
  """F1 over the first axis; 0 where nothing is positive or predicted."""
  hits, either = (label & decision).sum(0), label.sum(0) + decision.sum(0)
  return 2 * hits / np.maximum(either, 1)


def _rank_scores(label, probability):
  """Average precision and AUC, both `[C]`; NaN where a class has none."""
  count, positives = len(label), label.sum(0)
  order = np.argsort(-probability, axis=0)
  value, hit = (np.take_along_axis(a, order, 0) for a in (probability, label))
  # Where the images of an equal probability begin and end, from the highest.
  place, border = np.arange(count)[:, None], value[1:] < value[:-1]
  edge = np.ones_like(hit[:1])
  begin = np.maximum.accumulate(
      np.where(np.concatenate([edge, border]), place, 0))
  end = np.minimum.accumulate(
      np.where(np.concatenate([border, edge]), place, count)[::-1])[::-1]
  # The share of positive images among those that rank at least as high.
  share = np.take_along_axis(np.cumsum(hit, 0), end, 0) / (end + 1)
  # Mann-Whitney: the sum of the positive ranks minus its lowest possible value.
  ranks = np.where(hit, count - (begin + end) / 2, 0).sum(0)
  won = ranks - positives * (positives + 1) / 2
  with np.errstate(invalid="ignore"):
    precision = np.where(hit, share, 0).sum(0) / positives
    return precision, won / (positives * (count - positives))


def _mean(values, weights=1):
  """Weighted mean of the values that are not NaN; NaN if all are."""
  weights = np.where(np.isnan(values), 0, weights)
  return np.nansum(values * weights) / weights.sum() if any(weights) else np.nan


def decide(probability, threshold=None, multi_label=True):
  """The predicted classes, bool `[images, classes]`; see `evaluate`.

  Example:
    >>> classification.decide(np.array([[.7, .3]]), .2, multi_label=False)
    array([[False,  True]])
  """
  if not multi_label:
    best = probability.argmax(1) if threshold is None else (
        probability[:, 1] >= threshold).astype(int)
    return np.eye(probability.shape[1], dtype=bool)[best]
  if threshold is None:
    raise ValueError("multi-label decisions need a threshold")
  return probability >= threshold


def _check(label, probability, multi_label):
  """Label as bool and probability as float64; a ValueError if they differ."""
  label = np.asarray(label)
  # NumPy would round a threshold to float32 to compare it with float32.
  probability = np.asarray(probability, np.float64)
  if label.ndim != 2 or not label.size or label.shape != probability.shape:
    raise ValueError("label and probability must be [images, classes], not "
                     f"{list(label.shape)} and {list(probability.shape)}")
  if not np.isin(label, (0, 1)).all():
    raise ValueError("label must be 0 or 1")
  low, high = probability.min(), probability.max()
  if not (low >= 0 and high <= 1 + 1e-6):
    raise ValueError(f"probability must be in [0, 1], not [{low}, {high}]: "
                     "logits need a sigmoid or softmax first")
  label = label.astype(bool)
  if not multi_label and (label.sum(1) != 1).any():
    raise ValueError("single-label data need exactly one 1 in each row")
  return label, probability


def _check_binary(label, score):
  """Label as bool and score as float64, `[N]`; otherwise a ValueError."""
  label, score = np.asarray(label), np.asarray(score, np.float64)
  if label.shape != score.shape or score.ndim != 1 or np.isnan(score).any():
    raise ValueError(f"label and score must be [N], not {list(label.shape)} "
                     f"and {list(score.shape)}, and no score NaN")
  if set(np.unique(label)) != {0, 1}:
    raise ValueError("label must hold 0 and 1, both and nothing else")
  return label.astype(bool), score
