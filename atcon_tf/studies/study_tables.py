"""The tables of a study, from its rows alone.

A cell is a difference in points, paired by seed within each number of shots,
with its 90 % interval. ▲ and ▼ mean that the interval leaves out 0. The best of
a column is bold only if it has a ▲: without a sign, nothing was shown.
"""

import collections
import json
import pathlib

import numpy as np

from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.evaluation.metrics import statistics
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import score_plots
from atcon_tf.reports import tables
from atcon_tf.studies import study_grid
from atcon_tf.studies import study_figures
from atcon_tf.studies import study_seeds
from atcon_tf.studies.study_figures import TRIVIAL

# Each of these has a test; the metrics of BESIDE have intervals only.
ENDPOINTS = {"f1_macro": "F1, macro", "map_macro": "mAP, macro",
             "box_iou": "box IoU"}
BESIDE = {"pointing_game": "pointing game", "f1_macro_at_half": "F1 at 0.5",
          "consistency": "consistency", "mask_iou": "mask IoU"}
SHOWN = {**ENDPOINTS, **BESIDE}
# Metrics of which more is not better in itself.
NO_BEST = ("consistency",)
MARKS = ("<!-- study -->", "<!-- /study -->")


def read(path):
  """`{"grid", "rows"}` of a study; None and [] if there is no such file.

  Raises:
    UserError: the file holds something else.
  """
  path = pathlib.Path(path)
  if not path.exists():
    return {"grid": None, "rows": []}
  try:
    content = json.loads(path.read_text())
    return {"grid": content["grid"], "rows": content["rows"]}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(f"{path}: not the rows of a study") from error


def judged(grid, rows):
  """Rows whose "test" scores are those of the part that the grid judges.

  That is, of the test images; a grid that tunes has `"judged_on": "val"`.
  """
  part = grid.get("judged_on", "test")
  return [{**row, "test": row[part]} for row in rows]


def values(rows, arm, shots, metric):
  """The test scores of an arm at a number of shots, `{seed: score}`."""
  return {r["seed"]: r["test"][metric] for r in rows
          if r["arm"] == arm and r["shots"] == shots
          and metric in r["test"]}


def paired(rows, arm, baseline, shots, metric):
  """Differences to the baseline in points, `{seed: [at each of the shots]}`.

  Seeds without both runs at every one of the shots are left out.
  """
  ours, theirs = ([values(rows, a, k, metric) for k in shots]
                  for a in (arm, baseline))
  seeds = set.intersection(*(set(v) for v in ours + theirs))
  return {seed: [100 * (a[seed] - b[seed]) for a, b in zip(ours, theirs)]
          for seed in sorted(seeds)}


def test(rows, arm, baseline, shots, metric):
  """The paired test of an arm over another; None for fewer than two seeds."""
  differences = list(paired(rows, arm, baseline, shots, metric).values())
  if len(differences) < 2:
    return None
  return statistics.paired_seeds_test(differences)


def tests(rows, arms, baseline, shots):
  """`{metric: {arm: outcome of `test`}}`; arms without one are left out."""
  found = {metric: {arm: test(rows, arm, baseline, shots, metric)
                    for arm in arms} for metric in shown(rows)}
  return {metric: {arm: o for arm, o in outcomes.items() if o}
          for metric, outcomes in found.items()}


def mean(rows, arm, shots, metric):
  """The mean over the shots of the mean over seeds, in points.

  None if the arm has no score at one of the shots.
  """
  found = [list(values(rows, arm, k, metric).values()) for k in shots]
  return 100 * float(np.mean([np.mean(v) for v in found])) if all(
      found) else None


def shown(rows):
  """`{metric: label}` of the metrics in SHOWN that some row has."""
  return {metric: label for metric, label in SHOWN.items()
          if any(metric in r["test"] for r in rows)}


def _header(rows):
  labels = [*shown(rows).values(), "seeds", "minutes", "GiB"]
  return ["| | " + " | ".join(labels) + " |",
          "|---|" + "---|" * len(labels)]


def _absolute(rows, name, arm, shots):
  """The row of an arm in points, of its seeds with all these shots."""
  seeds = study_seeds.whole(rows, arm, shots)
  own = [r for r in rows if r["seed"] in seeds]
  cells = [_points(mean(own, arm, shots, m)) for m in shown(rows)]
  return f"| {name} | " + " | ".join(
      [*cells, study_seeds.listed(seeds), *_cost(rows, arm, shots)]) + " |"


def _points(value):
  return "-" if value is None else f"{value:.1f}"


def _cost(rows, arm, shots):
  """Median minutes of a run and its peak memory."""
  own = [r for r in rows if r["arm"] == arm and r["shots"] in shots]
  peaks = [r["peak_gib"] for r in own if r.get("peak_gib")]
  return [f"{np.median([r['seconds'] for r in own]) / 60:.1f}" if own else "-",
          f"{np.median(peaks):.1f}" if peaks else "-"]


def _differences(rows, arms, baseline, shots, name="{arm}"):
  """The rows of arms over the baseline, the best of a column in bold."""
  found = tests(rows, arms, baseline, shots)
  best = {metric: max(outcomes, key=lambda a: outcomes[a]["difference"])
          for metric, outcomes in found.items()
          if len(outcomes) > 1 and metric not in NO_BEST}
  lines = []
  for arm in arms:
    cells = []
    for metric in shown(rows):
      if arm in found[metric]:
        cells.append(_cell(found[metric][arm], metric,
                           best.get(metric) == arm))
      else:
        one = list(paired(rows, arm, baseline, shots, metric).values())
        cells.append(f"{np.mean(one):+.1f}" if one else "-")
    seeds = study_seeds.listed(study_seeds.whole(rows, arm, shots, baseline))
    lines.append(f"| {name.format(arm=arm)} | " + " | ".join(
        [*cells, seeds, *_cost(rows, arm, shots)]) + " |")
  return lines


def _cell(outcome, metric, best):
  low, high = outcome["interval"]
  if tables.equal(outcome, .1):
    return f"equal [{low:+.1f}, {high:+.1f}]"
  sign = "▲ " if low > 0 else "▼ " if high < 0 else ""
  number = f"{outcome['difference']:+.1f}"
  if best and low > 0:
    number = f"**{number}**"
  text = f"{sign}{number} [{low:+.1f}, {high:+.1f}]"
  if metric not in ENDPOINTS:
    return text
  return text + (" p < 0.001" if outcome["p"] < .001
                 else f" p {outcome['p']:.2g}")


def _legend(grid, shots):
  listed = " and ".join(", ".join(
      map(study_seeds.count, shots)).rsplit(", ", 1))
  return (f"Points on {grid.get('judged_on', 'test')}, "
          f"{'mean of ' if len(shots) > 1 else ''}{listed} "
          "labelled images a class: differences paired by seed, a seed's "
          "mean over the shots counting once, with 90 % intervals; p of the "
          "paired t test for the endpoints (" + ", ".join(ENDPOINTS.values())
          + "). ▲ ▼: the interval leaves out 0. Bold: the best of its column, "
          "where it has a ▲. equal: too little for the first decimal. seeds: "
          "those with all these shots, which a row is made of; one of them "
          "gives no interval, and none gives `-`. "
          "Minutes and peak memory of a run: medians.")


def _flags(grid, arms):
  """The flags of every run and of each arm, as lines."""
  return ["", f"Every run: `{' '.join(grid['flags'])}`, and", "",
          *(f"- {arm}: `{' '.join(grid['arms'][arm])}`" for arm in arms)]


def _commits(rows):
  """The commits that made the runs, as text.

  Git's "-dirty" becomes "with changes": the tree had uncommitted ones.
  """
  counts = collections.Counter(r.get("commit") or "unknown" for r in rows)
  return "Made by commit " + ", ".join(
      f"{commit.replace('-dirty', ' with changes')} ({count} runs)"
      for commit, count in counts.most_common()) + "."


def study_table(grid, rows):
  """The study as Markdown; arms without any row are left out."""
  shots, baseline = grid["endpoint_shots"], grid["baseline"]
  known = {r["arm"] for r in rows} | {baseline}
  every = [a for a in grid["arms"] if a in known]
  arms = [a for a in every if a != baseline]
  lines = [f"{study_seeds.progress(grid, rows)}. {_legend(grid, shots)}", "",
           *_header(rows),
           _absolute(rows, f"{baseline}, points", baseline, shots),
           _trivial(rows, baseline, shots),
           *_differences(rows, arms, baseline, shots),
           *(row for arm, controls in grid.get("controls", {}).items()
             for control in controls
             if len(paired(rows, arm, control, shots, "map_macro")) > 1
             for row in _differences(rows, [arm], control, shots,
                                     f"{{arm}} over {control}")),
           *_flags(grid, every)]
  lines += ["", "Means on test by labelled images a class (F1, macro / "
            "mAP, macro / box IoU / pointing game; number of seeds):", "",
            "| | " + " | ".join(
                f"{study_seeds.count(k)} a class" for k in grid["shots"])
            + " |",
            "|---|" + "---|" * len(grid["shots"])]
  for arm in every:
    lines.append(f"| {arm} | " + " | ".join(
        _means(rows, arm, k) for k in grid["shots"]) + " |")
  return "\n".join(lines + study_seeds.unequal(grid, rows, every)) + "\n"


def _trivial(rows, baseline, shots):
  cells = [_points(mean(rows, baseline, shots, TRIVIAL[m]))
           if m in TRIVIAL else "" for m in shown(rows)]
  return ("| centred box, centre point: points without looking | "
          + " | ".join([*cells, "", "", ""]) + " |")


def _means(rows, arm, shots):
  found = [mean(rows, arm, [shots], m) for m in (*ENDPOINTS, "pointing_game")]
  seeds = len(values(rows, arm, shots, "map_macro"))
  return " / ".join(map(_points, found)) + f" ({seeds})" if seeds else "-"


def ablation(grid, rows):
  """An ablation as Markdown: each variant over the arm it is a variant of.

  Arms without any row are left out.
  """
  shots, known = grid["endpoint_shots"], {r["arm"] for r in rows}
  lines = ["# What each switch does", "",
           f"{study_seeds.progress(grid, rows)}. {_legend(grid, shots)} Of "
           "the cells without any effect, one in ten gets a sign by chance."]
  for parent, others in grid["variants"].items():
    variants = [arm for arm in others if arm in known]
    if parent not in known or not variants:
      continue
    above = [parent] if parent != grid["baseline"] else []
    lines += ["", f"## {parent}", *_flags(grid, [parent, *variants]), "",
              *_header(rows),
              _absolute(rows, f"{grid['baseline']}, points",
                        grid["baseline"], shots),
              *_differences(rows, above, grid["baseline"], shots,
                            f"{{arm}} over {grid['baseline']}"),
              *_differences(rows, variants, parent, shots,
                            f"{{arm}} over {parent}")]
  return "\n".join(lines) + "\n"


def gains(grid, rows):
  """The differences to draw, `{label of a metric: {row: outcome of `test`}}`.

  A row is called "ARM over BASELINE".
  """
  groups = [(grid["baseline"],
             [a for a in grid["arms"] if a != grid["baseline"]]),
            *((control, [arm]) for arm, controls in grid.get(
                "controls", {}).items() for control in controls)]
  if "variants" in grid:
    groups = [(grid["baseline"], [arm for arm in grid["variants"]
                                  if arm != grid["baseline"]]),
              *grid["variants"].items()]
  drawn = {}
  for baseline, arms in groups:
    for metric, outcomes in tests(rows, arms, baseline,
                                  grid["endpoint_shots"]).items():
      if metric in (*ENDPOINTS, "pointing_game", "mask_iou"):
        drawn.setdefault(SHOWN[metric], {}).update(
            {f"{arm} over {baseline}": o for arm, o in outcomes.items()})
  return {label: rows for label, rows in drawn.items() if rows}


def render(path, readme=""):
  """Writes the table (.md) and the figures (.png) beside the rows.

  Args:
    path: of the JSON file with the rows.
    readme: a file that gets the table between its study markers; "": none.
  Returns:
    the paths written.
  Raises:
    UserError: `readme` has no markers.
  """
  path = pathlib.Path(path)
  content = read(path)
  grid, wanted = content["grid"], set(study_grid.cells(content["grid"]))
  rows = judged(grid, [r for r in content["rows"]
                       if (r["arm"], r["shots"], r["seed"]) in wanted])
  text = (ablation if "variants" in grid else study_table)(grid, rows)
  figures = {path.with_suffix(".png"): study_figures.by_shots(grid, rows)
             if len(grid["shots"]) > 1 else None}
  found = gains(grid, rows)
  figures[path.with_name(f"{path.stem}_gains.png")] = score_plots.forest(
      found, f"Difference on {grid.get('judged_on', 'test')} in points, "
      "90 % interval over seeds (grey: holds 0)") if found else None
  for name in [name for name, figure in figures.items() if not figure]:
    name.unlink(missing_ok=True)  # of other rows
    del figures[name]
  if not figures:
    text += "\nNo figure: there is nothing to draw yet.\n"
  for name, figure in figures.items():
    files.write_bytes(name, canvas.to_png(figure, dpi=110))
  files.write_text(path.with_suffix(".md"), text + "".join(
      f"\n![Gains and scores]({name.name})\n" for name in figures)
                   + f"\nWritten by `atcon_tf.study` from `{path.name}`. "
                   f"{_commits(rows)}\n")
  written = [path.with_suffix(".md"), *figures]
  if readme:
    files.between(readme, MARKS, text)
    written.append(pathlib.Path(readme))
  return written
