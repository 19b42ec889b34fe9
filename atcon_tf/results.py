"""The result of a run: what is tested, stored, and shown as a table."""

import io
import json
import pathlib
import resource
import sys

import numpy as np

from atcon_tf import files
from atcon_tf import plots
from atcon_tf import runs
from atcon_tf import schedule
from atcon_tf import scoring
from atcon_tf.config import UserError

# What a table shows, and how a person calls it.
ROWS = {
    "map_macro": "mAP, macro", "map_weighted": "mAP, weighted",
    "f1_macro": "F1, macro", "f1_macro_at_half": "F1 at 0.5, macro",
    "f1_micro": "F1, micro", "auc_macro": "AUC, macro",
    "accuracy": "accuracy", "loss": "loss",
    "consistency": "consistency of maps",
    "consistency_raw": "consistency, raw mask",
    "box_iou": "box IoU", "centre_box_iou": "  (centred box)",
    "pointing_game": "pointing game",
    "centre_point_pointing_game": "  (centre point)",
    "mask_iou": "mask IoU", "centre_mask_iou": "  (centred mask)",
}
_SENSITIVITY = "sensitivity_at_"


def rows(*parts):
  """`{metric: what a person calls it}` of ROWS and of any rate of alarms.

  Args:
    parts: scores as `scoring.judge` gives them.
  """
  rates = {name.removeprefix(_SENSITIVITY) for part in parts for name in part
           if name.startswith(_SENSITIVITY)}
  return ROWS | {_SENSITIVITY + rate: f"sensitivity at {rate} alarms"
                 for rate in sorted(rates, key=float)}


def finish(config, data, predictor, work, watcher, state, plan, seconds):
  """Tests the best weights of a run and writes what it leaves behind.

  Args:
    config, data, predictor, work, watcher: of the run.
    state: how far it came.
    plan: the kinds of its steps.
    seconds: function that gives its time so far.
  Returns:
    what result.json holds.
  """
  work.load_best(predictor.classifier)
  predictions = {}
  for part in ("val", "test"):
    print(f"scoring {part} ({len(data.records[part])} images)", flush=True)
    predictions[part] = predictor.predict(
        data.images, data.records[part], watcher.interactive,
        consistency=part == "test")
  thresholds = scoring.choose_thresholds(predictions["val"])
  tables = {part: scoring.tabulate(p, thresholds, data.class_names,
                                   config.false_alarm_rates)
            for part, p in predictions.items()}
  scores = {part: scoring.judge(rows, config.bootstrap)
            for part, rows in tables.items()}
  save_predictions(work.path / "predictions.npz", tables["test"])
  followed = ["val_loss", "val_cross_entropy", "val_area"] if (
      watcher.losses) else ["val_map_macro", "val_f1_macro"]
  work.save_figure("history", plots.to_png(plots.curves(
      state["history"], followed), dpi=110))
  curves = {part: s["roc"] for part, s in scores.items() if "roc" in s}
  if curves:
    work.save_figure("roc", plots.to_png(plots.roc(curves), dpi=110))
  if config.summary_images:
    work.save_figure("maps", plots.to_png(watcher.figure(), dpi=110))
  result = {
      "config": json.loads(config.public().to_json()), **runs.environment(),
      "data": {part: len(r) for part, r in data.records.items()},
      "steps": {"supervised": sum(schedule.SUPERVISED in s for s in plan),
                "consistency": sum(schedule.CONSISTENCY in s for s in plan),
                "best": state["best"]["updates"]},
      "seconds": round(seconds(), 1), "peak_gib": round(peak_memory(), 2),
      "thresholds": thresholds,
      "skipped_images": len(data.images.bad), **scores,
      "history": state["history"]}
  if watcher.losses:
    result["head"] = _head(predictor.classifier.attention, watcher, data)
  work.save_result(result)
  return result


def _head(attention, watcher, data):
  """What a run has trained that explains its classifier."""
  scores = {
      part: watcher.losses(data.records[part]) | watcher.head_scores(part)
      for part in ("val", "test")}
  return {"version": attention.name, "layers": list(attention.layers_used),
          "map": list(attention.size), "parameters": attention.count_params(),
          **scores}


def peak_memory():
  """The most memory that this process has held so far, in GiB."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak / (2**30 if sys.platform == "darwin" else 2**20)


def table(results, part="test"):
  """Scores of several results side by side, as text.

  Args:
    results: `{name: result}`, results of the form of result.json.
    part: which split.
  Returns:
    a table with a row for each metric: the score and, in brackets, its 90 %
    interval over images.
  """
  names = list(results)
  lines = [[part, *names]]
  lines.append(["supervised updates",
                *(str(r["steps"]["supervised"]) for r in results.values())])
  lines.append(["  best after",
                *(str(r["steps"]["best"]) for r in results.values())])
  lines.append(["consistency updates",
                *(str(r["steps"]["consistency"]) for r in results.values())])
  lines.append(["seconds", *(f"{r['seconds']:.0f}" for r in results.values())])
  for metric, label in rows(*(r[part] for r in results.values())).items():
    if any(metric in r[part] for r in results.values()):
      lines.append([label, *(cell(r[part], metric)
                             for r in results.values())])
  return align(lines)


def cell(scores, metric):
  """A score with its interval."""
  if metric not in scores:
    return "-"
  text = f"{scores[metric]:.3f}"
  if metric in scores.get("ci90", {}):
    low, high = scores["ci90"][metric]
    text += f" [{low:.3f}, {high:.3f}]"
  return text


def save_predictions(path, table):
  """Writes predictions.npz: the arrays of `scoring.tabulate`."""
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **table)
  files.write_bytes(path, buffer.getvalue())


def load_predictions(run_path):
  """predictions.npz of a run as a dict of arrays.

  Raises:
    UserError: the run is not finished.
  """
  path = pathlib.Path(run_path) / "predictions.npz"
  if not path.exists():
    raise UserError(f"{path}: no such file: the run is not finished")
  with np.load(path) as arrays:
    return dict(arrays)


def align(lines):
  """Rows of cells as text with a rule under the first."""
  widths = [max(len(line[i]) for line in lines)
            for i in range(len(lines[0]))]
  text = ["  ".join(value.ljust(width) for value, width in
                    zip(line, widths)).rstrip() for line in lines]
  text.insert(1, "-" * max(map(len, text)))
  return "\n".join(text)
