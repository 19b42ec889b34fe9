"""Scores as curves, matrices and intervals."""

from matplotlib.figure import Figure
import numpy as np

from atcon_tf.reports.figures import canvas

# The most classes that `matrix` names and numbers.
MATRIX_NAMES = 40


def curves(history, names):
  """Scores against supervised updates, a panel for each score.

  Args:
    history: list of dicts with "step" and scores.
    names: which scores.
  """
  figure = Figure(figsize=(3.2 * len(names), 2.6), layout="constrained")
  axes = figure.subplots(1, len(names), squeeze=False)
  for one, name in zip(axes[0], names):
    points = [(row["step"], row[name]) for row in history if name in row]
    one.plot(*zip(*points), marker=".")
    one.set_title(name, fontsize=9)
    one.set_xlabel("updates", fontsize=8)
    one.tick_params(labelsize=7)
    one.grid(alpha=.3)
  return figure


def roc(curves):
  """ROC curves in one panel.

  Args:
    curves: `{name: {"false_alarm_rate": [K], "sensitivity": [K]}}`.
  """
  figure = Figure(figsize=(3.6, 3.6), layout="constrained")
  axes = figure.subplots()
  for name, curve in curves.items():
    axes.plot(curve["false_alarm_rate"], curve["sensitivity"], marker=".",
              label=canvas.entry(name))
  axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
  axes.set_xlabel("false alarm rate", fontsize=9)
  axes.set_ylabel("sensitivity", fontsize=9)
  axes.legend(fontsize=8, loc="lower right")
  axes.grid(alpha=.3)
  return figure


def matrix(values, class_names, title, xlabel, ylabel):
  """A square table of shares in [0, 1], classes by classes.

  Args:
    values: `[classes, classes]`; NaN where nothing is known. Of more than
      MATRIX_NAMES classes neither names nor numbers are written.
    class_names: of the classes.
    title, xlabel, ylabel: what it says.
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
    axes.text(x, y, f"{100 * values[y, x]:.0f}", ha="center", va="center",
              fontsize=7, color="white" if values[y, x] > 0.6 else "black")
  return figure


def forest(panels, title):
  """Differences with their intervals, a row each; grey where one holds 0.

  Args:
    panels: `{label: {row: {"difference", "interval": [low, high]}}}`; the
      first panel gives the order of the rows, from the top.
    title: of the figure.
  """
  order = list(dict.fromkeys(r for rows in panels.values() for r in rows))
  figure = Figure(figsize=(2.4 * len(panels) + 1.8, .2 * len(order) + 1.3),
                  layout="constrained")
  axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
  for one, (label, rows) in zip(axes, panels.items()):
    for name, row in rows.items():
      y, (low, high) = -order.index(name), row["interval"]
      color = canvas.UNCLEAR
      if low > 0 or high < 0:
        color = canvas.GOOD if low > 0 else canvas.BAD
      one.plot([low, high], [y, y], color=color, linewidth=2)
      one.plot(row["difference"], y, "o", color=color, markersize=4.5)
    one.axvline(0, color="black", linewidth=.8)
    one.set_title(label, fontsize=10)
    one.tick_params(labelsize=8)
    one.grid(alpha=.25, axis="x")
  axes[0].set_yticks([-y for y in range(len(order))], order, fontsize=8)
  figure.suptitle(title, fontsize=10)
  return figure
