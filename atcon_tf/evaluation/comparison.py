"""Two runs on the same test images: is one better, and on which classes?

    differences = comparison.compare(table_of_baseline, table_of_run)
    print(tables.class_tables(differences, ("baseline", "run")))

The tables are those of predictions.npz. The test pairs the two runs image by
image. Its only source of chance is the choice of the test images, or of whole
groups of them where they have groups: runs of another seed may differ by more
than its interval. `atcon_tf.study` compares
many seeds.
"""

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.evaluation.metrics import statistics
from atcon_tf.evaluation import scoring
from atcon_tf.evaluation import table_units

# The metrics of a class that are compared, and their names in reports.
CLASS_METRICS = {"ap": "AP", "f1": "F1", "box_iou": "box IoU",
                 "pointing_game": "pointing game", "mask_iou": "mask IoU"}


def check(first, second, names=("the one", "the other")):
  """Refuses two runs that cannot be paired.

  Args:
    first, second: tables of two runs.
    names: of the two runs, for the message.
  Raises:
    UserError: their test images, classes or labels differ.
  """
  for key, what in [("class_names", "classes"), ("id", "test images")]:
    if not np.array_equal(first[key], second[key]):
      one, other = (set(t[key].tolist()) for t in (first, second))
      raise UserError("compare", None,
                      f"{names[0]} and {names[1]} saw different {what} "
                      f"({len(one)} and {len(other)}, {len(one & other)} "
                      "in common); only runs on the same test images can be "
                      "paired")
  if not np.array_equal(first["label"], second["label"]):
    raise UserError("compare", None,
                    f"{names[0]} and {names[1]} give the same images other "
                    "labels; only runs on the same labels can be paired")


def compare(first, second, samples=2000):
  """Paired test of two runs on the same images.

  Args:
    first, second: tables from `stored_predictions.load_predictions`.
    samples: bootstrap resamples of the images.
  Returns:
    `{metric: {"difference": second - first, "interval": [low, high] (90 %; None
    if fewer than 5 images, or groups of them, have the score),
    "p": two-sided}, "per_class": {class: {metric: the same with "first" and
    "second", the two scores, and "images", the number of images that show the
    class; of the scores of maps those with a box or a mask of it}}}`.
  Raises:
    UserError: see `check`.
  """
  check(first, second)
  count = len(first["id"])
  scores = [scoring.statistic(t, classes=True) for t in (first, second)]
  before, after = (fn(np.arange(count)) for fn in scores)
  unit = next((u for u in map(table_units.units, (first, second))
               if u is not None), None)
  found = statistics.paired_bootstrap(
      *scores[::-1], count, samples, units=unit,
      carriers=lambda name: table_units.carriers(first, unit, name))
  result = {k: v for k, v in found.items() if isinstance(k, str)}
  if unit is not None:
    result["groups"] = len(set(unit))
  result["per_class"] = {str(c): {} for c in first["class_names"]}
  number = {name: i for i, name in enumerate(result["per_class"])}
  for key, row in found.items():
    if not isinstance(key, str) and key[1] in CLASS_METRICS:
      name, metric = key
      result["per_class"][name][metric] = {
          **row, "first": before[key], "second": after[key],
          "images": int(np.isfinite(first[metric][:, number[name]]).sum()
                        if metric in first else before[name, "support"])}
  return result


def differs(row):
  """Whether the interval of a difference does not contain 0.

  Where there is no interval, or all resamples are equal, nothing is known.
  """
  if statistics.certain(row["interval"]):
    return False
  low, high = row["interval"]
  return low > 0 or high < 0


def of_classes(differences, metric):
  """`[(class, row)]` of a metric, the largest gain first.

  Args:
    differences: from `compare`.
    metric: a key of `CLASS_METRICS`.
  """
  rows = [(c, row[metric]) for c, row in differences["per_class"].items()
          if metric in row]
  return sorted(rows, key=lambda r: -r[1]["difference"])
