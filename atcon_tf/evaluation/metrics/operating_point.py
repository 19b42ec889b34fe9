"""The operating point of a classifier of two classes.

    point = choose(val_label, val_score, "sensitivity:0.95")
    measure(test_label, test_score, point["threshold"])["sensitivity"]

`label` is `[N]` of 0 and 1, `score` `[N]` in [0, 1], the probability of the
second class; `score >= threshold` is an alarm. A share of n images has an
exact binomial interval, see `proportion`.
"""

import numpy as np

from atcon_tf.evaluation.metrics import proportion

# The threshold if nothing is asked for: the more probable class.
HALF = 0.5


def choose(label, score, wanted):
  """The threshold that reaches a wanted sensitivity or precision.

  For a sensitivity it is the highest such threshold, for a precision the
  lowest. It lies in the middle between two neighbouring scores. Without a
  threshold that reaches the precision, it is one of the highest precision.

  Args:
    label, score: of validation images.
    wanted: "sensitivity:0.95" or "precision:0.9"; "": threshold 0.5.
  Returns:
    `{"wanted", "threshold", "reached": bool}`; "reached" only if something is
    wanted. Without images of both classes the threshold is 0.5 and nothing is
    reached.

  Example:
    >>> operating_point.choose([1, 1, 0], [.9, .5, .1],
    ...                        "sensitivity:1")["threshold"]
    0.3
  """
  if not wanted:
    return {"wanted": "", "threshold": HALF}
  label, score = np.asarray(label), np.asarray(score, np.float64)
  if len(set(label.tolist())) < 2:
    return {"wanted": wanted, "threshold": HALF, "reached": False}
  goal, _, value = wanted.partition(":")
  values = np.unique(score)[::-1]
  hits = np.array([label[score >= t].sum() for t in values])
  alarms = np.array([(score >= t).sum() for t in values])
  share = hits / (label.sum() if goal == "sensitivity" else alarms)
  good = np.flatnonzero(share >= float(value) - 1e-12)
  if len(good):
    chosen = good[0] if goal == "sensitivity" else good[-1]
  else:
    chosen = np.flatnonzero(share == share.max())[-1]
  below = values[chosen + 1] if chosen + 1 < len(values) else 0.0
  return {"wanted": wanted, "threshold": float((values[chosen] + below) / 2),
          "reached": bool(len(good))}


def measure(label, score, threshold, units=None):
  """What a threshold gives on images.

  Args:
    label, score, threshold: see above.
    units: `[N]`, the group of each image; None: images are independent.
  Returns:
    `{"threshold", "positives", "negatives", "sensitivity", "specificity",
    "precision", "interval": {name: [low, high]}}`; a share of no image is
    absent, and so is the interval of images of one group.
  """
  label, alarm = np.asarray(label) > 0, np.asarray(score) >= threshold
  units = np.arange(len(label)) if units is None else units
  result = {"threshold": float(threshold), "positives": int(label.sum()),
            "negatives": int((~label).sum()), "interval": {}}
  for name, hits, of in [("sensitivity", alarm, label),
                         ("specificity", ~alarm, ~label),
                         ("precision", label, alarm)]:
    if of.any():
      result[name] = float(hits[of].mean())
      found = proportion.of_units(hits[of], units[of])
      if found:
        result["interval"][name] = found
  return result


def measurable(rates, negatives):
  """The rates of false alarms that so many negatives can show.

  A rate needs at least one false alarm among the negatives. Below that the
  ROC curve is a line that nothing was measured on.

  Example:
    >>> operating_point.measurable([.001, .05], 20)
    [0.05]
  """
  return [float(rate) for rate in rates
          if float(rate) * negatives >= 1 - 1e-9]


def without_alarm(label, score, rates, units=None):
  """What can be said where the negatives are too few for some rates.

  Returns:
    `{"rates", "negatives", "rate_below", "sensitivity", "interval"}`: the
    sensitivity of the lowest threshold without a false alarm on these images,
    and the 95 % bound of the true rate of false alarms there; None if every
    rate is measurable. An interval that images of one group do not allow is
    absent, and "rate_below" is then 1.
  """
  label = np.asarray(label)
  units = np.arange(len(label)) if units is None else units
  negatives = int((label == 0).sum())
  known = measurable(rates, negatives)
  missing = [float(rate) for rate in rates if float(rate) not in known]
  if not missing or len(set(label.tolist())) < 2:
    return None
  hits = np.asarray(score) > np.asarray(score)[label == 0].max()
  below = proportion.of_units(hits[label == 0], units[label == 0])
  found = proportion.of_units(hits[label > 0], units[label > 0])
  return {"rates": missing, "negatives": negatives,
          "rate_below": below[1] if below else 1.0,
          "sensitivity": float(hits[label > 0].mean()),
          **({"interval": found} if found else {})}
