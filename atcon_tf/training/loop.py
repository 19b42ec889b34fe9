"""One run from data to result: the steps of its plan, and what they need."""

import dataclasses
import functools
import os
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.data import class_masks
from atcon_tf.data import label_pairs
from atcon_tf.data import pipeline
from atcon_tf.evaluation import predictor
from atcon_tf.objectives import base
from atcon_tf.objectives import build
from atcon_tf.runs.run_classifier import build_classifier
from atcon_tf.runs.run_classifier import with_image_size
from atcon_tf.runs import run_data
from atcon_tf.runs import run_folder
from atcon_tf.runs.warm_start import start_weights
from atcon_tf.training import optimizers
from atcon_tf.training import pseudo_labels
from atcon_tf.training import results
from atcon_tf.training import schedule
from atcon_tf.training import trainer
from atcon_tf.training import validation


def train_and_evaluate(config, workdir, overwrite=False):
  """Trains, keeps the best weights, and tests them.

  The best are those of the highest mAP on validation images; of a run that
  trains an explanation head, those of the lowest loss there.

  Args:
    config: a resolved `config.Config`.
    workdir: folder of the run; see `runs`. A run that was interrupted there
      is continued.
    overwrite: start anew where there is a run.
  Returns:
    what result.json holds.
  Raises:
    UserError: one line on what is wrong with settings, data or folder.
  """
  config = with_image_size(config)
  work = run_folder.Workdir(workdir, config, overwrite)
  try:
    return Training(config, work.path / "splits.json").run(work)
  finally:
    work.close()

# Numbers of the random streams of a seed.
STREAMS = {base.SUPERVISED: 1, base.CONSISTENCY: 2}


class Training:
  """One run from data to result; `atcon_tf.find_lr` takes its steps, too."""

  def __init__(self, config, splits, like=None):
    """Data, model, objectives and optimisers, as the settings say.

    Args:
      config: a resolved `Config` with an image size.
      splits: path of the run's splits.json; written if it is not there.
      like: a `Training` that is over and differs by seed and shots alone:
        its images and its compiled steps are used again, with the values of
        this one. The outcome is the same, sooner.
    """
    if like and not same_but_for_seed(config, like.config):
      raise ValueError("like: differs by more than seed and shots")
    for name in ("weights", "warm_start", "splits"):
      value = getattr(config, name)
      if value not in ("", "none", "imagenet") and not os.path.exists(value):
        raise UserError(name, value, "no such file")
    self.config = config
    self.interactive = sys.stderr.isatty()
    keras.utils.set_random_seed(config.seed)
    self.data = run_data.load(config, splits, self.interactive,
                              like and like.data.images)
    self.columns = self._columns()
    with trainer.make_strategy().scope():
      self._build()
    if like:
      self._take_the_place_of(like)
    self.plan = self._plan()
    self.bank = None

  def _columns(self):
    """What a batch of labelled images holds beside them."""
    config, records = self.config, self.data.records["train_labeled"]
    columns = {"label": np.stack([r.label for r in records])}
    if config.ex_weight:
      columns["mask"] = class_masks.ClassMasks(
          records, config.image_size, config.ex_masks, config.ex_fraction,
          config.split_seed)
    return columns

  def _build(self):
    """The classifier, its objectives and optimisers."""
    config, data = self.config, self.data
    prior = self.columns["label"].mean(0)

    def classifier():
      return build_classifier(config, len(data.class_names),
                              data.multi_label, prior=prior)

    self.classifier, teacher = classifier(), None
    if config.warm_start:
      start_weights(self.classifier, config.warm_start)
    elif self.classifier.attention and self.classifier.head_variables:
      raise UserError("model", config.model,
                      "its logits are not of the data's "
                      f"{len(data.class_names)} classes; "
                      f"--objective={config.objective} explains a classifier "
                      "that is trained")
    if config.teacher == "ema":
      teacher = classifier()
      teacher.model.set_weights(self.classifier.model.get_weights())
    self.predictor = predictor.Predictor(
        self.classifier, data.multi_label, config.eval_batch_size,
        config.xla)
    built = build(self.classifier, config, data.multi_label,
                  teacher)
    optimizer, groups = optimizers.build(config, built)
    # A head learns the statistics of its own BatchNorm alone.
    batch_norm = "train" if self.classifier.attention else config.batch_norm
    self.trainer = trainer.Trainer(self.classifier, built, optimizer,
                                   batch_norm, groups)
    self.variables = trainer.named_variables(self.trainer)

  def _take_the_place_of(self, like):
    """Goes on with another's variables and all that is compiled over them."""
    for mine, its in zip(self.variables.values(), like.variables.values(),
                         strict=True):
      its.assign(mine)
    for name in ("classifier", "predictor", "trainer", "variables"):
      setattr(self, name, getattr(like, name))

  def _plan(self):
    """The kinds of all steps, and which kind --steps counts."""
    config = self.config
    kind = config.schedule
    if base.CONSISTENCY not in self.trainer.objectives:
      kind = "supervised"
    share = config.supervised_share
    if config.alpha:
      share = schedule.supervised_share(
          config.alpha, len(self.data.records["train_labeled"]),
          len(self.data.records["train_unlabeled"]))
    self.counted = (base.CONSISTENCY if kind == "consistency"
                    else base.SUPERVISED)
    delay = config.bank_every if self._has_bank else 0
    return schedule.plan(kind, config.steps, share, config.seed, delay)

  @property
  def _has_bank(self):
    return hasattr(self.trainer.objectives.get(base.CONSISTENCY), "bank")

  def run(self, work):
    """Trains what is left to train in a `runs.Workdir`, then tests."""
    self.work, started = work, time.time()
    state = self._resume()
    before = state["seconds"]
    self.seconds = lambda: before + time.time() - started
    watcher = validation.Validator(
        self.config, self.data, self.predictor, self.work, self.interactive,
        self._losses if self.classifier.attention else None)
    try:
      self._loop(state, watcher)
    except FloatingPointError as error:
      raise UserError(
          f"stopped after {state['updates']} updates: {error}; try lower "
          "learning rates") from error
    except tf.errors.ResourceExhaustedError as error:
      raise UserError(
          "batch_size", self.config.batch_size,
          f"with --image_size={self.config.image_size} more than the memory "
          "holds; try a smaller one, also of --unlabeled_batch_size or --eval_batch_size"
          ) from error
    finally:
      watcher.close()
    return results.finish(self.config, self.data, self.predictor, self.work,
                          watcher, state, self.plan, self.seconds)

  def _resume(self):
    """Where the run stands; its variables are as they were then."""
    state, arrays = self.work.load_checkpoint(self.variables)
    if state is None:
      count = {part: len(r) for part, r in self.data.records.items()}
      print(f"{self.config.objective}: {self.config.model}, "
            f"{count['train_labeled']} labelled and "
            f"{count['train_unlabeled']} other training images, "
            f"{self.config.steps} updates", flush=True)
      return {"step": 0, "updates": 0, "seconds": 0.0, "best": None,
              "history": [], "sums": {}}
    print(f"continuing after {state['updates']} of {self.config.steps} "
          "updates", flush=True)
    if "bank" in state:
      self.bank = pseudo_labels.PseudoLabels(**arrays, **state["bank"])
    return state

  def _save(self, state):
    arrays = {}
    if self.bank:
      arrays = {"label": self.bank.label, "weight": self.bank.weight}
      state["bank"] = {"first": self.bank.first, "updates": self.bank.updates}
    state["seconds"] = self.seconds()
    self.work.save_checkpoint(self.variables, state, arrays)

  def _loop(self, state, watcher):
    config = self.config
    bar = keras.utils.Progbar(config.steps, verbose=int(self.interactive),
                              unit_name="update")
    if config.evaluate_first and not state["step"]:
      watcher.follow(state)
    for kinds, logs in self.steps(state):
      for name, value in logs.items():
        total, count = state["sums"].get(name, (0.0, 0))
        state["sums"][name] = total + value, count + 1
      if self.counted not in kinds:
        continue
      bar.update(state["updates"])
      last = state["updates"] == config.steps
      best = state["best"]
      watcher.follow(state)
      # The best weights are never those of a later step than the checkpoint.
      if last or state["best"] is not best or (
          state["updates"] % config.checkpoint_every == 0):
        self._save(state)

  def steps(self, state):
    """Takes the steps of the plan that are left, one each time it is asked.

    Args:
      state: "step" and "updates", where the run stands; brought up to date.
    Yields:
      `(kinds of the step, {"loss" and each term: float})`.
    Raises:
      FloatingPointError: the loss is not finite.
    """
    done = {kind: sum(kind in step for step in self.plan[:state["step"]])
            for kind in STREAMS}
    streams = {kind: self._stream(kind, done[kind]) for kind in STREAMS}
    for number in range(state["step"], len(self.plan)):
      kinds = self.plan[number]
      if self._bank_is_due(kinds, state["updates"]):
        self.bank = pseudo_labels.score(
            self.trainer.objectives[base.CONSISTENCY], self.predictor,
            self.data.images, self.data.records["train_unlabeled"],
            done[base.CONSISTENCY], state["updates"])
        streams[base.CONSISTENCY] = self._stream(
            base.CONSISTENCY, done[base.CONSISTENCY])
      logs = self.trainer.run({k: next(streams[k]) for k in kinds})
      for kind in kinds:
        done[kind] += 1
      state["step"] = number + 1
      state["updates"] += self.counted in kinds
      yield kinds, logs

  def _losses(self, records):
    """The objective's mean loss and terms on records."""
    batches = pipeline.evaluation_batches(self.data.images, records,
                                          self.config.eval_batch_size)
    return self.trainer.losses(base.SUPERVISED, (
        {"image": tf.constant(pixels),
         "label": tf.constant(np.stack([r.label for r in part]), tf.float32)}
        for part, pixels in batches))

  def _bank_is_due(self, kinds, updates):
    return self._has_bank and base.CONSISTENCY in kinds and (
        self.bank is None
        or updates - self.bank.updates >= self.config.bank_every)

  def _stream(self, kind, start):
    """Batches of a kind of step, from number `start` on."""
    config, data = self.config, self.data
    stop = sum(kind in step for step in self.plan)
    if start >= stop:
      return iter(())
    if kind == base.CONSISTENCY and self._has_bank:
      if self.bank is None:
        return iter(())  # comes with the first bank
      batches = self.bank.batches(data.images,
                                  data.records["train_unlabeled"], config,
                                  start, stop)
    elif self.trainer.objectives[kind].paired:
      batches = label_pairs.training_batches(data.images,
                                             data.records["train_labeled"], config,
                                             STREAMS[kind], start, stop)
    else:
      supervised = kind == base.SUPERVISED
      part = "train_labeled" if supervised else "train_unlabeled"
      size = (config.batch_size if supervised
              else config.unlabeled_batch_size)
      columns = self.columns if supervised else None
      if part == "train_unlabeled" and config.unlabeled != "labeled":
        # The data may know their labels; no loss is told.
        columns = {"label": np.zeros([len(data.records[part]),
                                      len(data.class_names)], np.float32)}
      batches = pipeline.training_batches(
          data.images, data.records[part], size, config.seed, STREAMS[kind],
          start, stop, config.augment, columns,
          choose=self._balanced() if supervised else None)
    return iter(batches)

  def _balanced(self):
    """How each batch gets its share of positives; None: as they come."""
    config, records = self.config, self.data.records["train_labeled"]
    if not config.batch_positive_share:
      return None
    positive = np.array([r.label[1] > 0 for r in records])
    return functools.partial(
        pipeline.balanced_order, positive, config.batch_positive_share,
        config.batch_size, config.seed, STREAMS[base.SUPERVISED])


def same_but_for_seed(one, other):
  """Whether two configs differ by seed, shots and split alone."""
  free = dict(seed=0, split_seed=0, shots=0, splits="")
  return dataclasses.replace(one, **free) == dataclasses.replace(
      other, **free)
