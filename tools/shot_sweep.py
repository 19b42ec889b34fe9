"""When does it help on my data? A sweep over small training sets.

    python tools/shot_sweep.py --dataset=folder --data_dir=photos \
      --objective=self_training --shot_list=1,2,4,8 --repeats=3 --out=W/sweep

Trains with and without the objective on few images of each class, several
seeds each, and extrapolates the gain: a straight line over the logarithm of
the number of images, with a bootstrap over the seeds behind its interval. Ends
with a plot, a JSON file and one sentence. Resumable; the scores are those of
the validation images, so that the test images stay unseen while one chooses.

Flags of `atcon_tf.train` go through (but --shots and --seed).
"""

import json
import pathlib
import sys

import numpy as np
from absl import flags

# The tools also run from a clone that is not installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
from matplotlib.figure import Figure

from atcon_tf import cli
from atcon_tf import config as config_lib
from atcon_tf import files
from atcon_tf import plots
from atcon_tf.config import UserError
from tools import study

SUPERVISED = "supervised"
# Settings that the sweep itself gives to each run.
_OURS = ("shots", "seed", "split_seed")


def arms(config):
  """`{name: flags}` of the runs with and without the objective."""
  def lines(settings):
    return [line for line in settings.to_flags().splitlines()
            if not line.startswith(tuple(f"--{name}=" for name in _OURS))]

  return {SUPERVISED: lines(config.with_objective(SUPERVISED)),
          config.objective: lines(config)}


def gains(rows, objective, metric):
  """Paired gains in points, `{shots: [one for each seed]}`."""
  scores = {(r["arm"], r["shots"], r["seed"]): r["val"][metric]
            for r in rows}
  found = {}
  for (arm, shots, seed), score in sorted(scores.items()):
    if arm == objective and (SUPERVISED, shots, seed) in scores:
      found.setdefault(shots, []).append(
          100 * (score - scores[SUPERVISED, shots, seed]))
  return found


def fit(gain):
  """Slope and height of the gain against log2 of the shots.

  Args:
    gain: `{shots: [points]}`.
  Returns:
    `(slope, height)`: the gain is expected to be `height + slope log2(k)`.
  """
  shots = np.concatenate([[k] * len(v) for k, v in gain.items()])
  return tuple(np.polyfit(np.log2(shots), np.concatenate(
      list(gain.values())), 1))


def resampled_fits(gain, samples=2000, seed=0):
  """Fits of seeds drawn anew within each number of shots, `[samples, 2]`."""
  rng = np.random.default_rng(seed)
  return np.array([fit({k: rng.choice(v, len(v)) for k, v in gain.items()})
                   for _ in range(samples)])


def last_worthwhile(fits, worth, most):
  """Images per class at which the gain falls below `worth`.

  Args:
    fits: `[n, 2]` of slope and height.
    worth: points.
    most: no number beyond this is given: `inf` instead.
  Returns:
    `[n]`; 0 where the gain is below `worth` from one image on; `inf` where
    it does not fall.
  """
  slope, height = np.asarray(fits, float).T
  with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
    crossing = 2 ** ((worth - height) / slope)
  crossing = np.where(slope < 0, crossing, np.inf)
  crossing = np.where(height < worth, np.where(slope > 0, np.inf, 0),
                      crossing)
  return np.where(crossing > most, np.inf, crossing)


def advise(gain, objective, metric, worth):
  """The outcome of a sweep as a dict, with one sentence under "advice"."""
  best = fit(gain)
  fits = resampled_fits(gain)
  # A line over four points says nothing of a hundred times as many images.
  most = 100 * max(gain)
  point = float(last_worthwhile([best], worth, most)[0])
  low, high = np.percentile(last_worthwhile(fits, worth, most), [5, 95],
                            method="nearest")
  share = float(np.mean(fits[:, 1] + fits[:, 0] * np.log2(max(gain)) > worth))
  shots = max(gain)
  here = best[1] + best[0] * np.log2(shots)
  sentence = (f"{objective} changes validation {metric} by {here:+.1f} points "
              f"at {shots} images per class (more than {worth:g} in "
              f"{share:.0%} of the resamples); ")
  if point == 0:
    sentence += f"no gain of {worth:g} points is seen: leave it out."
  elif np.isinf(point):
    sentence += (f"its gain does not fall below {worth:g} points within "
                 "reach of this sweep: use it, and sweep again with more "
                 "images.")
  else:
    sentence += (f"its gain is expected to fall below {worth:g} points at "
                 f"about {point:.0f} images per class (90 % interval "
                 f"{_number(low)} to {_number(high)}).")
  return {"objective": objective, "metric": metric, "worth": worth,
          "slope": float(best[0]), "height": float(best[1]),
          "until": None if np.isinf(point) else point,
          "interval": [None if np.isinf(v) else float(v)
                       for v in (low, high)],
          "gains": {str(k): v for k, v in gain.items()}, "advice": sentence}


def _number(value):
  return "beyond reach" if np.isinf(value) else f"{value:.0f}"


def plot(gain, objective, metric, worth):
  """The gains, the line through them and its interval."""
  figure = Figure(figsize=(5, 3.4), layout="constrained")
  axes = figure.subplots()
  x = np.geomspace(min(gain), 8 * max(gain), 60)
  fits = resampled_fits(gain, 500)
  lines = fits[:, 1:] + fits[:, :1] * np.log2(x)
  low, high = np.percentile(lines, [5, 95], axis=0)
  axes.fill_between(x, low, high, alpha=.2, label="90 % interval")
  slope, height = fit(gain)
  axes.plot(x, height + slope * np.log2(x), label="fit")
  for shots, values in gain.items():
    axes.plot([shots] * len(values), values, "k.", markersize=5)
  axes.axhline(worth, linestyle="--", linewidth=1, color="gray",
               label=f"worth it: {worth:g} points")
  axes.axvspan(max(gain), x[-1], alpha=.06, color="k")
  axes.set_xscale("log", base=2)
  axes.set_xlabel("labelled images per class (shaded: extrapolated)",
                  fontsize=8)
  axes.set_ylabel(f"gain of {objective}, points of {metric}", fontsize=8)
  axes.tick_params(labelsize=8)
  axes.legend(fontsize=7)
  return figure


def main(argv):
  """Runs the sweep and gives its advice."""
  del argv
  values = flags.FLAGS
  config = config_lib.from_flags()
  if config.objective == SUPERVISED:
    raise UserError("--objective=supervised: name the one to compare with it")
  if not all(s.isdecimal() and int(s) for s in values.shot_list) or len(
      set(values.shot_list)) < 2:
    raise UserError(f"--shot_list={','.join(values.shot_list)}: must be at "
                    "least two numbers of images")
  out = pathlib.Path(values.out)
  shots = sorted(map(int, set(values.shot_list)))
  grid = {"flags": [], "arms": arms(config), "baseline": SUPERVISED,
          "shots": shots, "seeds": list(range(values.repeats)),
          "endpoint_shots": shots}
  sweep = study.Study(grid, out / "rows.json", out / "runs", [])
  failed = sweep.run(values.workers, keep=False)
  if failed:
    raise UserError(f"{len(failed)} runs failed, see "
                    f"{out / 'runs' / study.name_of(failed[0])}.log; the same "
                    "command tries them again")
  gain = gains(sweep.rows, config.objective, values.metric)
  advice = advise(gain, config.objective, values.metric, values.worth)
  files.write_text(out / "sweep.json", json.dumps(advice, indent=1))
  files.write_bytes(out / "sweep.png", plots.to_png(
      plot(gain, config.objective, values.metric, values.worth), dpi=120))
  print(advice["advice"])
  print(f"{out / 'sweep.png'}, {out / 'sweep.json'}")


def define_flags():
  """The flags of this tool: those of training, and its own."""
  config_lib.define_flags()
  flags.DEFINE_list("shot_list", ["1", "2", "4", "8"],
                    "numbers of labelled images per class")
  flags.DEFINE_integer("repeats", 3, "seeds", 2)
  flags.DEFINE_string("out", "W/sweep", "folder of the sweep")
  flags.DEFINE_integer("workers", 1, "runs at the same time", 1)
  flags.DEFINE_enum("metric", "map_macro", ["map_macro", "f1_macro"],
                    "what should get better")
  flags.DEFINE_float("worth", 1.0, "points of gain that are worth the time")


if __name__ == "__main__":
  cli.run(main, define_flags)
