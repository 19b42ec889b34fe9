"""Tests the best weights of a run, and writes its result and figures."""

import json
import resource
import sys

from atcon_tf.evaluation import scoring
from atcon_tf.objectives import base
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import score_plots
from atcon_tf.runs import kept_model
from atcon_tf.runs import provenance
from atcon_tf.runs import stored_predictions


def finish(config, data, predictor, work, validator, state, plan, seconds):
  """Tests the best weights of a run, and writes its result and figures.

  Args:
    config: the run's `Config`.
    data: its `run_data.RunData`.
    predictor: a `predictor.Predictor` of its classifier.
    work: its `run_folder.Workdir`.
    validator: its `Validator`.
    state: its `RunState` after the last step.
    plan: list of the kinds of its steps.
    seconds: function that returns the seconds of the run so far.
  Returns:
    the dict of result.json.
  """
  work.load_best(predictor.classifier)
  predictions = {}
  for part in ("val", "test"):
    print(f"scoring {part} ({len(data.records[part])} images)", flush=True)
    predictions[part] = predictor.predict(
        data.images, data.records[part], validator.interactive,
        consistency=part == "test")
  thresholds = scoring.choose_thresholds(predictions["val"])
  tables = {part: scoring.tabulate(p, thresholds, data.class_names,
                                   config.false_alarm_rates)
            for part, p in predictions.items()}
  scores = {part: scoring.judge(rows, config.bootstrap)
            for part, rows in tables.items()}
  stored_predictions.save_predictions(
      work.path / "predictions.npz", tables["test"])
  followed = ["val_loss", "val_cross_entropy", "val_area"] if (
      validator.losses) else ["val_map_macro", "val_f1_macro"]
  work.save_figure("history", canvas.to_png(score_plots.curves(
      state.history, followed), dpi=110))
  curves = {part: s["roc"] for part, s in scores.items() if "roc" in s}
  if curves:
    work.save_figure("roc", canvas.to_png(score_plots.roc(curves), dpi=110))
  if config.summary_images:
    work.save_figure("maps", canvas.to_png(validator.figure(), dpi=110))
  result = {
      "config": json.loads(config.public().to_json()),
      **provenance.environment(),
      **({"model_sha256": kept_model.sha256(kept_model.find(work.path))}
         if kept_model.find(work.path) else {}),
      "data": {part: len(r) for part, r in data.records.items()},
      "steps": {"supervised": sum(base.SUPERVISED in s for s in plan),
                "consistency": sum(base.CONSISTENCY in s for s in plan),
                "best": state.best["updates"],
                **({"best_is_refit": True} if state.best.get("refit")
                   else {})},
      "seconds": round(seconds(), 1), "peak_gib": round(peak_memory(), 2),
      "thresholds": thresholds,
      "skipped_images": len(data.images.bad), **scores,
      "history": state.history}
  if validator.losses:
    result["head"] = _head(predictor.classifier.attention, validator, data)
  work.save_result(result)
  return result


def _head(attention, validator, data):
  """The dict "head" of result.json: layers, size and scores of the head."""
  scores = {
      part: validator.losses(data.records[part]) | validator.head_scores(part)
      for part in ("val", "test")}
  return {"version": attention.name, "layers": list(attention.layers_used),
          "map": list(attention.size), "parameters": attention.count_params(),
          **scores}


def peak_memory():
  """The most memory that this process has held so far, in GiB."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak / (2**30 if sys.platform == "darwin" else 2**20)
