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
# Scores of decisions: two runs with the same decisions have the same ones.
DECIDED = ("accuracy", "f1_macro", "f1_micro", "f1", "precision", "recall")


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
    if the runs differ in fewer than 5 images, or groups of them),
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
      carriers=lambda name: _differing(first, second, unit, name))
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


def _differing(first, second, unit, name):
  """In how many images, or groups of them, two runs differ.

  The others tell nothing of which run is better: in a sign test of decisions
  they are left out (McNemar, Psychometrika 12, 1947).
  """
  of_class, metric = (None, name) if isinstance(name, str) else name
  if metric in first:
    unlike = _unlike(first[metric], second[metric])
  elif metric in DECIDED:
    unlike = scoring.decisions(first) != scoring.decisions(second)
  elif metric == "f1_macro_at_half":
    unlike = (first["probability"] >= .5) != (second["probability"] >= .5)
  else:  # the ranks of all images have a part in it
    unlike = np.ones(first["label"].shape, bool)
  if of_class is not None:
    unlike = unlike[:, first["class_names"].tolist().index(of_class)]
  return _number(unlike, unit)


def _unlike(first, second):
  return np.isfinite(first) & np.isfinite(second) & (first != second)


def _number(chosen, unit):
  """How many units a bool `[N]` or `[N, classes]` chooses."""
  unit = np.arange(len(chosen)) if unit is None else unit
  return len(set(unit[chosen if chosen.ndim == 1 else chosen.any(1)]))


def against(table, metric, trivial, samples=2000):
  """Paired test of a score of maps against one that looks at no image.

  Args:
    table: from `stored_predictions.load_predictions`.
    metric, trivial: columns of it, of `scoring.PER_PAIR`.
    samples: bootstrap resamples of the images.
  Returns:
    `{"difference", "interval", "p"}` as of `compare`; None: the table lacks a
    column.
  """
  if not {metric, trivial} <= table.keys():
    return None
  unit = table_units.units(table)

  def mean(name):
    total = np.nansum(table[name], 1)
    count = np.isfinite(table[name]).sum(1)
    return lambda i: {metric: total[i].sum() / count[i].sum()} if (
        count[i].any()) else {}

  unlike = _unlike(table[metric], table[trivial])
  return statistics.paired_bootstrap(
      mean(metric), mean(trivial), len(table["id"]), samples, units=unit,
      carriers=lambda _: _number(unlike, unit)).get(metric)


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
