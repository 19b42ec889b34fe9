"""Scores of predictions: thresholds, the table of predictions.npz, scores.

    thresholds = scoring.choose_thresholds(validation_predictions)
    table = scoring.tabulate(predictions, thresholds, class_names)
    scores = scoring.judge(table)                       # for result.json
"""

import numpy as np

from atcon_tf.evaluation.metrics import classification
from atcon_tf.evaluation.metrics import localization
from atcon_tf.evaluation.metrics import operating_point as points
from atcon_tf.evaluation.metrics import proportion
from atcon_tf.evaluation.metrics import statistics
from atcon_tf.evaluation import table_units


def choose_thresholds(predictions, operating_point=""):
  """The thresholds that are chosen on validation data.

  Args:
    predictions: `predictor.Predictions` of the validation split.
    operating_point: of two classes, see `metrics.operating_point.choose`.
  Returns:
    dict of floats, those that the data allow: "probability", the threshold of
    a positive decision (several labels an image); "positive", that of the
    second of two classes; "cam", the share of a map's
    maximum that bounds its box; "centre_box", the side of the best box in the
    middle of the image, as a share of the image's side; "mask", the share of
    a map's maximum that bounds its mask; "centre_mask", the same for
    `segmentation.centre_map`.
  """
  chosen = {}
  if predictions.multi_label:
    chosen["probability"] = classification.best_threshold(
        predictions.label, predictions.probability)
  elif classification.is_binary(predictions.label, predictions.multi_label):
    chosen["positive"] = points.choose(
        predictions.label[:, 1], predictions.probability[:, 1],
        operating_point)["threshold"]
  if len(predictions.pair_boxes):
    chosen["cam"] = localization.best_threshold(predictions.iou)
    chosen["centre_box"] = localization.best_centre_box(
        predictions.pair_boxes, full_height=predictions.of_clips)
  for name in ("mask", "centre_mask"):
    iou = getattr(predictions, f"{name}_iou")
    iou = iou[np.isfinite(iou[:, 0])]
    if len(iou):
      chosen[name] = localization.best_threshold(iou)
  return {name: float(value) for name, value in chosen.items()}


def tabulate(predictions, thresholds, class_names, false_alarm_rates=()):
  """The table of all values that scores are computed from, one row an image.

  Args:
    predictions: `predictor.Predictions`.
    thresholds: from `choose_thresholds` of the validation split.
    class_names: of the classes.
    false_alarm_rates: the rates at which the sensitivity of binary data is
      reported.
  Returns:
    dict of arrays, the content of predictions.npz: "id" `[N]`; "label" and
    "probability" `[N, classes]`; "class_names"; "multi_label"; "threshold"
    of a positive decision (several labels, or two classes); "consistency" and
    "consistency_raw" `[N]` where the network has them; and, `[N, classes]`
    with NaN where an image has no such box or mask: "box_iou",
    "pointing_game", "centre_box_iou", "centre_point_pointing_game",
    "mask_iou" and "centre_mask_iou"; of clips the names of `MOMENTS`; of
    binary data "false_alarm_rates"; of images in groups "group" `[N]`, empty
    for an image in none.
  """
  table = {"id": predictions.id.astype(str), "label": predictions.label,
           "probability": predictions.probability,
           "class_names": np.array(class_names),
           "multi_label": np.array(predictions.multi_label)}
  if predictions.group is not None and any(predictions.group):
    table["group"] = predictions.group.astype(str)
  for name in ("probability", "positive"):
    if name in thresholds:
      table["threshold"] = np.array(thresholds[name])
  for name in ("consistency", "consistency_raw"):
    if getattr(predictions, name) is not None:
      table[name] = getattr(predictions, name)
  if classification.is_binary(predictions.label, predictions.multi_label):
    table["false_alarm_rates"] = np.array(false_alarm_rates, float)
  for name, value in _of_pairs(predictions, thresholds).items():
    table[name] = np.full(predictions.label.shape, np.nan)
    table[name][predictions.pair_image, predictions.pair_class] = value
  return table


def _of_pairs(predictions, thresholds):
  """`{name in PER_PAIR: [P]}`, those that boxes and thresholds allow."""
  boxes, levels = predictions.pair_boxes, np.array(localization.THRESHOLDS)

  def cut(table, name):
    return table[:, np.argmin(np.abs(levels - thresholds[name]))]

  values = {}
  if boxes and "cam" in thresholds:
    values |= {
        "box_iou": cut(predictions.iou, "cam"),
        "pointing_game": predictions.pointing,
        "centre_box_iou": localization.centre_box(
            boxes, thresholds["centre_box"], predictions.of_clips),
        "centre_point_pointing_game": localization.centre_point(boxes)}
  if boxes and "mask" in thresholds:
    values |= {
        "mask_iou": cut(predictions.mask_iou, "mask"),
        "centre_mask_iou": cut(predictions.centre_mask_iou, "centre_mask")}
  if predictions.of_clips:
    return {MOMENTS[name]: value for name, value in values.items()
            if name in MOMENTS}
  return values


# The scores of boxes on an axis of time: of when a clip shows a class.
MOMENTS = {"box_iou": "moment_iou", "pointing_game": "moment_pointing_game",
           "centre_box_iou": "centre_moment_iou",
           "centre_point_pointing_game": "centre_moment_pointing_game"}


# Columns of the table with a number for each image, `[N]`.
PER_IMAGE = ("consistency", "consistency_raw")
# Columns with a number for each image and class, `[N, classes]`.
PER_PAIR = ("box_iou", "pointing_game", "centre_box_iou",
            "centre_point_pointing_game", "mask_iou", "centre_mask_iou",
            *MOMENTS.values())


# Shares of pairs that are right or wrong.
PROPORTIONS = [name for name in PER_PAIR if name.endswith("pointing_game")]


def _threshold(table):
  """The threshold of a positive decision; None: the most probable class."""
  return float(table["threshold"]) if "threshold" in table else None


def decisions(table):
  """Which classes are said of each image, bool `[N, classes]`."""
  return classification.decide(table["probability"], _threshold(table),
                               bool(table["multi_label"]))


def statistic(table, classes=False):
  """All scores as a function of the indices of images.

  Args:
    table: from `tabulate`, or a loaded predictions.npz.
    classes: also return the scores of each class.
  Returns:
    `fn(indices [n]) -> {metric: float}`, which `metrics.statistics` resamples;
    with `classes` also `{(class name, metric): float}`. Scores of boxes and
    masks are means over (image, class) pairs.
  """
  threshold, multi_label = _threshold(table), bool(table["multi_label"])
  if "false_alarm_rates" in table:
    rates = points.measurable(table["false_alarm_rates"],
                              table["label"][:, 0].sum())
  sums = {name: np.nansum(table[name], 1) for name in PER_PAIR
          if name in table}
  counts = {name: np.isfinite(table[name]).sum(1) for name in sums}

  def scores(indices):
    result, columns = classification.evaluate_all(
        table["label"][indices], table["probability"][indices], threshold,
        multi_label)
    if "false_alarm_rates" in table:
      result |= classification.sensitivities(
          table["label"][indices], table["probability"][indices], rates)
    for name in PER_IMAGE:
      if name in table:
        result[name] = float(table[name][indices].mean())
    for name, total in sums.items():
      count = counts[name][indices].sum()
      if count:
        result[name] = float(total[indices].sum() / count)
    if classes:
      rows = _per_class(table, columns, indices)
      result |= {(c, metric): value for c, row in rows.items()
                 for metric, value in row.items()}
    return result

  return scores


def judge(table, samples=500, seed=0):
  """Scores of one split.

  Args:
    table: from `tabulate`.
    samples: bootstrap resamples; 0 leaves "ci90" out.
    seed: of the resampling.
  Returns:
    `{metric: float, "per_class": {class: {...}}, "ci90": {metric: [low,
    high]}}`; "groups", the number of groups that the intervals are over,
    where images have some; with one label an image "confusion", see
    `classification.confusion`; of two classes "roc": {"false_alarm_rate",
    "sensitivity", "threshold"}, "operating_point" (`operating_point.measure`)
    and "without_alarm". Metrics that the data do not allow are absent. The
    interval of a share is exact (`metrics.proportion`); that of another score
    is absent where all resamples are equal, or a score of maps is of fewer
    than `table_units.FEWEST` images or groups.
  """
  everything = np.arange(len(table["id"]))
  scores = statistic(table)
  result = scores(everything)
  result["per_class"] = _per_class(table, classification.per_class(
      table["label"], table["probability"], _threshold(table),
      bool(table["multi_label"])), everything)
  if not table["multi_label"]:
    result["confusion"] = classification.confusion(
        table["label"], decisions(table)).tolist()
  if "false_alarm_rates" in table:
    result |= _of_two_classes(table)
  unit = table_units.units(table)
  if unit is not None:
    result["groups"] = len(set(unit))
    for c, row in enumerate(result["per_class"].values()):
      row["groups"] = len(set(unit[table["label"][:, c] > 0]))
  if samples:
    found = statistics.bootstrap(scores, len(everything), samples, seed=seed,
                                 units=unit) | _of_shares(table, result)
    result["ci90"] = {name: ends for name, ends in found.items()
                      if ends and not statistics.certain(ends)
                      and (name not in PER_PAIR or name in PROPORTIONS
                           or table_units.carriers(table, unit, name)
                           >= table_units.FEWEST)}
  return result


def _of_shares(table, scores):
  """`{metric: exact interval}` of the scores that are shares."""
  count = len(table["id"])
  unit = table_units.units(table)
  unit = np.arange(count) if unit is None else unit
  found = {}
  if "accuracy" in scores:
    found["accuracy"] = proportion.of_units(
        (decisions(table) & (table["label"] > 0)).any(1), unit)
  for name in {*PROPORTIONS} & scores.keys():
    image, which = np.nonzero(np.isfinite(table[name]))
    found[name] = proportion.of_units(table[name][image, which], unit[image])
  for rate in table.get("false_alarm_rates", ()):
    name = f"sensitivity_at_{rate:g}"
    if name in scores:
      label, score = table["label"][:, 1] > 0, table["probability"][:, 1]
      _, (threshold,) = classification.operating_points(label, score, [rate])
      found[name] = proportion.of_units(score[label] >= threshold,
                                        unit[label], scores[name])
  return found


def clip_level(predictions, thresholds):
  """The scores of single clips, of which a recording has several.

  Args:
    predictions: `predictor.Predictions` with `clip_probability`.
    thresholds: from `choose_thresholds` of the validation split.
  Returns:
    `{"clip_level": {"clips": K, metric: float}}`; {} for predictions of one
    clip each. `judge` has the scores of the mean over the K clips.
  """
  of_clips = predictions.clip_probability
  if of_clips is None:
    return {}
  count, classes = of_clips.shape[1:]
  threshold = thresholds.get("probability", thresholds.get("positive"))
  scores, _ = classification.evaluate_all(
      np.repeat(predictions.label, count, 0), of_clips.reshape(-1, classes),
      threshold, predictions.multi_label)
  return {"clip_level": {"clips": count, **scores}}


def _of_two_classes(table):
  """The operating point, the ROC curve, and what too few negatives leave."""
  label, score = table["label"][:, 1], table["probability"][:, 1]
  threshold, unit = _threshold(table), table_units.units(table)
  found = {"operating_point": points.measure(
      label, score, points.HALF if threshold is None else threshold, unit)}
  if table["label"].any(0).all():
    found["roc"] = _roc(table)
    known = points.without_alarm(label, score, table["false_alarm_rates"],
                                 unit)
    if known:
      found["without_alarm"] = known
  return found


def _roc(table):
  """The corners of the ROC curve of the second class, as lists.

  The threshold of the first corner is None: there is no alarm.
  """
  alarms, sensitivity, threshold = classification.roc(
      table["label"][:, 1], table["probability"][:, 1], corners=True)
  return {"false_alarm_rate": alarms.tolist(),
          "sensitivity": sensitivity.tolist(),
          "threshold": [None, *threshold[1:].tolist()]}


def _per_class(table, columns, indices):
  """The scores of each class, `{class: {metric: float}}`.

  Args:
    table: from `tabulate`.
    columns: from `classification.per_class` of the same images.
    indices: of these images.
  """
  columns = dict(columns)
  for name in PER_PAIR:
    if name in table:
      values = table[name][indices]
      counts = np.isfinite(values).sum(0)
      columns[name] = [total / count if count else None for total, count in
                       zip(np.nansum(values, 0), counts)]
  return {str(class_name): {key: float(value[c])
                            for key, value in columns.items()
                            if value[c] is not None}
          for c, class_name in enumerate(table["class_names"])}
