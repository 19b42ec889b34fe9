"""Two runs on the same test images: is one better, and on which classes?

    differences = comparison.compare(table_of_baseline, table_of_run)
    print(comparison.table(differences, "run over baseline"))
    print(comparison.class_tables(differences, ("baseline", "run")))

The tables are those of predictions.npz. Everything is paired by image; chance
is the choice of the test images alone. Another seed may differ by more than
such an interval says: many seeds are what `atcon_tf.study` is for.
"""

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.evaluation.metrics import statistics
from atcon_tf.evaluation import scoring

# Of each class; a table and a panel for each.
CLASS_METRICS = {"ap": "AP", "f1": "F1", "box_iou": "box IoU",
                 "pointing_game": "pointing game", "mask_iou": "mask IoU"}


def check(first, second, names=("the one", "the other")):
  """Refuses two runs that cannot be paired.

  Args:
    first, second: tables of two runs.
    names: what to call them.
  Raises:
    UserError: they saw other test images, classes or labels.
  """
  for key, what in [("class_names", "classes"), ("id", "test images")]:
    if not np.array_equal(first[key], second[key]):
      ours, theirs = (set(t[key].tolist()) for t in (first, second))
      raise UserError("compare", None,
                      f"{names[0]} and {names[1]} saw different {what} "
                      f"({len(ours)} and {len(theirs)}, {len(ours & theirs)} "
                      "in common); only runs on the same test images can be "
                      "paired")
  if not np.array_equal(first["label"], second["label"]):
    raise UserError("compare", None,
                    f"{names[0]} and {names[1]} give the same images other "
                    "labels; only runs on the same labels can be paired")


def compare(first, second, samples=2000):
  """Paired test of two runs on the same images.

  Args:
    first, second: tables from `results.load_predictions`.
    samples: bootstrap resamples of the images.
  Returns:
    `{metric: {"difference": second - first, "interval": [low, high] (90 %),
    "p": two-sided}, "per_class": {class: {metric: the same with "first" and
    "second", the two scores, and "images", those that show the class}}}`.
  Raises:
    UserError: they saw different images or classes.
  """
  check(first, second)
  count = len(first["id"])
  scores = [scoring.statistic(t, classes=True) for t in (first, second)]
  before, after = (fn(np.arange(count)) for fn in scores)
  found = statistics.paired_bootstrap(*scores[::-1], count, samples)
  result = {k: v for k, v in found.items() if isinstance(k, str)}
  result["per_class"] = {str(c): {} for c in first["class_names"]}
  for key, row in found.items():
    if not isinstance(key, str) and key[1] in CLASS_METRICS:
      name, metric = key
      result["per_class"][name][metric] = {
          **row, "first": before[key], "second": after[key],
          "images": int(before[name, "support"])}
  return result


def differs(row):
  """Whether the interval of a difference leaves out 0."""
  low, high = row["interval"]
  return low > 0 or high < 0


def of_classes(differences, metric):
  """`[(class, row)]` of a metric, the largest gains first."""
  rows = [(c, row[metric]) for c, row in differences["per_class"].items()
          if metric in row]
  return sorted(rows, key=lambda r: -r[1]["difference"])
