"""Tests the kept weights of a run, and writes its result and figures."""

import json
import sys

from atcon_tf.evaluation.metrics import classification
from atcon_tf.evaluation.metrics import operating_point
from atcon_tf.evaluation import scoring
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import score_plots
from atcon_tf.reports import kept_weights
from atcon_tf.runs import kept_model
from atcon_tf.runs import provenance
from atcon_tf.runs import stored_predictions
from atcon_tf.training import tensorboard_writer


def finish(config, data, predictor, work, validator, state, steps, seconds):
  """Tests the kept weights of a run, and writes its result and figures.

  Args:
    config: the run's `Config`.
    data: its `run_data.RunData`.
    predictor: a `predictor.Predictor` of its classifier.
    work: its `run_folder.Workdir`.
    validator: its `Validator`.
    state: its `RunState` after the last step.
    steps: `{kind: number}` of its steps, and "objective_from".
    seconds: function that returns the seconds of the run so far.
  Returns:
    the dict of result.json.
  """
  work.load_best(predictor.classifier, state.best.get("sha256"))
  predictions = {}
  for part in ("val", "test"):
    print(f"scoring {part} ({len(data.records[part])} "
          f"{'clips' if config.frames else 'images'})", flush=True)
    predictions[part] = predictor.predict(
        data.images, data.records[part], progress=True,
        consistency=part == "test" and config.test_consistency,
        views=config.test_clips if part == "test" else 1)
  thresholds = scoring.choose_thresholds(predictions["val"],
                                         config.operating_point)
  tables = {part: scoring.tabulate(p, thresholds, data.class_names,
                                   config.false_alarm_rates)
            for part, p in predictions.items()}
  scores = {part: scoring.judge(rows, config.bootstrap)
            for part, rows in tables.items()}
  stored_predictions.save_predictions(
      work.path / "predictions.npz", tables["test"])
  history = [dict(row) for row in state.history]
  history[state.kept_row]["kept"] = True
  steps = {**steps, "best": state.best["updates"]}
  if state.best.get("refit"):
    steps["best_is_refit"] = True
  if state.best.get("averaged"):
    steps["averaged"] = state.best["averaged"]
  result = {
      "config": json.loads(config.public().to_json()),
      **provenance.environment(),
      **({"model_sha256": kept_model.sha256(kept_model.find(work.path))}
         if kept_model.find(work.path) else {}),
      "data": {part: len(r) for part, r in data.records.items()},
      **({"groups": data.split["groups"]} if "groups" in data.split else {}),
      **({"clips": data.clips} if data.clips else {}),
      "steps": steps,
      "seconds": round(seconds(), 1), "peak_gib": round(peak_memory(), 2),
      "thresholds": thresholds,
      **_operating_point(config, data, predictions["val"]),
      "skipped_images": len(data.images.bad),
      **_dead_maps(predictions["test"]), **scores,
      **scoring.clip_level(predictions["test"], thresholds),
      "history": history}
  _draw(result, predictions["val"], data, work, validator)
  if validator.losses:
    result["head"] = _head(predictor.classifier.attention, validator, data)
  work.save_result(result)
  return result


def _dead_maps(predictions):
  """{"dead_maps": number of test images with a constant Grad-CAM}, and a note.

  {} for a network whose consistency is not measured.
  """
  if predictions.dead is None:
    return {}
  count = int(predictions.dead.sum())
  if count:
    print(f"note: Grad-CAM of the predicted class is constant for {count} of "
          f"{len(predictions.dead)} test images", flush=True)
  return {"dead_maps": count}


def _operating_point(config, data, predictions):
  """{"operating_point": how it was chosen} of two classes, else {}."""
  label = predictions.label
  if not classification.is_binary(label, data.multi_label):
    return {}
  chosen = operating_point.choose(
      label[:, 1], predictions.probability[:, 1], config.operating_point)
  return {"operating_point": {
      **chosen, "class": data.class_names[1],
      "positives": int(label[:, 1].sum()),
      "negatives": int(label[:, 0].sum())}}


def _draw(result, predictions, data, work, validator):
  """Writes the figures and `tb/kept`, all of the kept weights.

  Args:
    result: the dict of result.json.
    predictions: `predictor.Predictions` of the validation images.
    data, work, validator: see `finish`.
  """
  followed = ["val_loss", "val_cross_entropy", "val_area"] if (
      validator.losses) else ["val_map_macro", "val_f1_macro", "val_loss"]
  work.save_figure("history", canvas.to_png(score_plots.curves(
      result["history"], followed, result["steps"].get("objective_from", 0)),
      dpi=110))
  curves = {part: result[part]["roc"] for part in ("val", "test")
            if "roc" in result[part]}
  if curves:
    points = {part: result[part]["operating_point"] for part in curves}
    work.save_figure("roc", canvas.to_png(
        score_plots.roc(curves, points), dpi=110))
  if not data.multi_label:
    work.save_figure("confusion", canvas.to_png(score_plots.confusion(
        result["test"]["confusion"], data.class_names), dpi=110))
  figure = validator.figure if validator.config.summary_images else None
  if figure:
    work.save_figure("maps", canvas.to_png(validator.verdicts(
        result["thresholds"].get("positive")), dpi=110))
    work.save_figure("maps_in_detail", canvas.to_png(figure(), dpi=110))
  # A run of its own in TensorBoard: its point stands in every curve.
  (row,) = [r for r in result["history"] if "kept" in r]
  board = tensorboard_writer.Summaries(
      work.path / "tb" / "kept", figure,
      {"kept": kept_weights.judged(result)[1]})
  board.on_train_begin()
  board.on_epoch_end(row["step"], {
      name: value for name, value in row.items()
      if name not in ("step", "kept", "refit", "averaged")})
  board.on_predictions(row["step"], predictions.label, predictions.probability,
                       data.class_names, data.multi_label,
                       threshold=result["thresholds"].get("positive"))
  board.on_train_end()


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
  import resource  # absent on Windows, where no run comes so far
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak / (2**30 if sys.platform == "darwin" else 2**20)
