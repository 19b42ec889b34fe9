"""The curves of a study: scores and gains against the number of shots."""

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
# Points of fewer seeds are not drawn.
ENOUGH = 3
# The arms are drawn side by side, so that no bar hides another. They take this
# share of the distance between a number of shots and its double.
BESIDE = 0.7
LEGEND_COLUMNS = 6


def by_shots(grid, rows):
  """Means above, gains over the baseline below, a column for each metric.

  The dashed line above is the score of a centred box, or point. The gains are
  paired by seed; their bars are 90 % t intervals.

  Args:
    grid, rows: of the study.
  """
  table = {(r["arm"], r["shots"], r["seed"]): r["test"] for r in rows}
  metrics = {metric: label for metric, label in METRICS.items()
             if any(metric in test for test in table.values())}
  figure = Figure(figsize=(3.1 * len(metrics), 6), layout="constrained")
  axes = figure.subplots(2, len(metrics), sharex=True, squeeze=False)
  # A logarithmic scale; 0 shots, which means all images, come last.
  place = {k: np.log2(k or 2 * max(grid["shots"])) for k in grid["shots"]}
  baseline = grid["baseline"]
  others = [arm for arm in grid["arms"] if arm != baseline]
  for (upper, lower), (metric, label) in zip(axes.T, metrics.items()):
    def points(name, arm, shots, metric=metric):
      """Scores, or gains, of an arm at a number of shots by seed."""
      found = []
      for seed in grid["seeds"]:
        ours = table.get((arm, shots, seed), {}).get(metric)
        base = table.get((baseline, shots, seed), {}).get(metric)
        if ours is not None and (name == "score" or base is not None):
          found.append(100 * (ours - (base if name == "gain" else 0)))
      return np.array(found)

    for number, arm in enumerate(grid["arms"]):
      color = "black" if arm == baseline else f"C{others.index(arm) % 10}"
      scores = [(place[k], points("score", arm, k)) for k in grid["shots"]]
      scores = [(k, v.mean()) for k, v in scores if len(v) >= ENOUGH]
      if scores:
        upper.plot(*zip(*scores), marker="o", markersize=3, color=color,
                   linewidth=1.3, label=canvas.entry(arm))
      if arm == baseline:
        lower.axhline(0, color=color, linewidth=1.3)
        continue
      for k in grid["shots"]:
        v = points("gain", arm, k)
        x = place[k] + BESIDE * ((number + .5) / len(grid["arms"]) - .5)
        if len(v) >= ENOUGH:
          lower.errorbar(x, v.mean(), _half_width(v), marker="o",
                         markersize=3.5, linewidth=1.5, color=color)
    trivial = [t[TRIVIAL[metric]] for t in table.values()
               if TRIVIAL.get(metric) in t]
    if trivial:
      upper.axhline(100 * np.mean(trivial), linestyle="--", linewidth=1,
                    color="#8a8a8a", label="centre, without looking")
    upper.set_title(f"{label}, test", fontsize=10)
    lower.set_xticks(list(place.values()), [str(k or "all") for k in place])
    lower.set_xlabel("labelled images per class", fontsize=8)
    for one in (upper, lower):
      one.grid(alpha=.3)
      one.tick_params(labelsize=7)
  axes[0, 0].set_ylabel("mean over seeds, points", fontsize=8)
  axes[1, 0].set_ylabel(f"gain over {baseline}, points", fontsize=8)
  # The legend of the last panel includes the dashed line, if there is one.
  figure.legend(*axes[0, -1].get_legend_handles_labels(), fontsize=8,
                loc="outside lower center", ncols=LEGEND_COLUMNS)
  return figure


def _half_width(values):
  return float(stats.t.ppf(.95, len(values) - 1) * values.std(ddof=1)
               / len(values) ** .5)
