"""Which weights a run keeps: the best on validation, the last, or a mean.

`--keep=best` keeps the weights that rank the validation images best. A score
that is saturated, as an mAP of 1 on few images, cannot choose: of two equal
scores the lower validation loss wins, and of two equal losses the later.

`--keep=last` and `--keep=average` choose nothing; a probe that is fitted again
at the end (`--refit`) is kept if it is better than they are. The average is the mean of
the weights after each of the last quarter of the updates, as in stochastic
weight averaging (Izmailov et al., UAI 2018, arXiv 1803.05407), which averages
from three quarters of the training on. Moving statistics of batch
normalisation are averaged, too.
"""

import keras
import numpy as np

from atcon_tf.reports.kept_weights import EQUAL

# The last share of the updates whose weights are averaged.
AVERAGED = 0.25


def wins(new, best, keep="best"):
  """Whether new weights replace the kept ones.

  Args:
    new, best: dicts with "score" (higher is better) and "loss" (lower is
      better) on validation; `best` is None before any weights are kept.
    keep: a value of --keep.

  Example:
    >>> wins({"score": 1., "loss": .2}, {"score": 1., "loss": .3})
    True
  """
  if best is None or keep != "best":
    return True
  if abs(new["score"] - best["score"]) > EQUAL:
    return new["score"] > best["score"]
  return new["loss"] <= best.get("loss", np.inf)


def averaged_updates(steps):
  """The number of last updates whose weights --keep=average averages."""
  return max(1, round(AVERAGED * steps))


def floating(classifier):
  """The variables that are averaged: the classifier's, and its head's."""
  heads = [classifier.attention] if classifier.attention else []
  return [v for model in (classifier.model, *heads) for v in model.variables
          if keras.backend.is_float_dtype(v.dtype)]


def average(state, steps, classifier):
  """Adds the present weights to the mean of those of the last updates.

  Args:
    state: a `RunState`, whose `mean` and `averaged` are updated.
    steps: number of updates of the run.
    classifier: a `models.Classifier`.
  """
  if state.updates > steps - averaged_updates(steps):
    state.mean = _add_to_mean(state.mean, state.averaged, floating(classifier))
    state.averaged += 1


def _add_to_mean(mean, count, variables):
  """The mean with the variables' present values added to it.

  Args:
    mean: list of float64 arrays, the mean of `count` values; [] if 0.
    count: number of values in `mean`.
    variables: list of Keras variables.
  """
  values = [v.numpy().astype(np.float64) for v in variables]
  if not count:
    return values
  return [m + (v - m) / (count + 1) for m, v in zip(mean, values)]
