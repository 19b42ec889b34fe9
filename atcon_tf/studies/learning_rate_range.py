"""The learning-rate range test: the loss while the rate grows.

See atcon_tf/find_lr.py for the rule.
"""

import dataclasses
import json
import pathlib
import tempfile

from matplotlib.figure import Figure
import numpy as np
import tensorflow as tf

from atcon_tf.config import Config
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.reports.figures import canvas
from atcon_tf.runs.run_classifier import of_file
from atcon_tf.training import one_run
from atcon_tf.training.run_state import RunState
from atcon_tf.training import schedule

SMOOTHING = 0.9
EXPLODED = 3
# The settings that are learning rates.
RATES = tuple(f.name for f in dataclasses.fields(Config)
              if f.name.endswith("learning_rate"))


class Curve:
  """The smoothed loss, point by point.

  Example:
    >>> curve = Curve([("supervised",)])
    >>> curve.add(("supervised",), 2.0)
    2.0
  """

  def __init__(self, kinds):
    """Begins without a point.

    Args:
      kinds: every kind of step that `add` will get.
    """
    self._mean = {kind: 0.0 for kind in kinds}
    self._count = {kind: 0 for kind in kinds}
    self._values = []

  def add(self, kind, loss):
    """Adds a loss, and returns the curve after it.

    Args:
      kind: of the step.
      loss: of the step.
    Returns:
      the curve; None while a kind has no loss yet.
    """
    self._mean[kind] = (SMOOTHING * self._mean[kind]
                        + (1 - SMOOTHING) * loss)
    self._count[kind] += 1
    if not all(self._count.values()):
      return None
    value = sum(mean / (1 - SMOOTHING**self._count[kind])
                for kind, mean in self._mean.items())
    self._values.append(value)
    return value

  @property
  def exploded(self):
    """Whether the last point is far above the minimum."""
    if not self._values:
      return False
    low = min(self._values)
    return self._values[-1] - low > EXPLODED * max(
        abs(low), self._values[0] - low)


def hold_rates(trainer):
  """Multiplies every rate of a trainer by one variable.

  A cycle of rates is replaced by its maximum.

  Returns:
    the variable.
  """
  with trainer.strategy.scope():
    factor = tf.Variable(1.0, trainable=False)
  for optimizer in trainer.optimizers.values():
    # float16 has a factor of the loss around its optimisers.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    # A cycle has a maximum, a constant rate has none.
    rate = getattr(optimizer._learning_rate, "maximum", None)
    rate = rate or float(optimizer.learning_rate)
    optimizer.learning_rate = lambda rate=rate: rate * factor
  return factor


def sweep(config, low, high, count, progress=False):
  """Trains with rising rates.

  Args:
    config: a resolved `Config`.
    low, high: first and last factor of the rates.
    count: of the steps in between.
    progress: show a bar.
  Returns:
    dict: "rates" `{flag: rate at the factor 1}`; "factor", "loss" and
    "smoothed", lists, one entry a step ("smoothed" is None where the curve
    has not begun); "stopped", why the sweep ended before its last step, or
    None; and the entries of `suggest`.
  Raises:
    UserError: as `training.train_and_evaluate`.
  """
  config = of_file(config)
  rates = {name: getattr(config, name) for name in RATES
           if getattr(config, name)}
  # The steps before the first pseudo-labels are not part of the sweep.
  config = dataclasses.replace(config, steps=count + config.bank_every)
  with tempfile.TemporaryDirectory() as folder:
    run = one_run.prepare(config, pathlib.Path(folder) / "splits.json")
  first = next((i for i, kinds in enumerate(run.plan)
                if schedule.CONSISTENCY in kinds), 0)
  state = RunState(step=first)
  run.begin(state)
  kinds = set(run.plan[first:first + count])
  factors = np.geomspace(low, high, len(run.plan[first:first + count]))
  curve, factor = Curve(kinds), hold_rates(run.trainer)
  found = {"rates": rates, "factor": [], "loss": [], "smoothed": [],
           "stopped": None}
  steps = run.steps(state)
  bar = Progress(len(factors), "steps", progress)
  for value in factors.tolist():
    factor.assign(value)
    try:
      kind, logs = next(steps)
    except FloatingPointError as error:
      found["stopped"] = "the loss is not finite" if (
          "finite" in str(error)) else "the loss exploded"
      break
    found["factor"].append(value)
    found["loss"].append(logs["loss"])
    found["smoothed"].append(curve.add(kind, logs["loss"]))
    bar.add(1)
    if curve.exploded:
      found["stopped"] = "the loss exploded"
      break
  bar.close()
  return found | suggest(found["factor"], found["smoothed"], rates)


def suggest(factor, smoothed, rates):
  """The suggested rates.

  Args:
    factor, smoothed: as `sweep` returns them.
    rates: `{flag: rate at the factor 1}`.
  Returns:
    dict: "minimum" and "steepest", the factors there, "suggested", the
    factor, and "suggested_rates" `{flag: rate}`; all None where the curve
    never falls.
  """
  points = [(f, s) for f, s in zip(factor, smoothed) if s is not None]
  tenth = max(2, len(points) // 10)
  points = points[tenth:]
  names = ("minimum", "steepest", "suggested", "suggested_rates")
  bottom = int(np.argmin([s for _, s in points])) if points else 0
  if bottom < 2:
    return dict.fromkeys(names)
  x, y = np.array(points[:bottom + 1]).T
  slopes = [np.polyfit(np.log(x[part]), y[part], 1)[0]
            for part in (slice(max(0, i - tenth), i + tenth + 1)
                         for i in range(len(x)))]
  minimum, steepest = x[-1], x[np.argmin(slopes)]
  best = float(min(minimum / 10, steepest))
  rounded = {name: float(f"{best * rate:.2g}")
             for name, rate in rates.items()}
  return dict(zip(names, (float(minimum), float(steepest), best, rounded)))


def plot(sweeps):
  """All sweeps in one plot.

  Args:
    sweeps: `{name: what sweep returns}`.
  Returns:
    a matplotlib figure. Its x axis is the rate if all sweeps have the same
    single rate, else the factor.
  """
  figure = Figure(figsize=(6.4, 4), layout="constrained")
  axes = figure.subplots()
  kinds = [found["rates"] for found in sweeps.values()]
  single = len(kinds[0]) == 1 and all(k.keys() == kinds[0].keys()
                                      for k in kinds)
  for i, (name, found) in enumerate(sweeps.items()):
    scale = list(found["rates"].values())[0] if single else 1
    x = scale * np.array(found["factor"])
    y = np.array(found["smoothed"], float)
    color = f"C{i}"
    if len(sweeps) == 1:
      axes.plot(x, found["loss"], color=color, alpha=.25, linewidth=1)
    label = canvas.entry(name)
    if found["suggested"]:
      best = scale * found["suggested"]
      label += f": {best:.2g}"
      axes.axvline(best, color=color, linestyle=":", linewidth=1)
      axes.plot(best, np.interp(best, x, y), "o", color=color)
    axes.plot(x, y, color=color, label=label)
  # The axis ends where an explosion begins.
  smoothed = [[s for s in found["smoothed"] if s is not None]
              for found in sweeps.values()]
  low = min(min(s) for s in smoothed if s)
  top = max(np.percentile(s, 90) for s in smoothed if s)
  margin = .3 * (top - low) + 1e-6
  axes.set_ylim(low - margin, top + margin)
  axes.set_xscale("log")
  axes.xaxis.set_major_formatter("{x:g}")
  axes.xaxis.set_minor_formatter("")
  axes.set_xlabel(f"--{list(kinds[0])[0]}" if single else
                  "factor of the learning rates")
  axes.set_ylabel("loss, smoothed")
  axes.grid(alpha=.3)
  axes.legend(title="suggested maximum", fontsize=8, title_fontsize=8)
  return figure


def read(path):
  """A sweep from its file.

  Raises:
    UserError: there is no such file, or it holds no sweep.
  """
  try:
    found = json.loads(pathlib.Path(path).read_text())
  except (OSError, ValueError) as error:
    raise UserError("compare", path, f"{error}") from error
  if not isinstance(found, dict) or not {"rates", "factor", "smoothed",
                                         "suggested"} <= set(found):
    raise UserError("compare", path,
                    "not what atcon_tf.find_lr writes")
  return found
