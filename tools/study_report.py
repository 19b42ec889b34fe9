"""The table and the plot of a study, from its rows alone."""

import json
import pathlib

import numpy as np
from matplotlib.figure import Figure

from atcon_tf import files
from atcon_tf import plots
from atcon_tf.config import UserError
from atcon_tf.metrics import statistics

# The endpoints, and what is shown beside them.
ENDPOINTS = {"f1_macro": "F1, macro", "map_macro": "mAP, macro",
             "box_iou": "box IoU"}
SHOWN = {**ENDPOINTS, "pointing_game": "pointing game",
         "f1_macro_at_half": "F1 at 0.5", "consistency": "consistency"}
TRIVIAL = {"centre_box_iou": "box IoU of a centred box",
           "centre_point_pointing_game": "pointing game of the centre"}
MARKS = ("<!-- study -->", "<!-- /study -->")


def read_rows(path):
  """The rows of a study; none if there is no such file yet."""
  path = pathlib.Path(path)
  if not path.exists():
    return []
  try:
    return json.loads(path.read_text())["rows"]
  except (ValueError, KeyError) as error:
    raise UserError(f"{path}: not the rows of a study") from error


def values(rows, arm, shots, metric):
  """`{seed: score}` on test."""
  return {r["seed"]: r["test"][metric] for r in rows
          if r["arm"] == arm and r["shots"] == shots
          and metric in r["test"]}


def paired(rows, arm, baseline, shots, metric):
  """Differences to the baseline in points, and the shots they belong to."""
  differences, strata = [], []
  for k in shots:
    ours, theirs = (values(rows, a, k, metric) for a in (arm, baseline))
    for seed in sorted(set(ours) & set(theirs)):
      differences.append(100 * (ours[seed] - theirs[seed]))
      strata.append(k)
  return differences, strata


def test(rows, arm, grid, metric):
  """The stratified paired test of an arm over the baseline, or None.

  Needs two pairs at each of the endpoint shots.
  """
  differences, strata = paired(rows, arm, grid["baseline"],
                               grid["endpoint_shots"], metric)
  if any(strata.count(k) < 2 for k in grid["endpoint_shots"]):
    return None
  return statistics.stratified_paired_test(differences, strata)


def table(grid, rows):
  """The study as markdown."""
  shots = ", ".join(map(str, grid["endpoint_shots"]))
  seeds = sorted({r["seed"] for r in rows})
  lines = [
      f"Points over `{grid['baseline']}` on test, mean of {shots} shots, "
      "paired by seed within each number of shots, with 90 % intervals and "
      f"p of a sign-flip permutation test; {len(rows)} runs, seeds "
      f"{seeds[0]} to {seeds[-1]}.", "",
      "| | " + " | ".join(SHOWN.values()) + " | seconds |",
      "|---|" + "---|" * (len(SHOWN) + 1)]
  inside = [r for r in rows if r["shots"] in grid["endpoint_shots"]]
  for arm in grid["arms"]:
    own = [r for r in inside if r["arm"] == arm]
    if not own:
      continue
    if arm == grid["baseline"]:
      row = [_mean(own, grid, metric) for metric in SHOWN]
    else:
      row = [_difference(test(rows, arm, grid, metric)) for metric in SHOWN]
    seconds = f"{np.median([r['seconds'] for r in own]):.0f}"
    lines.append(f"| {arm} | " + " | ".join([*row, seconds]) + " |")
  lines += ["", "Trivial localisers: " + "; ".join(
      f"{label} {_mean(inside, grid, metric)}"
      for metric, label in TRIVIAL.items()) + "."]
  lines += ["", "Mean on test at each number of shots (mAP, macro / F1, "
            "macro / box IoU / pointing game; number of seeds):", "",
            "| | " + " | ".join(f"{k} shots" for k in grid["shots"]) + " |",
            "|---|" + "---|" * len(grid["shots"])]
  for arm in grid["arms"]:
    lines.append(f"| {arm} | " + " | ".join(
        _cell(rows, arm, k) for k in grid["shots"]) + " |")
  return "\n".join(lines) + "\n"


def _mean(rows, grid, metric):
  means = [np.mean([r["test"][metric] for r in rows if r["shots"] == k])
           for k in grid["endpoint_shots"]
           if any(r["shots"] == k for r in rows)]
  return f"{100 * np.mean(means):.1f}"


def _difference(outcome):
  if outcome is None:
    return "-"
  low, high = outcome["interval"]
  return (f"{outcome['difference']:+.1f} [{low:+.1f}, {high:+.1f}] "
          f"p {outcome['p']:.3g}")


def _cell(rows, arm, shots):
  found = [100 * np.mean(list(v.values())) for v in (
      values(rows, arm, shots, m) for m in (
          "map_macro", "f1_macro", "box_iou", "pointing_game")) if v]
  seeds = len(values(rows, arm, shots, "map_macro"))
  if not seeds:
    return "-"
  return " / ".join(f"{v:.1f}" for v in found) + f" ({seeds})"


def plot(grid, rows):
  """Each endpoint and the pointing game against the number of shots."""
  metrics = {**ENDPOINTS, "pointing_game": "pointing game"}
  figure = Figure(figsize=(3.1 * len(metrics), 3.3), layout="constrained")
  axes = figure.subplots(1, len(metrics))
  for one, (metric, label) in zip(axes, metrics.items()):
    for number, arm in enumerate(grid["arms"]):
      points = [(k, 100 * np.array(list(values(rows, arm, k,
                                               metric).values())))
                for k in grid["shots"]]
      points = [(k, v) for k, v in points if len(v)]
      if not points:
        continue
      # Arms side by side, so that their bars do not hide each other.
      x = [k * 1.03 ** (number - len(grid["arms"]) / 2) for k, _ in points]
      spread = [1.645 * v.std(ddof=1) / len(v)**.5 if len(v) > 1 else 0
                for _, v in points]
      one.errorbar(x, [v.mean() for _, v in points], spread, marker="o",
                   markersize=3, linewidth=1.2, capsize=2, label=arm)
    one.set_xscale("log", base=2)
    one.set_xticks(grid["shots"], [str(k) for k in grid["shots"]])
    one.set_xlabel("labelled images per class", fontsize=8)
    one.set_title(f"{label}, test", fontsize=9)
    one.grid(alpha=.3)
    one.tick_params(labelsize=7)
  axes[0].legend(fontsize=7)
  return figure


def render(path, readme=""):
  """Writes the table (.md) and the plot (.png) beside the rows.

  Args:
    path: of the JSON file with the rows.
    readme: a file that gets the table between its study markers, or "".
  Returns:
    the paths written.
  """
  path = pathlib.Path(path)
  content = json.loads(path.read_text())
  grid, rows = content["grid"], content["rows"]
  text = table(grid, rows)
  files.write_text(path.with_suffix(".md"), text)
  files.write_bytes(path.with_suffix(".png"),
                    plots.to_png(plot(grid, rows), dpi=110))
  written = [path.with_suffix(".md"), path.with_suffix(".png")]
  if readme:
    before, rest = pathlib.Path(readme).read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    files.write_text(readme, f"{before}{MARKS[0]}\n{text}{MARKS[1]}{after}")
    written.append(pathlib.Path(readme))
  return written
