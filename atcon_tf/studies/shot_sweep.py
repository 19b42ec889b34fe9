"""Up to how many labelled images an objective is worth its time."""

import textwrap

from matplotlib.figure import Figure
import numpy as np

from atcon_tf.config.names import SWEEP_DRAWS
from atcon_tf.config.names import SWEEP_METRICS
from atcon_tf.reports.figures import canvas

LEVEL = 0.9
# Seeds that agree to so many points show no spread: there is no interval.
SAME = 1e-3


def baseline_of(config):
  """The objective that the sweep compares with: the simplest of its data.

  It is the run's own start without a training step, `probe` or
  `ranked_probe`; `supervised` if the network starts from random weights or
  has a trained head.
  """
  if config.objective == "ranked_probe":
    return "probe"
  return "supervised" if config.start == "prior" else config.start


def arms(config, baseline):
  """The runs with and without the objective, `{name: list of flags}`.

  Args:
    config: a resolved `Config`.
    baseline: name of the objective to compare with, see `baseline_of`.
  """
  def text(one):
    return [line for line in one.to_flags().splitlines()
            if not line.startswith(tuple(f"--{name}="
                                         for name in SWEEP_DRAWS))]

  return {baseline: text(config.with_objective(baseline)),
          config.objective: text(config)}


def gains(rows, objective, baseline, metric):
  """Paired gains in points, `{shots: [one for each seed]}`.

  Args:
    rows: of a study.
    objective, baseline: the arm, and the one that it is compared with.
    metric: name of a validation score.
  """
  scores = {(r["arm"], r["shots"], r["seed"]): r["val"][metric]
            for r in rows}
  found = {}
  for (arm, shots, seed), score in sorted(scores.items()):
    if arm == objective and (baseline, shots, seed) in scores:
      found.setdefault(shots, []).append(
          100 * (score - scores[baseline, shots, seed]))
  return found


def times_as_long(rows, objective, baseline):
  """The median seconds of runs with the objective, over those without."""
  seconds = {arm: [r["seconds"] for r in rows if r["arm"] == arm]
             for arm in (objective, baseline)}
  return float(np.median(seconds[objective]) / np.median(
      seconds[baseline]))


def lines(gain):
  """A line through the gains of each seed, `[seeds, 2]`: slope and height.

  Args:
    gain: `{shots: [points, one for each seed]}`.
  """
  shots = np.log2(list(gain))
  design = np.stack([shots, np.ones(len(shots))], 1)
  return np.linalg.lstsq(design, np.array(list(gain.values())),
                         rcond=None)[0].T


def fit(gain):
  """The line through the gains against log2 of the shots.

  Returns:
    `[slope, height]`: the gain is expected to be `height + slope log2(k)`.
  """
  return lines(gain).mean(0)


def plausible_fits(gain, samples=2000, seed=0):
  """Lines that agree with the gains, `[samples, 2]`: slope and height.

  They are drawn from the t distribution (seeds - 1 degrees of freedom) of the
  mean of the seeds' lines. The seed is the unit, as the gains of a seed depend
  on each other: its labelled images at 2 shots are among those at 4. A
  bootstrap over two or three seeds would be much too narrow.
  """
  each = lines(gain)
  freedom = len(each) - 1
  rng = np.random.default_rng(seed)
  normal = rng.multivariate_normal([0, 0], np.cov(each.T) / len(each), samples)
  return each.mean(0) + normal / np.sqrt(rng.chisquare(
      freedom, [samples, 1]) / freedom)


def last_worthwhile(fits, worth, most):
  """The images per class from which on the gain is below `worth`.

  Args:
    fits: `[n, 2]` of slope and height.
    worth: points.
    most: the largest number that is answered; beyond it the answer is `inf`.
  Returns:
    `[n]`; 0 where the gain is below `worth` from one image up to `most`; `inf`
    where it does not fall below `worth`, or rises above it.
  """
  slope, height = np.asarray(fits, float).T
  with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
    crossing = 2 ** ((worth - height) / slope)
  rises = (slope > 0) & (crossing <= most)
  crossing = np.where((slope < 0) & (crossing <= most), crossing, np.inf)
  return np.where((height < worth) & ~rises, 0, crossing)


def advise(gain, objective, baseline, metric, worth, times):
  """The outcome of a sweep, a dict with one sentence under "advice".

  Args:
    gain: from `gains`.
    objective, baseline, metric: names.
    worth: points of gain that are worth the time.
    times: how many times as long a run with the objective takes.
  """
  best, fits, shots = fit(gain), plausible_fits(gain), max(gain)
  # Beyond a hundred times as many images, a line over few points means nothing.
  most = 100 * shots
  until = float(last_worthwhile([best], worth, most)[0])
  low, high = _middle(last_worthwhile(fits, worth, most), method="nearest")
  here = float(best @ [np.log2(shots), 1])
  bottom, top = _middle(fits @ [np.log2(shots), 1])
  unclear = bottom < 0 < top
  known = bool(top - bottom > SAME)
  points = f"{worth:g} point{'' if worth == 1 else 's'}"
  sentence = (f"At {shots} labelled images a class {objective} changes "
              f"validation {SWEEP_METRICS[metric]} over {baseline} by "
              f"{here:+.1f} points "
              + (f"[{bottom:+.1f}, {top:+.1f}]" if known else
                 "(every seed the same, so that there is no interval)")
              + (", which so few runs cannot tell from nothing,"
                 if unclear else "")
              + f" and takes {times:.1f} times as long; ")
  if until == 0:
    sentence += (f"no gain of {points} is to be expected: use "
                 f"--objective={baseline}.")
  elif np.isinf(until) and here < worth:
    sentence += (f"it may gain {points} with more images: sweep again with "
                 "more.")
  elif np.isinf(until):
    sentence += (f"its gain is not seen to fall below {points}: use it, and "
                 "sweep again with more images.")
  else:
    ends = f" (90 % interval {_number(low)} to {_number(high)})" * known
    sentence += (f"its gain is expected to fall below {points} at about "
                 f"{until:.0f} images a class{ends}: "
                 + ("sweep again with more --repeats." if unclear else
                    "use it with fewer."))
  return {"objective": objective, "baseline": baseline, "metric": metric,
          "worth": worth,
          "slope": float(best[0]), "height": float(best[1]),
          "until": None if np.isinf(until) else until,
          "interval": [None if np.isinf(v) else float(v)
                       for v in (low, high)] if known else None,
          "gain": {"images": shots, "points": here,
                   "interval": [float(bottom), float(top)] if known else None},
          "times_as_long": times,
          "gains": {str(k): v for k, v in gain.items()}, "advice": sentence}


def _middle(values, method="linear"):
  return np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2],
                     method=method)


def _number(value):
  return "beyond reach" if np.isinf(value) else f"{value:.0f}"


def plot(gain, advice):
  """The gains, the line through them with its interval, and the advice."""
  figure = Figure(figsize=(6.6, 4.4), layout="constrained")
  axes = figure.subplots()
  shots, worth = sorted(gain), advice["worth"]
  x = np.geomspace(shots[0], 8 * shots[-1], 60)
  heights = plausible_fits(gain) @ np.stack([np.log2(x), np.ones(len(x))])
  low, high = np.quantile(heights, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
  if advice["gain"]["interval"]:
    axes.fill_between(x, low, high, alpha=.2, linewidth=0,
                      label="90 % interval of the line")
  axes.plot(x, advice["height"] + advice["slope"] * np.log2(x),
            linewidth=2, label="line through the gains")
  for number, (k, values) in enumerate(sorted(gain.items())):
    axes.plot([k] * len(values), values, "ko", markersize=5,
              label="one seed" if number == 0 else None)
  axes.axhline(0, color="black", linewidth=.8)
  axes.axhline(worth, linestyle="--", linewidth=1.2, color=canvas.BAD,
               label=f"worth it from {worth:g} on")
  if advice["until"] and shots[0] <= advice["until"] <= x[-1]:
    axes.axvline(advice["until"], color=canvas.BAD, linewidth=1.2,
                 label=f"up to about {advice['until']:.0f} images")
  axes.axvspan(shots[-1], x[-1], alpha=.06, color="k", linewidth=0)
  axes.text(shots[-1] * 1.1, .02, "extrapolated", fontsize=8, va="bottom",
            transform=axes.get_xaxis_transform(), color="#555555")
  # The axis follows the gains: the band of few runs is far wider.
  seen = [worth, 0, *np.concatenate(list(gain.values()))]
  margin = .5 * (max(seen) - min(seen))
  axes.set_ylim(min(seen) - margin, max(seen) + margin)
  axes.set_xlim(x[0] * .9, x[-1])
  axes.set_xscale("log", base=2)
  ticks = 2 ** np.arange(int(np.log2(x[-1])) + 1)
  axes.set_xticks(ticks, map(str, ticks))
  axes.minorticks_off()
  axes.set_xlabel("labelled images a class")
  axes.set_ylabel(f"gain of {advice['objective']} over {advice['baseline']}, "
                  f"points of {SWEEP_METRICS[advice['metric']]}")
  axes.legend(fontsize=8)
  axes.set_title(textwrap.fill(advice["advice"], 95), fontsize=8.5)
  return figure
