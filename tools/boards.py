"""Leaderboards of several seeds as one table.

    python -m tools.boards --boards=W/tame0.json,W/tame1.json,W/tame2.json \
      --boards=W/l_cam0.json,W/l_cam1.json,W/l_cam2.json \
      --over=grad_cam --out=docs/results/tame_voc.json --page=docs/tame.md

`python -m atcon_tf.evaluate --methods=... --out=BOARD.json` writes a board. A
second list adds other methods, for the same seeds in the same order. A cell is
the mean over the boards and, in brackets, the mean of the differences to the
method --over, paired by board, with its 90 % interval (of the t distribution;
`evaluation/metrics/statistics.py`). ▲ (better) and ▼ (worse) mean that the
interval leaves out 0. The table is put between the marks `<!-- boards -->` and
`<!-- /boards -->` of the page.
"""

import json
import os
import pathlib

from absl import flags
import numpy as np

from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.evaluation.metrics import LOWER_IS_BETTER
from atcon_tf.evaluation.metrics import METRICS
from atcon_tf.evaluation.metrics import statistics

MARKS = ("<!-- boards -->", "<!-- /boards -->")


def read(paths):
  """Boards from their files.

  Raises:
    UserError: not boards, fewer than two, one of them twice, or of different
      images.
  """
  boards = []
  for path in paths:
    try:
      board = json.loads(pathlib.Path(path).read_text())
      board["methods"], board["pairs"]  # pylint: disable=pointless-statement
    except (OSError, ValueError, KeyError, TypeError) as error:
      raise UserError("boards", path, f"not a leaderboard: {error}"
                      ) from error
    boards.append(board)
  if len(boards) < 2:
    raise UserError("boards", paths, "two or more are needed")
  if len(set(map(os.path.realpath, paths))) < len(paths):
    raise UserError("boards", paths, "one of them is there twice")
  for name in ("about", "target"):
    said = {board.get(name) for board in boards}
    if len(said) > 1:
      raise UserError("boards", paths, f"are not of the same {name}: "
                      f"{' / '.join(sorted(map(str, said)))}")
  pairs = [board["pairs"] for board in boards]
  if len(set(pairs)) > 1:
    raise UserError("boards", paths, f"of {pairs} images; they must be of the "
                    "same number")
  return boards


def merge(lists):
  """Lists of boards as one: each board with the methods of all of them.

  Raises:
    UserError: the lists are of different lengths or images, or two of them
      have the same method.
  """
  merged = [{**board, "methods": {}} for board in lists[0]]
  for boards in lists:
    if [b["pairs"] for b in boards] != [b["pairs"] for b in merged]:
      raise UserError("boards", None, "every list must be of the same number "
                      "of boards and images")
    for into, board in zip(merged, boards):
      twice = into["methods"].keys() & board["methods"].keys()
      if twice:
        raise UserError("boards", None, f"{sorted(twice)[0]} is in two lists")
      into["methods"] |= board["methods"]
  return merged


def combine(boards, over):
  """Means, and differences to the method `over`, of every method.

  Args:
    boards: of `leaderboard.judge`, one a seed.
    over: a method that all of them have.
  Returns:
    `{"boards": N, "pairs", "over", "methods": {method: {metric: {"mean",
    "difference", "interval"}, "pairs", "images_a_second": median,
    "forward_passes"}}}` of the methods that every board has; "difference" and
    "interval" only where both methods saw the same images.
  Raises:
    UserError: a board has no such method.
  """
  common = [m for m in boards[0]["methods"]
            if all(m in board["methods"] for board in boards)]
  if over not in common:
    raise UserError("over", over, f"must be one of {', '.join(common)}")
  methods = {}
  for method in common:
    rows = [board["methods"][method] for board in boards]
    base = [board["methods"][over] for board in boards]
    speed = [row["images_a_second"] for row in rows]
    methods[method] = {"pairs": rows[0]["pairs"],
                       "images_a_second": None if None in speed
                       else float(np.median(speed)),
                       "forward_passes": rows[0]["forward_passes"]}
    for metric in METRICS:
      if not all(metric in row for row in rows):
        continue
      cell = {"mean": float(np.mean([row[metric] for row in rows]))}
      if method != over and rows[0]["pairs"] == base[0]["pairs"] and all(
          metric in b for b in base):
        outcome = statistics.paired_seeds_test(
            [[row[metric] - b[metric]] for row, b in zip(rows, base)])
        cell |= {k: outcome[k] for k in ("difference", "interval")}
      methods[method][metric] = cell
  return {"boards": len(boards), "pairs": boards[0]["pairs"], "over": over,
          "methods": methods}


def table(combined):
  """The outcome of `combine` as Markdown."""
  methods = combined["methods"]
  columns = [m for m in METRICS if m in methods[combined["over"]]]
  arrows = {m: " ↓" if m in LOWER_IS_BETTER else " ↑" for m in columns}
  lines = ["| method | " + " | ".join(
      m.replace("_", " ") + arrows[m] for m in columns)
           + " | images a second | passes | images |",
           "|---|" + "---|" * (len(columns) + 3)]
  for method, row in methods.items():
    cells = [_cell(row[m], m) if m in row else "-" for m in columns]
    speed = row["images_a_second"]
    lines.append(f"| {method} | " + " | ".join(
        [*cells, f"{speed:.3g}" if speed else "-",
         str(row["forward_passes"]), str(row["pairs"])]) + " |")
  return "\n".join(lines) + "\n"


def _cell(cell, metric):
  text = f"{cell['mean']:.3g}"
  if "interval" not in cell:
    return text
  low, high = cell["interval"]
  sign = "▲ " if low > 0 else "▼ " if high < 0 else ""
  if metric in LOWER_IS_BETTER:
    sign = {"▲ ": "▼ ", "▼ ": "▲ "}.get(sign, "")
  return f"{sign}{text} ({cell['difference']:+.3g} [{low:+.3g}, {high:+.3g}])"


def main(argv):
  """Combines boards and writes the outcome."""
  del argv
  values = flags.FLAGS
  if not values.boards:
    raise UserError("boards", None, "name the leaderboards of two or more "
                    "seeds")
  lists = [read(paths.split(",")) for paths in values.boards]
  combined = combine(merge(lists), values.over)
  everything = [board for boards in lists for board in boards]
  combined |= {"about": everything[0].get("about"),
               "commands": [b.get("command") for b in everything],
               "commits": [b.get("commit") for b in everything]}
  files.write_text(values.out, json.dumps(combined, indent=1) + "\n")
  print(values.out)
  text = table(combined)
  if values.page:
    files.between(values.page, MARKS, (
        f"{combined['boards']} seeds, {combined['pairs']} images each; in "
        f"brackets the difference to {values.over}, paired by seed, with its "
        f"90 % interval. ▲ better, ▼ worse than {values.over}.\n\n{text}"))
    print(values.page)
  else:
    print(text)


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_multi_string("boards", [], "leaderboards of evaluate, one a "
                            "seed, with commas between")
  flags.DEFINE_string("over", "grad_cam", "the method to compare with")
  flags.DEFINE_string("out", "W/boards.json", "the outcome")
  flags.DEFINE_string("page", "", "put the table between the marks of this "
                      "Markdown file")


if __name__ == "__main__":
  cli.run(main, define_flags)
