"""Trains a classifier: `python -m atcon_tf.train --workdir=RUN [flags]`.

    train_and_evaluate(Config(dataset="shapes").resolve(), "W/run")

is the whole of it, for notebooks and tests. Killed at any moment and started
again with the same settings, a run ends with the same numbers.
"""

import os
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from atcon_tf import cli
from atcon_tf import config as config_lib
from atcon_tf import datasets
from atcon_tf import objectives
from atcon_tf import pipeline
from atcon_tf import plots
from atcon_tf import results
from atcon_tf import runs
from atcon_tf import schedule
from atcon_tf import scoring
from atcon_tf import splits
from atcon_tf import summaries
from atcon_tf import trainer as trainer_lib
from atcon_tf.metrics import classification

# Numbers of the random streams of a seed.
STREAMS = {schedule.SUPERVISED: 1, schedule.CONSISTENCY: 2}
# Validation images whose consistency is followed during training.
FOLLOWED = 64


def train_and_evaluate(config, workdir, overwrite=False):
  """Trains, keeps the best weights by validation mAP, and tests them.

  Args:
    config: a resolved `config.Config`.
    workdir: folder of the run; see `runs`. A run that was interrupted there
      is continued.
    overwrite: start anew whatever is in the folder.
  Returns:
    what result.json holds.
  Raises:
    UserError: one line on what is wrong with settings, data or folder.
  """
  work = runs.Workdir(workdir, config, overwrite)
  try:
    return _Training(config, work).run()
  finally:
    work.close()


class _Training:
  """One run from data to result."""

  def __init__(self, config, work):
    self.config, self.work = config, work
    self.interactive = sys.stderr.isatty()
    keras.utils.set_random_seed(config.seed)
    self._load_data()
    strategy = trainer_lib.make_strategy()
    with strategy.scope():
      self._build()

  def _load_data(self):
    config = self.config
    data = datasets.load(config)
    everything = [r for part in data.splits.values() for r in part]
    self.images = pipeline.Images(everything, config.image_size,
                                  config.max_bad_images, self.interactive)
    for path, why in self.images.bad.items():
      print(f"skipped {path}: {why}", flush=True)
    data = datasets.keep(data, self.images)
    stored = self.work.path / "splits.json"
    if stored.exists():
      split = splits.read(stored, data)
    elif config.splits:
      split = splits.read(config.splits, data)
    else:
      split = splits.make(data, config.shots, config.unlabeled,
                          config.split_seed, config.single_label_only)
    self.split = {**split, "class_names": list(data.class_names),
                  "multi_label": data.multi_label}
    splits.save(self.split, stored)
    self.data = data
    by_id = {r.id: r for part in data.splits.values() for r in part}
    self.records = {
        part: [by_id[i] for i in self.split[part]]
        for part in ("train_labeled", "train_unlabeled", "val", "test")}

  def _build(self):
    config = self.config
    label = np.stack([r.label for r in self.records["train_labeled"]])
    self.classifier = runs.build_classifier(
        config, len(self.data.class_names), self.data.multi_label,
        prior=label.mean(0))
    if config.warm_start:
      runs.start_weights(self.classifier, config.warm_start)
    self.predictor = scoring.Predictor(
        self.classifier, self.data.multi_label, config.eval_batch_size,
        config.xla)
    built = objectives.OBJECTIVES[config.objective](
        self.classifier, config, self.data.multi_label)
    rates = {"backbone": config.learning_rate,
             "head": config.head_learning_rate}
    if schedule.CONSISTENCY in built:
      rates["consistency"] = config.consistency_learning_rate
    self.trainer = trainer_lib.Trainer(
        self.classifier, built,
        {name: keras.optimizers.Adam(rate, name=name)
         for name, rate in rates.items()}, config.batch_norm)
    kind = ("supervised" if schedule.CONSISTENCY not in built
            else config.schedule)
    labeled, unlabeled = (len(self.records[part]) for part in
                          ("train_labeled", "train_unlabeled"))
    if kind != "supervised" and not unlabeled:
      raise config_lib.UserError(
          f"--objective={config.objective}: no unlabelled images are left; "
          "use fewer --shots, or --unlabeled=labeled")
    share = config.supervised_share
    if config.alpha:
      share = schedule.supervised_share(config.alpha, labeled, unlabeled)
    self.plan = schedule.plan(kind, config.steps, share, config.seed)
    # The kind of step that --steps, --eval_every and the others count.
    self.counted = (schedule.CONSISTENCY if kind == "consistency"
                    else schedule.SUPERVISED)

  # Training.

  def run(self):
    """Trains what is left to train, then tests."""
    started = time.time()
    self.variables = runs.named_variables(self.trainer)
    state = self.work.load_checkpoint(self.variables) or {
        "step": 0, "updates": 0, "seconds": 0.0, "best": None, "history": [],
        "sums": {}}
    if state["step"]:
      print(f"continuing after {state['updates']} of {self.config.steps} "
            "updates", flush=True)
    elapsed = state["seconds"]
    callback = self._summaries()
    callback.on_train_begin()
    try:
      self._loop(state, callback, lambda: elapsed + time.time() - started)
    except FloatingPointError as error:
      raise config_lib.UserError(
          f"stopped after {state['updates']} updates: {error}; try lower "
          "learning rates") from error
    finally:
      callback.on_train_end()
    return self._finish(state, lambda: elapsed + time.time() - started)

  def _loop(self, state, callback, seconds):
    config = self.config
    done = self.plan[:state["step"]]
    streams = {kind: iter(self._batches(kind, sum(kind in s for s in done)))
               for kind in {k for step in self.plan for k in step}}
    bar = keras.utils.Progbar(config.steps, verbose=int(self.interactive),
                              unit_name="update")
    for number in range(state["step"], len(self.plan)):
      kinds = self.plan[number]
      logs = self.trainer.run({k: next(streams[k]) for k in kinds})
      for name, value in logs.items():
        if name != "loss":
          total, count = state["sums"].get(name, (0.0, 0))
          state["sums"][name] = total + value, count + 1
      state["step"] = number + 1
      if self.counted not in kinds:
        continue
      state["updates"] += 1
      bar.update(state["updates"])
      last = state["updates"] == config.steps
      if last or state["updates"] % config.eval_every == 0:
        self._validate(state, callback)
      if last or state["updates"] % config.checkpoint_every == 0:
        state["seconds"] = seconds()
        self.work.save_checkpoint(self.variables, state)

  def _batches(self, kind, start):
    config = self.config
    supervised = kind == schedule.SUPERVISED
    part = "train_labeled" if supervised else "train_unlabeled"
    size = (config.batch_size if supervised
            else config.unlabeled_batch_size)
    stop = sum(kind in step for step in self.plan)
    return pipeline.training_batches(
        self.images, self.records[part], size, config.seed, STREAMS[kind],
        start, stop, config.augment)

  def _validate(self, state, callback):
    """Scores the validation images; keeps the weights if they are best."""
    means = {name: total / count
             for name, (total, count) in state["sums"].items()}
    state["sums"] = {}
    records = self.records["val"]
    probability = self.predictor.probabilities(self.images, records)
    label = np.stack([r.label for r in records])
    threshold = classification.best_threshold(
        label, probability) if self.data.multi_label else None
    scores = classification.evaluate(label, probability, threshold,
                                     self.data.multi_label)
    followed = self.predictor.predict(self.images, records[:FOLLOWED])
    if followed.consistency is not None:
      scores["consistency"] = float(followed.consistency.mean())
      scores["consistency_raw"] = float(followed.consistency_raw.mean())
    row = {**means, **{f"val_{name}": v for name, v in scores.items()}}
    updates = state["updates"]
    state["history"].append({"step": updates, **row})
    callback.on_epoch_end(updates, row)
    if state["best"] is None or scores["map_macro"] > state["best"]["score"]:
      state["best"] = {"updates": updates, "score": scores["map_macro"]}
      self.work.save_best(self.classifier.model)
    self._say(state, row)

  def _say(self, state, row):
    if self.interactive:
      return
    shown = [f"{name} {row[name]:.4f}" for name in (
        "supervised", "consistency", "val_map_macro", "val_f1_macro",
        "val_consistency") if name in row]
    print(f"{state['updates']}/{self.config.steps}  " + "  ".join(shown),
          flush=True)

  def _shown(self):
    """The fixed validation images in TensorBoard and in the figures."""
    records = self.records["val"]
    step = max(1, len(records) // max(1, self.config.summary_images))
    records = records[::step][:self.config.summary_images]
    rows = self.images.rows([r.id for r in records])
    return self.images.pixels[rows].astype(np.float32) / 255, records

  def _summaries(self):
    texts = {"settings": self.config.to_json(),
             "flags": self.config.to_flags()}
    return summaries.Summaries(
        self.work.path / "tb", self._figure if self.config.summary_images
        else None, texts)

  def _figure(self):
    images, records = self._shown()
    mask = {}
    if self.config.objective == "atcon":
      mask = {"mask_intensity": self.config.mask_intensity,
              "mask_scale": self.config.mask_scale}
    return summaries.story_figure(self.classifier, images, records,
                                  self.data.class_names, **mask)

  # The result.

  def _finish(self, state, seconds):
    """Tests the best weights and writes what the run leaves behind."""
    config = self.config
    self.classifier.model.load_weights(self.work.best_weights)
    predictions = {}
    for part in ("val", "test"):
      print(f"scoring {part} ({len(self.records[part])} images)", flush=True)
      predictions[part] = self.predictor.predict(
          self.images, self.records[part], self.interactive)
    thresholds = scoring.choose_thresholds(predictions["val"])
    tables = {part: scoring.tabulate(p, thresholds, self.data.class_names)
              for part, p in predictions.items()}
    scores = {part: scoring.judge(table, config.bootstrap)
              for part, table in tables.items()}
    results.save_predictions(self.work.path / "predictions.npz",
                             tables["test"])
    figures = {"history": plots.curves(
        state["history"], ["val_map_macro", "val_f1_macro"])}
    if config.summary_images:
      figures["maps"] = self._figure()
    for name, figure in figures.items():
      self.work.save_figure(name, plots.to_png(figure, dpi=110))
    result = {
        "config": runs.as_dict(config), **runs.environment(),
        "data": {part: len(r) for part, r in self.records.items()},
        "steps": {"supervised": sum(schedule.SUPERVISED in s
                                    for s in self.plan),
                  "consistency": sum(schedule.CONSISTENCY in s
                                     for s in self.plan),
                  "best": state["best"]["updates"]},
        "seconds": round(seconds(), 1), "thresholds": thresholds,
        "skipped_images": len(self.images.bad), **scores,
        "history": state["history"]}
    self.work.save_result(result)
    return result


def main(argv):
  """Parses the flags, trains, and prints the result."""
  del argv
  config = config_lib.from_flags()
  workdir = flags.FLAGS.workdir
  result = train_and_evaluate(config, workdir, flags.FLAGS.overwrite)
  print(results.table({os.path.basename(os.path.normpath(workdir)): result}))
  print(f"\n{workdir}: result.json, figures/, predictions.npz\n"
        f"tensorboard --logdir={workdir}/tb "
        "--samples_per_plugin=images=100")


def define_flags():
  """The flags of this command."""
  config_lib.define_flags()
  flags.DEFINE_string("workdir", "W/run", "folder of the run")
  flags.DEFINE_bool("overwrite", False, "start anew whatever is in workdir")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
