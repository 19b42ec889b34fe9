"""Scores as curves, matrices and intervals."""

import textwrap

from matplotlib.figure import Figure
import numpy as np

from atcon_tf.reports.figures import canvas

# The most classes that `matrix` names and numbers.
MATRIX_NAMES = 40


# What the scores of a history are called in figures.
CURVES = {"val_map_macro": "mAP, validation",
          "val_f1_macro": "macro F1, validation",
          "val_consistency": "consistency, validation",
          "supervised": "supervised loss",
          "val_loss": "loss, validation",
          "val_cross_entropy": "cross-entropy of masked images, validation",
          "val_area": "area of the head's maps, validation"}
# Weights that are judged after the last update, beside the curve: the key of
# their row, what the figures say, the marker and its colour.
AFTERWARDS = (("refit", "probe refitted after training", "D", "#e08214"),
              ("averaged", "mean of the last weights", "s", "#7b3294"))
# Scores that are at most 1, whose panel ends there and shows this much.
SHARES, LEAST = ("val_map_macro", "val_f1_macro"), .1


def curves(history, names, begins=0):
  """Scores against updates, a panel for each score, the kept weights marked.

  Args:
    history: list of dicts with "step" and scores.
    names: which scores.
    begins: updates before the objective's own loss begins; 0: from the first.
  """
  figure = Figure(figsize=(3.4 * len(names), 3), layout="constrained")
  axes = figure.subplots(1, len(names), squeeze=False)
  for one, name in zip(axes[0], names):
    trace(one, history, name)
    if begins:
      one.axvline(begins, color=canvas.UNCLEAR, linestyle=":", linewidth=1.2,
                  label="the objective's loss begins")
    mark_kept(one, history, name)
    one.set_title(CURVES.get(name, name), fontsize=9)
    one.set_xlabel("updates", fontsize=8)
    one.tick_params(labelsize=7)
    one.grid(alpha=.3)
  handles, labels = axes[0, 0].get_legend_handles_labels()
  if handles:
    figure.legend(handles, labels, loc="outside lower center",
                  ncols=len(handles), fontsize=8, frameon=False)
  return figure


def trace(axes, history, name, style="-", of=""):
  """Draws the curve of one score, and what was judged after training.

  Args:
    axes: of matplotlib.
    history: list of dicts with "step" and scores.
    name: of the score.
    style: of the line.
    of: name of the run, where a panel has several.
  Returns:
    the line.
  """
  points = [(row["step"], row[name]) for row in trained(history, name)]
  later = {}
  for row in history:
    if name in row and _kind(row):
      later.setdefault(_kind(row), []).append((row["step"], row[name]))
  label = canvas.entry(of) if of else "trained weights" if later else None
  line, = axes.plot(*(zip(*points) if points else ([], [])), style,
                    marker=".", label=label)
  for kind, words, marker, color in AFTERWARDS:
    if kind in later:
      axes.plot(*zip(*later[kind]), marker, markersize=5, alpha=.7,
                color=line.get_color() if of else color,
                label=f"{words}, {of}" if of else words)
  axes.margins(y=.12)  # so that a ring around the highest point is whole
  if name in SHARES:
    low, high = axes.get_ylim()
    high = min(max(high, low + LEAST), 1 + .1 * max(1 - low, LEAST))
    axes.set_ylim(min(low, high - LEAST), high)
  return line


def trained(history, name):
  """The rows with a score that are of the training itself, a list.

  Without those of the weights that were judged after it, see `AFTERWARDS`.
  """
  return [row for row in history if name in row and not _kind(row)]


def _kind(row):
  """Which of `AFTERWARDS` a row of a history is of; None: of none."""
  return next((one[0] for one in AFTERWARDS if row.get(one[0])), None)


def mark_kept(axes, history, name, color=canvas.BAD, label="kept weights"):
  """Marks a score of the kept weights by a ring on its curve."""
  for row in history:
    if row.get("kept") and name in row:
      axes.plot(row["step"], row[name], "o", markersize=9, fillstyle="none",
                markeredgewidth=2, color=color, label=label)


def roc(curves, points=None):
  """ROC curves in one panel.

  Args:
    curves: `{name: {"false_alarm_rate": [K], "sensitivity": [K]}}`.
    points: `{name: operating point}`, see `operating_point.measure`; each is
      a ring on its curve, with the exact interval of its sensitivity.
  """
  lines = len(curves) + (2 + 2 * len(points) if points else 0)
  figure = Figure(figsize=(4.4, 4.6 + .18 * lines), layout="constrained")
  axes = figure.subplots()
  # The wide dashed line of the first shows where the next lies upon it.
  for number, (name, curve) in enumerate(curves.items()):
    style = {} if number else {"linestyle": (0, (4, 2)), "linewidth": 3.5,
                               "alpha": .55}
    line, = axes.plot(curve["false_alarm_rate"], curve["sensitivity"],
                      **style, marker=".", label=canvas.entry(name))
    point = (points or {}).get(name, {})
    if {"sensitivity", "specificity"} <= set(point):
      x, y = 1 - point["specificity"], point["sensitivity"]
      low, high = point["interval"].get("sensitivity", (y, y))
      axes.errorbar(
          x, y, [[max(0, y - low)], [max(0, high - y)]], fmt="o", markersize=9,
          fillstyle="none", markeredgewidth=2, capsize=3, linewidth=1,
          color=line.get_color(),
          label=canvas.entry(f"{name}, at threshold {point['threshold']:.3f}:"
                             f"\nsensitivity {y:.2f}, false alarms {x:.2f}"))
  axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
  axes.set_xlabel("false alarm rate", fontsize=9)
  axes.set_ylabel("sensitivity", fontsize=9)
  words = ("Ring: the operating point. Bar: the 90 % interval\nof its "
           "sensitivity. Dotted: chance.") if points else None
  figure.legend(fontsize=8, loc="outside lower center", frameon=False,
                title=words, title_fontsize=8)
  axes.set(xlim=(-.04, 1.02), ylim=(-.02, 1.04))  # a ring in a corner is whole
  axes.set_aspect("equal", anchor="N")
  axes.grid(alpha=.3)
  return figure


def confusion(counts, class_names):
  """A confusion matrix: numbers of images, coloured by the share of a row.

  Args:
    counts: `[classes, classes]`, see `classification.confusion`.
    class_names: of the classes.
  """
  counts = np.asarray(counts)
  with np.errstate(invalid="ignore"):
    share = counts / counts.sum(1, keepdims=True)
  return matrix(share, class_names, "test images", "predicted class",
                "true class", counts)


def matrix(values, class_names, title, xlabel, ylabel, numbers=None):
  """A square table of shares in [0, 1], classes by classes.

  Args:
    values: `[classes, classes]`; NaN where nothing is known. Of more than
      MATRIX_NAMES classes neither names nor numbers are written.
    class_names: of the classes.
    title, xlabel, ylabel: what it says.
    numbers: written in the cells, of the shape of `values`; None: the values
      in percent.
  """
  count = len(class_names)
  side = 2.2 + 0.34 * min(count, MATRIX_NAMES)
  figure = Figure(figsize=(side, side), layout="constrained")
  axes = figure.subplots()
  axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
  axes.set_title(title, fontsize=10)
  axes.set_xlabel(xlabel, fontsize=9)
  axes.set_ylabel(ylabel, fontsize=9)
  if count > MATRIX_NAMES:
    return figure
  axes.set_xticks(range(count), class_names, rotation=90, fontsize=8)
  axes.set_yticks(range(count), class_names, fontsize=8)
  for y, x in zip(*np.nonzero(np.isfinite(values))):
    text = (f"{100 * values[y, x]:.0f}" if numbers is None
            else f"{numbers[y, x]}")
    # Inside its cell it has no part in the layout, which would measure it.
    axes.text(x, y, text, ha="center", va="center", fontsize=7,
              color="white" if values[y, x] > 0.6 else "black",
              in_layout=False)
  return figure


def forest(panels, title):
  """Differences with their intervals, a row each; grey where one holds 0.

  Args:
    panels: `{label: {row: {"difference", "interval": [low, high] or None}}}`;
      the first panel gives the order of the rows, from the top.
    title: of the figure.
  """
  order = list(dict.fromkeys(r for rows in panels.values() for r in rows))
  width = 2.4 * len(panels) + 1.8
  lines = textwrap.wrap(title, int(12 * width))  # letters of an inch
  figure = Figure(figsize=(
      width, .2 * (len(order) + len(lines)) + 1.1), layout="constrained")
  axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
  for one, (label, rows) in zip(axes, panels.items()):
    for name, row in rows.items():
      y, color = -order.index(name), canvas.UNCLEAR
      if row["interval"]:
        low, high = row["interval"]
        if low > 0 or high < 0:
          color = canvas.GOOD if low > 0 else canvas.BAD
        one.plot([low, high], [y, y], color=color, linewidth=2)
      one.plot(row["difference"], y, "o", color=color, markersize=4.5)
    one.axvline(0, color="black", linewidth=.8)
    low, high = one.get_xlim()  # less than a point is not shown as much
    one.set_xlim(min(low, -.01), max(high, .01))
    one.locator_params(axis="x", nbins=4)
    one.set_title(label, fontsize=10)
    one.tick_params(labelsize=8)
    one.grid(alpha=.25, axis="x")
  axes[0].set_yticks([-y for y in range(len(order))], order, fontsize=8)
  figure.suptitle("\n".join(lines), fontsize=10)
  return figure
