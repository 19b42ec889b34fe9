"""Which learning rate? Raises it step by step until the loss explodes.

    python tools/lr_finder.py --flagfile=flags/voc_8shot.flags \
      --data_dir=VOCdevkit --out=W/rates/atcon.json
    python tools/lr_finder.py --compare=W/rates/atcon.json,W/rates/tame.json \
      --out=W/rates/both.json

The learning-rate range test (Smith, arXiv 1506.01186), for every objective:
settings, data, model, optimisers and batches are those of `atcon_tf.train`,
whose flags go through (those of validation and of the length of a run may be
there, but have no part in it). Step i of n multiplies every rate of the run
by the same factor, `low (high / low)^(i / (n - 1))`, so that several
optimisers keep their proportion; a cycle of rates is held at its maximum.

The loss is smoothed by `m_i = 0.9 m_(i-1) + 0.1 loss_i`, shown as
`m_i / (1 - 0.9^i)`, which has no bias towards the start at 0. Where steps of
several kinds alternate, each kind is smoothed by itself and the curve is
their sum, from where every kind has come. The sweep stops when a loss is not
finite, or when the curve is higher above its minimum than 3 times that
minimum or 3 times its fall, whichever is larger (for a positive loss that
fell little: 4 times the minimum).

Suggested is the smaller of two factors: where the curve falls steepest
against the logarithm of the rate (the slope of a straight line through the
fifth of the points around), and a tenth of that of the minimum. The first
tenth of the steps does not count: there the average is of a few.

Writes --out (JSON) and the plot beside it (PNG); with --compare the plot
alone, of sweeps made before.
"""

import json
import pathlib
import sys
import tempfile

# The tools also run from a clone that is not installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import dataclasses

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from matplotlib.figure import Figure

from atcon_tf import cli
from atcon_tf import config as config_lib
from atcon_tf import files
from atcon_tf import plots
from atcon_tf import runs
from atcon_tf import schedule
from atcon_tf import training
from atcon_tf.config import UserError

SMOOTHING = 0.9
EXPLODED = 3
# Settings that are learning rates.
RATES = tuple(f.name for f in dataclasses.fields(config_lib.Config)
              if f.name.endswith("learning_rate"))


class Curve:
  """The smoothed loss, point by point.

  Example:
    >>> curve = Curve([("supervised",)])
    >>> curve.add(("supervised",), 2.0)
    2.0
  """

  def __init__(self, kinds):
    """Args: kinds, the kinds of step that will come."""
    self._mean = {kind: 0.0 for kind in kinds}
    self._count = {kind: 0 for kind in kinds}
    self._values = []

  def add(self, kind, loss):
    """The curve after one more loss; None before every kind has come."""
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
  """Multiplies every rate of a trainer by one variable, and returns it."""
  with trainer.strategy.scope():
    factor = tf.Variable(1.0, trainable=False)
  for optimizer in trainer.optimizers.values():
    # A schedule of ours knows its maximum; a constant is its own.
    rate = getattr(optimizer._learning_rate, "maximum",
                   None) or float(optimizer.learning_rate)
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
    has not begun); "stopped": why, before the last step, or None; and
    what `suggest` returns.
  Raises:
    UserError: as `train.train_and_evaluate`.
  """
  config = runs.with_image_size(config)
  rates = {name: getattr(config, name) for name in RATES
           if getattr(config, name)}
  # As many steps as are needed, behind those before the first bank.
  config = dataclasses.replace(config, steps=count + config.bank_every)
  with tempfile.TemporaryDirectory() as folder:
    run = training.Training(config, pathlib.Path(folder) / "splits.json")
  first = next((i for i, kinds in enumerate(run.plan)
                if schedule.CONSISTENCY in kinds), 0)
  state = {"step": first, "updates": 0}
  kinds = set(run.plan[first:first + count])
  factors = np.geomspace(low, high, len(run.plan[first:first + count]))
  curve, factor = Curve(kinds), hold_rates(run.trainer)
  found = {"rates": rates, "factor": [], "loss": [], "smoothed": [],
           "stopped": None}
  steps = run.steps(state)
  bar = keras.utils.Progbar(len(factors), verbose=int(progress),
                            unit_name="step")
  for value in factors.tolist():
    factor.assign(value)
    try:
      kind, logs = next(steps)
    except FloatingPointError:
      found["stopped"] = "the loss is not finite"
      break
    found["factor"].append(value)
    found["loss"].append(logs["loss"])
    found["smoothed"].append(curve.add(kind, logs["loss"]))
    bar.add(1)
    if curve.exploded:
      found["stopped"] = "the loss exploded"
      break
  return found | suggest(found["factor"], found["smoothed"], rates)


def suggest(factor, smoothed, rates):
  """The suggestion; see the top of this file.

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
    a matplotlib figure. Its x axis is the rate where all have the same
    single one, else the factor.
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
    label = name
    if found["suggested"]:
      best = scale * found["suggested"]
      label += f": {best:.2g}"
      axes.axvline(best, color=color, linestyle=":", linewidth=1)
      axes.plot(best, np.interp(best, x, y), "o", color=color)
    axes.plot(x, y, color=color, label=label)
  # Of an explosion, in the last few steps, the beginning is enough.
  smoothed = [[s for s in found["smoothed"] if s is not None]
              for found in sweeps.values()]
  low = min(min(s) for s in smoothed if s)
  top = max(np.percentile(s, 90) for s in smoothed if s)
  margin = .3 * (top - low) + 1e-6
  axes.set_ylim(low - margin, top + margin)
  axes.set_xscale("log")
  axes.set_xlabel(f"--{list(kinds[0])[0]}" if single else
                  "factor of the learning rates")
  axes.set_ylabel("loss, smoothed")
  axes.grid(alpha=.3)
  axes.legend(title="suggested maximum", fontsize=8, title_fontsize=8)
  return figure


def read(path):
  """A sweep from its file.

  Raises:
    UserError: no such file, or no sweep.
  """
  try:
    found = json.loads(pathlib.Path(path).read_text())
  except (OSError, ValueError) as error:
    raise UserError(f"--compare={path}: {error}") from error
  if not isinstance(found, dict) or not {"rates", "factor", "smoothed",
                                         "suggested"} <= set(found):
    raise UserError(f"--compare={path}: not what tools/lr_finder.py writes")
  return found


def main(argv):
  """Sweeps and suggests, or compares sweeps."""
  del argv
  values = flags.FLAGS
  out = pathlib.Path(values.out)
  picture = out.with_suffix(".png")
  if values.compare:
    stems = [pathlib.Path(p).stem for p in values.compare]
    # Sweeps of one name in two folders are told apart by their paths.
    sweeps = {stem if stems.count(stem) == 1 else path: read(path)
              for stem, path in zip(stems, values.compare)}
    files.write_bytes(picture, plots.to_png(plot(sweeps), dpi=110))
    print(picture)
    return
  files.check_file("out", out)
  if out == picture:
    raise UserError(f"--out={out}: its plot goes there; must end otherwise")
  if not values.low < values.high:
    raise UserError(f"--low={values.low}: must be less than --high="
                    f"{values.high}")
  config = config_lib.from_flags()
  found = sweep(config, values.low, values.high, values.sweep_steps,
                sys.stderr.isatty())
  if not any(s is not None for s in found["smoothed"]):
    raise UserError(f"--low={values.low}: the loss is not finite from the "
                    "first steps on; try a lower one")
  about = runs.environment()
  about["command"] = about["command"].replace("-m atcon_tf.train",
                                              "tools/lr_finder.py")
  files.write_text(out, json.dumps(
      {**found, "config": json.loads(config.public().to_json()), **about},
      indent=1))
  files.write_bytes(picture, plots.to_png(plot({out.stem: found}), dpi=110))
  print(f"{out}\n{picture}")
  if found["stopped"]:
    print(f"stopped after {len(found['loss'])} of {values.sweep_steps} "
          f"steps: {found['stopped']}")
  if not found["suggested"]:
    print("no suggestion: the loss never fell; try a lower --low")
    return
  print("suggested at most: " + " ".join(
      f"--{name}={rate:g}" for name, rate
      in found["suggested_rates"].items()))


def define_flags():
  """The flags of this tool."""
  config_lib.define_flags()
  flags.DEFINE_float("low", 1e-3, "first factor of the rates", 1e-12)
  flags.DEFINE_float("high", 1e3, "last factor of the rates", 1e-12)
  flags.DEFINE_integer("sweep_steps", 100, "steps from the first factor to "
                       "the last", 10)
  flags.DEFINE_string("out", "W/lr_finder.json", "the sweep; its plot goes "
                      "beside it")
  flags.DEFINE_list("compare", [], "draw these sweeps instead of making one")


if __name__ == "__main__":
  cli.run(main, define_flags)
