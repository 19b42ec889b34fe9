"""Scores of the faithfulness of an explanation head while it is trained.

The scores are average drop and increase in confidence with 100, 50 and 15 % of
the map kept. TAME and L-CAM report them after every epoch; here they are
computed at every validation, for the class that --target selects, on at most
200 images, spread evenly over the part. A run's `attribution.csv` has a row
for each validation.
"""

import csv
import io

import numpy as np

from atcon_tf.evaluation import cases
from atcon_tf.evaluation import method_scores
from atcon_tf.training.validation_images import spread

METRICS = tuple(f"{name}{kept}" for name in ("average_drop",
                                             "increase_in_confidence")
                for kept in ("", "_50", "_15"))
IMAGES = 200


class HeadScores:
  """Scores the head of a classifier on the same images at every call."""

  def __init__(self, config, data, classifier):
    """Prepares the scores.

    Args:
      config: the run's `Config`; its objective is the head's method.
      data: the run's `run_data.RunData`.
      classifier: a `models.Classifier` with a head.
    """
    self._classifier, self._data = classifier, data
    self._target = "label" if config.target == "labels" else "prediction"
    self._judge = method_scores.judgement(
        classifier, config.objective, data.multi_label)
    # Kept for every call, because a frozen classifier's predictions stay.
    self._pairs = {}

  def __call__(self, part):
    """`{metric: mean in percent}` on images of "val" or "test"."""
    if part not in self._pairs:
      self._pairs[part] = cases.cases_of(
          self._classifier, spread(self._data.records[part], IMAGES),
          self._data.images, self._target)
    scores = self._judge(self._pairs[part], METRICS)["scores"]
    return {name: float(np.mean(scores[name])) for name in METRICS}


def table(history):
  """The text of attribution.csv, with a line for each validation.

  Args:
    history: list of dicts, see `run_state.RunState`.
  """
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["step", *METRICS])
  for row in history:
    writer.writerow([row["step"], *(row[f"val_{name}"] for name in METRICS)])
  return text.getvalue()
