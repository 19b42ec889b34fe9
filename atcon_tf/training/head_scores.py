"""How faithful the maps of an explanation head are while it is trained.

Average drop and increase in confidence with 100, 50 and 15 % of the map kept,
as TAME and L-CAM report them after every epoch: here at every validation, of
the class that the head is trained for (--target), on at most 200 images,
evenly over the part. A run's `attribution.csv` has a row for each.
"""

import csv
import io

import numpy as np

from atcon_tf.evaluation import cases
from atcon_tf.evaluation import method_scores

METRICS = tuple(f"{name}{kept}" for name in ("average_drop",
                                             "increase_in_confidence")
                for kept in ("", "_50", "_15"))
IMAGES = 200


class HeadScores:
  """Judges the head of a classifier again and again, on the same images."""

  def __init__(self, config, data, classifier):
    """Prepares the judgement.

    Args:
      config: the run's `Config`; its objective is the head's method.
      data: its `run_data.RunData`.
      classifier: a `models.Classifier` with a head.
    """
    self._classifier, self._data = classifier, data
    self._target = "label" if config.target == "labels" else "prediction"
    self._judge = method_scores.judgement(classifier, config.objective, METRICS,
                                          data.multi_label)
    self._pairs = {}  # the classifier is frozen: its predictions stay

  def __call__(self, part):
    """`{metric: mean in percent}` on images of "val" or "test"."""
    if part not in self._pairs:
      records = self._data.records[part]
      count = min(IMAGES, len(records))
      self._pairs[part] = cases.cases_of(
          self._classifier, [records[i * len(records) // count]
                             for i in range(count)],
          self._data.images, self._target)
    scores = self._judge(self._pairs[part])["scores"]
    return {name: float(np.mean(scores[name])) for name in METRICS}


def table(history):
  """attribution.csv: a line for each validation, from a run's history."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["step", *METRICS])
  for row in history:
    writer.writerow([row["step"], *(row[f"val_{name}"] for name in METRICS)])
  return text.getvalue()
