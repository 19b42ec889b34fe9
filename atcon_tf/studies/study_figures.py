"""The curves of a study: scores and gains against the number of shots."""

import collections

from matplotlib.figure import Figure
import numpy as np
from scipy import stats

from atcon_tf.reports.figures import canvas

METRICS = {"f1_macro": "F1, macro", "map_macro": "mAP, macro",
           "box_iou": "box IoU", "pointing_game": "pointing game"}
# Metric -> the score of the same metric that needs no look at the image.
TRIVIAL = {"box_iou": "centre_box_iou",
           "pointing_game": "centre_point_pointing_game",
           "mask_iou": "centre_mask_iou"}
# The arms are drawn side by side, so that no bar hides another. They take this
# share of the distance between a number of shots and its double.
BESIDE = 0.7
LEGEND_COLUMNS = 6


def by_shots(grid, rows):
  """Means above, gains over the baseline below, a column for each metric.

  An arm is drawn at every number of shots that it has. The legend says of how
  many seeds; a point of one seed is open, and of more a gain has a 90 % t
  interval. The gains are paired by seed. The dashed line above is the score of
  a centred box, or point. Without a gain there is no lower half.

  Args:
    grid, rows: of the study.
  Returns:
    the figure; None if no row has a score to draw.
  """
  metrics = {metric: label for metric, label in METRICS.items()
             if any(metric in row["test"] for row in rows)}
  if not metrics:
    return None
  arms = [a for a in grid["arms"] if any(r["arm"] == a for r in rows)]
  gains = {metric: _points(grid, rows, metric, grid["baseline"])
           for metric in metrics}
  height = 2 if any(gains.values()) else 1
  figure = Figure(figsize=(3.1 * max(2, len(metrics)), .6 + 2.7 * height),
                  layout="constrained")
  axes = figure.subplots(height, len(metrics), sharex=True, squeeze=False)
  # A logarithmic scale; 0 shots, which means all images, come last.
  place = {k: np.log2(k or 2 * max(grid["shots"])) for k in grid["shots"]
           if any(r["shots"] == k for r in rows)}
  colors = {arm: f"C{i % 10}" for i, arm in enumerate(
      a for a in grid["arms"] if a != grid["baseline"])}
  beside = [a for a in arms if a != grid["baseline"]]
  part = grid.get("judged_on", "test")
  legend = {}
  for column, (metric, label) in zip(axes.T, metrics.items()):
    for arm in arms:
      color = colors.get(arm, "black")
      means = _points(grid, rows, metric).get(arm, {})
      line, = column[0].plot(
          [place[k] for k in means], [v.mean() for v in means.values()],
          color=color, linewidth=1.3, marker="o", markersize=3.5,
          label=canvas.entry(f"{arm} ({_seeds(rows, arm)})"))
      legend.setdefault(arm, line)
      _open(column[0], [(place[k], v) for k, v in means.items()], color)
      if arm in gains[metric]:
        shift = BESIDE * ((beside.index(arm) + .5) / len(beside) - .5)
        _gains(column[1], [(place[k] + shift, v) for k, v in
                           gains[metric][arm].items()], color)
    trivial = [row["test"][TRIVIAL[metric]] for row in rows
               if TRIVIAL.get(metric) in row["test"]]
    if trivial:
      legend["centre"] = column[0].axhline(
          100 * np.mean(trivial), linestyle="--", linewidth=1,
          color="#8a8a8a", label="centre, without looking")
    column[0].set_title(f"{label}, {part}", fontsize=10)
    for one in column:
      one.grid(alpha=.3)
      one.tick_params(labelsize=7)
    last = column[0]
    if gains[metric]:
      last = column[1]
      last.axhline(0, color="black", linewidth=1.3)
    elif height == 2:
      column[1].set_visible(False)
      last.tick_params(labelbottom=True)
    last.set_xticks(list(place.values()), [str(k or "all") for k in place])
    last.set_xlabel("labelled images per class", fontsize=8)
  axes[0, 0].set_ylabel("mean over seeds, points (open: one seed)",
                        fontsize=8)
  if height == 2:
    axes[1, 0].set_ylabel(f"gain over {grid['baseline']}, points", fontsize=8)
  figure.legend(handles=list(legend.values()), fontsize=8,
                loc="outside lower center",
                ncols=min(LEGEND_COLUMNS, max(1, int(1.5 * len(metrics)))))
  return figure


def _points(grid, rows, metric, baseline=""):
  """`{arm: {shots: scores by seed}}` in points; over a baseline, its gains."""
  table = {(r["arm"], r["shots"], r["seed"]): 100 * r["test"][metric]
           for r in rows if metric in r["test"]}
  found = {}
  for arm in grid["arms"]:
    for shots in grid["shots"]:
      values = [
          table[arm, shots, seed] - table.get((baseline, shots, seed), 0)
          for seed in grid["seeds"] if (arm, shots, seed) in table
          and (not baseline or (baseline, shots, seed) in table)]
      if values and arm != baseline:
        found.setdefault(arm, {})[shots] = np.array(values)
  return found


def _seeds(rows, arm):
  """The number of seeds of an arm as text, `1 to 3 seeds` if shots differ."""
  counts = collections.Counter(r["shots"] for r in rows if r["arm"] == arm)
  low, high = min(counts.values()), max(counts.values())
  return (f"{low} to {high} seeds" if low < high else
          f"{high} seed{'s' * (high > 1)}")


def _gains(axes, points, color):
  """Gains with intervals where there are two seeds or more."""
  more = [(x, v) for x, v in points if len(v) > 1]
  if more:
    axes.errorbar([x for x, _ in more], [v.mean() for _, v in more],
                  [_half_width(v) for _, v in more], marker="o",
                  markersize=3.5, linewidth=1.5, linestyle="", color=color)
  _open(axes, points, color)


def _open(axes, points, color):
  """Open markers for the points of one seed."""
  one = [(x, v[0]) for x, v in points if len(v) == 1]
  if one:
    axes.plot(*zip(*one), marker="o", markersize=4.5, linestyle="",
              color=color, markerfacecolor="white", zorder=3)


def _half_width(values):
  return float(stats.t.ppf(.95, len(values) - 1) * values.std(ddof=1)
               / len(values) ** .5)
