"""Figures of two runs side by side: consistency and classes.

The tables are those of predictions.npz; see `evaluation.comparison`. The
consistency in them is the agreement of maps under the guided mask scaled by
its standard deviation.
"""

import textwrap

from matplotlib.figure import Figure
import numpy as np

from atcon_tf.evaluation import comparison
from atcon_tf.evaluation.metrics import classification
from atcon_tf.evaluation.metrics import statistics
from atcon_tf.evaluation import table_units
from atcon_tf.reports.figures.canvas import BAD
from atcon_tf.reports.figures.canvas import GOOD
from atcon_tf.reports.figures.canvas import UNCLEAR
from atcon_tf.reports.figures import score_plots
from atcon_tf.reports import tables as words


def right_and_wrong(table):
  """The images whose most probable class is rightly, or wrongly, predicted.

  Args:
    table: of predictions.npz.
  Returns:
    two bool `[N]`, right and wrong predictions; both are False where no class
    reaches the threshold.
  """
  first = table["probability"].argmax(1)
  every = np.arange(len(first))
  threshold = float(table["threshold"]) if "threshold" in table else None
  multi_label = bool(table["multi_label"]) and threshold is not None
  decision = classification.decide(table["probability"], threshold,
                                   multi_label)
  if not multi_label:
    first = decision.argmax(1)
  positive = decision[every, first]
  shown = table["label"][every, first] > 0
  return positive & shown, positive & ~shown


def gain(before, after, names, difference, samples=500):
  """Gain of consistency against consistency before, an image a point.

  The line is fitted by least squares; its band holds 90 % of bootstrap
  resamples of the images, or of their groups. The gain lies between
  `-1 - before` and `1 - before` (dashed). A falling line proves little: if the
  two values of an image were unrelated, it would fall with slope -1. Read how
  many points lie above 0, and where the line crosses 0.

  Args:
    before, after: tables of two runs on the same images.
    names: of the two runs.
    difference: "consistency" of `comparison.compare`, for the title.
    samples: resamples.
  """
  x = before["consistency"]
  y = after["consistency"] - x
  places = np.linspace(x.min(), x.max(), 40)

  def line(indices):
    slope, height = np.polyfit(x[indices], y[indices], 1)
    return {"slope": slope, **dict(enumerate(height + slope * places))}

  best = line(np.arange(len(x)))
  spread = statistics.bootstrap(line, len(x), samples,
                                units=table_units.units(after))
  figure = Figure(figsize=(6.4, 5.6), layout="constrained")
  axes = figure.subplots()
  up = y > 0
  for rows, color, word in [(up, GOOD, "gain"), (~up, BAD, "lose")]:
    axes.scatter(x[rows], y[rows], s=9, alpha=.45, linewidths=0, color=color,
                 label=f"{rows.mean():.0%} of the images {word}")
  axes.axhline(0, color="black", linewidth=.8)
  for end, label in [(1, "limits of the scale"), (-1, None)]:
    axes.plot(places, end - places, "--", color=UNCLEAR, linewidth=1,
              label=label)
  low, high = np.array([spread[k] for k in range(len(places))]).T
  axes.fill_between(places, low, high, color="black", alpha=.25, linewidth=0)
  axes.plot(places, [best[k] for k in range(len(places))], color="black",
            linewidth=1.8, label=f"fit, slope {best['slope']:.2f} "
            f"[{spread['slope'][0]:.2f}, {spread['slope'][1]:.2f}]\n"
            "(-1: the two values are unrelated)")
  # The band of few images may leave the scale.
  bottom, top = axes.get_ylim()
  axes.set_ylim(max(bottom, -1.1 - places[-1]), min(top, 1.1 - places[0]))
  axes.set_xlabel(f"consistency of an image under {names[0]}")
  axes.set_ylabel(f"gain under {names[1]}")
  ends = "[-]" if difference["interval"] is None else (
      "[{:+.3f}, {:+.3f}]".format(*difference["interval"]))
  axes.set_title(f"Mean gain of consistency {difference['difference']:+.3f} "
                 f"{ends}", fontsize=11)
  axes.grid(alpha=.25)
  axes.legend(fontsize=8, loc="lower left")
  figure.supxlabel(textwrap.fill(
      f"A point is a test image: how much its map stays the same under a mask "
      f"with {names[0]} (from left to right), and by how much more with "
      f"{names[1]} (upwards). Points above 0 gained."
      + " That the points fall from left to right proves nothing: who has "
      "little can gain more." * bool(best["slope"] < 0), 95),
      fontsize=8, color="#444444")
  return figure


def positives(tables, names):
  """Consistency of right and of wrong predictions, a panel for each run.

  Each title says how often the right prediction is the more consistent one
  when one of each is drawn (the area under the ROC curve; at 0.5 consistency
  does not separate them), with its 90 % interval.

  Args:
    tables: of predictions.npz, one for each run.
    names: of the runs.
  """
  figure = Figure(figsize=(4.6 * len(tables), 3.4), layout="constrained")
  panels = figure.subplots(1, len(tables), sharex=True, sharey=True,
                           squeeze=False)[0]
  edges = np.linspace(-1, 1, 26)
  for axes, table, name in zip(panels, tables, names):
    right, wrong = right_and_wrong(table)
    for rows, color, word in [(right, GOOD, "right"), (wrong, BAD, "wrong")]:
      values = table["consistency"][rows]
      if not len(values):
        continue
      axes.hist(values, edges, weights=np.full(len(values), 1 / len(values)),
                color=color, alpha=.45,
                label=f"{len(values)} {word} predictions")
      axes.axvline(np.median(values), color=color, linewidth=2,
                   label=f"median {np.median(values):.2f}")
    axes.set_title(f"{name}\n{_separation(table, right, wrong)}", fontsize=10)
    axes.set_xlabel("consistency of an image")
    axes.legend(fontsize=8)
  panels[0].set_ylabel("share of the images")
  figure.supxlabel(textwrap.fill(
      "Whether the maps of right predictions (green) are more consistent than "
      "those of wrong ones (red): further to the right is more consistent, "
      "and in brackets stands a 90 % interval. At 50 % of pairs consistency "
      "does not tell them apart.", int(14 * figure.get_figwidth())),
      fontsize=8, color="#444444")
  return figure


# The fewest predictions of a kind whose distribution says something.
ENOUGH = 10


def too_few(tables, names):
  """Why `positives` would say nothing; "" if it does.

  Args:
    tables, names: see `positives`.
  """
  for table, name in zip(tables, names):
    kinds = zip(("right", "wrong"), right_and_wrong(table))
    count, word = min((int(rows.sum()), word) for word, rows in kinds)
    if count < ENOUGH:
      return f"{name} has {count} {word} predictions, fewer than {ENOUGH}"
  return ""


def _separation(table, right, wrong, samples=500):
  if not right.any() or not wrong.any():
    return "all are right, or all wrong"
  rows = np.flatnonzero(right | wrong)
  label, score = right[rows], table["consistency"][rows]

  def area(indices):
    if len(set(label[indices])) < 2:
      return {}
    return {"auc": classification.auc(label[indices], score[indices])}

  unit = table_units.units(table)
  low, high = statistics.bootstrap(
      area, len(rows), samples,
      units=None if unit is None else unit[rows])["auc"]
  return (f"right above wrong in {classification.auc(label, score):.0%} "
          f"[{low:.0%}, {high:.0%}] of pairs")


def classes(differences, name):
  """The difference of each class with its interval, a panel a metric.

  Args:
    differences: from `comparison.compare`.
    name: title.
  """
  panels = {label: dict(comparison.of_classes(differences, metric))
            for metric, label in comparison.CLASS_METRICS.items()}
  return score_plots.forest(
      {label: rows for label, rows in panels.items() if rows},
      f"{name}: difference of each class, 90 % interval over "
      f"{words.drawn(differences)} (grey: holds 0, or there is none)")
