"""A leaderboard as text, as a plot and as a Markdown page."""

import io
import json
import math
import os

from matplotlib.figure import Figure

from atcon_tf.config import files
from atcon_tf.config.names import CENTRE
from atcon_tf.config.names import TARGETS
from atcon_tf.evaluation.metrics import LOWER_IS_BETTER
from atcon_tf.evaluation.metrics import METRICS
from atcon_tf.evaluation.metrics import sanity
from atcon_tf.reports.figures import canvas
from atcon_tf.reports import tables

PANELS = 7  # of a plot, side by side


def save(board, path, page=""):
  """Writes a board as JSON, and its plot beside it.

  Args:
    board: from `leaderboard.judge`, with "command", "json" and "about".
    path: of the JSON file.
    page: of a Markdown file that is written, too; "": none.
  """
  picture = path.with_suffix(".png")
  files.write_text(path, json.dumps(board, indent=1))
  files.write_bytes(picture, canvas.to_png(plot(board), dpi=110))
  if page:
    where = os.path.relpath(picture, os.path.dirname(page) or ".")
    files.write_text(page, markdown(board, where))


def _columns(board):
  return [m for m in METRICS
          if any(m in row for row in board["methods"].values())]


def _name(metric):
  return metric.replace("_", " ") + (
      " ↓" if metric in LOWER_IS_BETTER else " ↑")


def leaderboard_table(board, intervals=False):
  """A board as text, or with `intervals` as a Markdown table."""
  columns = _columns(board)
  sane = "random_weights" in columns
  lines = [["method", *["sanity"] * sane, *map(_name, columns), "images/s",
            "passes", "pairs"]]
  for method, row in board["methods"].items():
    cells = []
    for metric in columns:
      text = f"{row[metric]:.3g}" if metric in row else "-"
      if intervals and metric in row.get("ci90", {}):
        low, high = row["ci90"][metric]
        text += f" ({low:.3g}–{high:.3g})"
      cells.append(text)
    speed = row["images_a_second"]
    if sane:
      cells.insert(0, sanity.verdict(row.get("random_weights", math.nan)))
    lines.append([method, *cells, f"{speed:.3g}" if speed else "-",
                  str(row["forward_passes"]), str(row["pairs"])])
  if intervals:
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
  return tables.blocks(lines)


def plot(board):
  """A panel for each metric, a bar with its interval for each method."""
  columns, methods = _columns(board), list(board["methods"])
  wide = min(PANELS, len(columns))
  tall = -(-len(columns) // wide)
  figure = Figure(figsize=(2.1 * wide + 1.6, (.26 * len(methods) + 1) * tall),
                  layout="constrained")
  axes = figure.subplots(tall, wide, squeeze=False, sharey=True)
  for one in axes.flat[len(columns):]:
    one.axis("off")
  for one, metric in zip(axes.flat, columns):
    for y, method in enumerate(methods):
      row = board["methods"][method]
      if metric not in row:
        continue
      color = "#999999" if method == CENTRE else "#2a6fbb"
      one.barh(y, row[metric], color=color, height=.7)
      if metric in row.get("ci90", {}):
        one.plot(row["ci90"][metric], [y, y], color="black", linewidth=1.2)
    one.set_title(_name(metric), fontsize=8)
    one.tick_params(labelsize=7)
  for row in axes:
    row[0].set_yticks(range(len(methods)), methods)
  axes[0, 0].invert_yaxis()
  return figure


def markdown(board, picture):
  """A board as a Markdown page.

  Args:
    picture: path of the plot as the page should name it.
  """
  out = io.StringIO()
  units = f"{board['groups']} groups" if "groups" in board else "images"
  out.write(f"""# Attribution methods compared

Written by `{board['command']}`; do not edit by hand. The numbers are in
`{board['json']}`.

{board['about']} {_about_training(board)}Means over {board['pairs']} pairs of an image and
{TARGETS[board['target']]} (fewer for the methods that need hundreds of passes:
the last column), with 90 % bootstrap intervals over the {units}. ↑: higher is
better, ↓: lower is. `{CENTRE}` is a bright spot in the middle that sees no
image: what a map has to beat. The cut of box IoU and mask IoU is chosen on
every other pair. Average drop and increase in confidence are percentages; 50
and 15: of the map only the highest 50 or 15 % of the pixels are kept.
{_about_sanity(board)}
![Scores of the methods]({picture})

{leaderboard_table(board, intervals=True)}
""")
  for method, reason in board["skipped"].items():
    out.write(f"\nNot measured: {method} ({reason}).\n")
  return out.getvalue()


def _about_training(board):
  """How the run was trained, if the board knows it."""
  known = board.get("trained")
  return f"The run:\n`{known}`.\n" if known else ""


def _about_sanity(board):
  if "random_weights" not in _columns(board):
    return ""
  return (
      "Random weights: Spearman's correlation of |map| with that of the "
      "network whose\nweights are all in random order. Sanity: a method "
      f"passes below {sanity.PASSES} and fails\nabove {sanity.FAILS}; a map "
      "that fails explains the image and not the network.\n")
