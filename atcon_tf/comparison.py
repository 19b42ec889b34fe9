"""Two runs on the same test images: is one better, and on which classes?

    differences = comparison.compare(table_of_baseline, table_of_run)
    print(comparison.table(differences, "run over baseline"))
    print(comparison.class_tables(differences, ("baseline", "run")))

The tables are those of predictions.npz. Everything is paired by image; chance
is the choice of the test images alone. Another seed may differ by more than
such an interval says: many seeds are what `tools/study.py` is for.
"""

import numpy as np

from atcon_tf import results
from atcon_tf import scoring
from atcon_tf.config import UserError
from atcon_tf.metrics import statistics

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
      raise UserError(
          f"--compare: {names[0]} and {names[1]} saw different {what} "
          f"({len(ours)} and {len(theirs)}, {len(ours & theirs)} in common); "
          "only runs on the same test images can be paired")
  if not np.array_equal(first["label"], second["label"]):
    raise UserError(f"--compare: {names[0]} and {names[1]} give the same "
                    "images other labels; only runs on the same labels can be "
                    "paired")


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


def table(differences, name):
  """The differences of all metrics as text."""
  lines = [[name, "difference", "90 % interval", "p"]]
  lines += [[label, *_cells(differences[metric])]
            for metric, label in results.rows(differences).items()
            if metric in differences and not metric.startswith("centre")]
  return results.align(lines)


def _cells(row):
  low, high = row["interval"]
  return [f"{row['difference']:+.3f}", f"[{low:+.3f}, {high:+.3f}]",
          f"{row['p']:.3f}"]


def class_tables(differences, names):
  """The classes, a table for each metric, the largest gains first.

  Args:
    differences: from `compare`.
    names: of the first and of the second run.
  """
  blocks = []
  for metric, label in CLASS_METRICS.items():
    rows = of_classes(differences, metric)
    if rows:
      lines = [[f"{label} of a class", "images", *names, "difference",
                "90 % interval", "p", ""]]
      lines += [[c, str(row["images"]), f"{row['first']:.3f}",
                 f"{row['second']:.3f}", *_cells(row),
                 "*" if differs(row) else ""] for c, row in rows]
      found = [row["difference"] > 0 for _, row in rows if differs(row)]
      blocks.append(results.align(lines) + (
          f"\n* {sum(found)} better, {len(found) - sum(found)} worse of "
          f"{len(rows)}; about {(1 - statistics.LEVEL) * len(rows):.0f} "
          "expected of chance alone"))
  return "\n\n".join(blocks)


def of_classes(differences, metric):
  """`[(class, row)]` of a metric, the largest gains first."""
  rows = [(c, row[metric]) for c, row in differences["per_class"].items()
          if metric in row]
  return sorted(rows, key=lambda r: -r[1]["difference"])
