"""Trains one run from data to result, by the steps of its plan."""

import contextlib
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import objectives
from atcon_tf.config.progress import Progress
from atcon_tf.config import StartAgain
from atcon_tf.config import UserError
from atcon_tf.data import pipeline
from atcon_tf.objectives import supervised
from atcon_tf.objectives.base import Task
from atcon_tf.reports import kept_weights
from atcon_tf.training import execution
from atcon_tf.training import first_lines
from atcon_tf.training import guards
from atcon_tf.training import head_start
from atcon_tf.training import optimizers
from atcon_tf.training import preemption
from atcon_tf.training import pseudo_labels
from atcon_tf.training import results
from atcon_tf.training import run_state
from atcon_tf.training import schedule
from atcon_tf.training import strategies
from atcon_tf.training import streams
from atcon_tf.training import weight_choice
from atcon_tf.training.run_state import RunState
from atcon_tf.training.schedule import CONSISTENCY
from atcon_tf.training.schedule import SUPERVISED
from atcon_tf.training.trainer import Trainer
from atcon_tf.training.trainer import named_variables
from atcon_tf.training.validation import Validator
from atcon_tf.training.worker_group import WorkerGroup


class Training:
  """One run; `studies/learning_rate_range.py` takes its steps as well.

  Attributes:
    saved: the updates in the last checkpoint; None: there is none yet.
  """

  saved = None

  def __init__(self, config, data, classifier=None, like=None, strategy=None):
    """Builds the model, its objectives and optimisers.

    Args:
      config: a resolved `Config` with an image size.
      data: a `run_data.RunData`.
      classifier: the `models.Classifier` to train; None: the settings
        describe it.
      like: see `prepare`.
      strategy: see `strategies.make`; None: "auto", or for a classifier that
        was built before the strategy of that time.
    """
    self.config, self.data = config, data
    self.interactive = sys.stderr.isatty()
    keras.utils.set_random_seed(config.seed)
    if strategy is None:
      strategy = tf.distribute.get_strategy() if classifier else (
          strategies.make())
    self.group = WorkerGroup(strategy)
    with strategy.scope():
      self._build(classifier)
    if like:
      self._take_the_place_of(like)
    delay = config.bank_every if self._ranks and (
        config.start != "ranked_probe") else 0
    self.plan, self.counted = schedule.of_run(
        config, data.records, self.trainer.objectives, delay)

  def _build(self, classifier):
    config, data = self.config, self.data
    self.classifier = classifier or execution.described(
        config, data)
    if self.classifier.attention and self.classifier.head_variables and (
        not config.warm_start):
      raise UserError(
          "model", config.model,
          f"its logits are not of the data's {len(data.class_names)} "
          f"classes; --objective={config.objective} explains a trained "
          "classifier")
    trained = execution.of_steps(self.classifier, config)
    self.class_prior = None
    if config.start == "ranked_probe" or config.class_prior:
      self.class_prior = head_start.class_prior(config, data)
    weights = None
    if config.class_weights == "balanced":
      weights = supervised.balanced(np.stack([
          r.label for r in data.records["train_labeled"]]), data.multi_label)
    built = objectives.build(
        trained, config,
        Task(data.multi_label, self.class_prior, weights), self._twin)
    optimizer, groups = optimizers.build(config, self.classifier, built)
    # With a head, only the head's own BatchNorm layers learn statistics.
    batch_norm = "train" if self.classifier.attention else config.batch_norm
    self.trainer = Trainer(trained, built, optimizer, batch_norm, groups,
                           config.xla == "steps")
    changed = [v for group in groups.values() for v in group]
    if not config.trains:
      changed = self.classifier.head_variables
    self.predictor = execution.predictor(
        config, data, self.classifier, trained,
        changed if batch_norm == "freeze" else None, self.group)
    self.variables = named_variables(self.trainer)

  def _twin(self):
    """A second classifier with the same weights, for a teacher."""
    twin = execution.described(self.config, self.data)
    twin.model.set_weights(self.classifier.model.get_weights())
    return execution.of_steps(twin, self.config)

  def _take_the_place_of(self, like):
    """Uses the variables, with own values, and the compiled steps of `like`."""
    for own, other in zip(self.variables.values(), like.variables.values(),
                          strict=True):
      other.assign(own)
    if self._ranks:
      like.trainer.objectives[CONSISTENCY].class_prior = self.class_prior
    for name in ("classifier", "predictor", "trainer", "variables"):
      setattr(self, name, getattr(like, name))

  @property
  def _ranks(self):
    """Whether the objective ranks the unlabelled pool."""
    objective = self.trainer.objectives.get(CONSISTENCY)
    return objective is not None and objective.pseudo_labels is not None

  def run(self, work):
    """Takes the remaining steps in a `run_folder.Workdir`, then tests.

    Returns:
      the dict of result.json on the chief; None in the other processes.
    Raises:
      StartAgain: SIGTERM has come; the checkpoint is of the step before.
    """
    self.work, started, config = work, time.time(), self.config
    state = self._resume()
    before = state.seconds
    self.seconds = lambda: before + time.time() - started
    validator = Validator(
        self.config, self.data, self.predictor, self.work, self.interactive,
        self.trainer.objectives,
        self._losses if self.classifier.attention else None, self.group)
    with guards.explained(self, state), contextlib.closing(validator):
      if not state.step and not state.history:
        self.begin(state, validator)
      self._loop(state, validator)
      if config.keep == "average" and not state.mean_taken:
        self._take_mean(state, validator)
      if config.refit == "on" and self._fits_head and not state.refit:
        self._refit(state, validator)
    if not self.group.chief:
      return None
    return results.finish(self.config, self.data, self.predictor, self.work,
                          validator, state, schedule.summary(
                              self.plan, state.step, self.counted,
                              self.trainer.objectives), self.seconds)

  def _resume(self):
    """Restores the last checkpoint, and returns its `RunState`."""
    state = run_state.restored(self.work, self.variables, self.group,
                               self.config.seed)
    if state is None:
      print(*first_lines.of(self.config, self.data, self.classifier,
                            self.group.count), sep="\n", flush=True)
      return RunState()
    self.saved = state.updates
    print(f"continuing after {state.updates} of {self.config.steps} updates",
          flush=True)
    return state

  def begin(self, state, validator=None):
    """Fits a new head on the frozen features if --start asks for a probe.

    Args:
      state: the `RunState` of a run that has not begun.
      validator: a `Validator`; None: the probe is not validated.
    """
    config = self.config
    started = config.start != "prior"
    if self._fits_head:
      line, pool = head_start.begin(
          self.classifier, self.data, config, self.class_prior,
          ranked=config.start == "ranked_probe", cache=config.feature_cache,
          prefix=self.predictor.prefix_of(self.classifier), group=self.group)
      print(line, flush=True)
      self.group.follow(self.variables.values())
      if self._ranks and pool is not None:
        state.pseudo_labels = self._rank(0, state, *self.group.copies([pool]))
    elif started:
      print(f"note: the head of {config.model} is kept; --start="
            f"{config.start} applies to a new head only", flush=True)
    if validator and (started or config.evaluate_first):
      validator.follow(state, keep=started)
      self._save(state)

  @property
  def _fits_head(self):
    """Whether the run fits a probe; a head of a model's own is kept."""
    return self.config.start != "prior" and (
        bool(self.classifier.head_variables) or not self.config.trains)

  def _refit(self, state, validator):
    """Fits the head again, on the features of the trained backbone."""
    line, _ = head_start.begin(
        self.classifier, self.data, self.config, self.class_prior, ranked=True,
        prefix=self.predictor.prefix_of(self.classifier), group=self.group)
    print(f"again: {line}", flush=True)
    self.group.follow(self.variables.values())
    state.refit, before = True, state.best
    validator.validate(state)
    print(kept_weights.refitted(state.history[-1], before, state.best),
          flush=True)
    self._save(state)

  def _take_mean(self, state, validator):
    """Replaces the weights by their mean over the last updates."""
    for variable, value in zip(weight_choice.floating(self.classifier),
                               state.mean, strict=True):
      variable.assign(value.astype(variable.dtype))
    state.mean_taken = True
    validator.validate(state)
    self._save(state)

  def _save(self, state):
    """Writes the checkpoint."""
    state.seconds = self.seconds()
    self.work.save_checkpoint(self.variables, *state.to_arrays())
    self.saved = state.updates

  def _loop(self, state, validator):
    config = self.config
    judged = sum(len(self.data.records[part]) for part in ("val", "test"))
    bar = Progress(config.steps, "updates", done=state.updates,
                   then=f"{judged} {'clips' if config.frames else 'images'} "
                   "are scored")
    steps = () if state.out_of_patience(config) else (
        self.steps(state, fetch=False))
    with preemption.watched() as asked:
      for kinds, logs in steps:
        state.add(logs)
        if self.counted in kinds:
          bar.update(state.updates)
          if self._ends_after(state, validator):
            break
        if self.group.any(asked()):
          self._save(state)
          raise StartAgain(f"stopped by SIGTERM after {state.updates} "
                           "updates; the same command continues")
    bar.close()

  def _ends_after(self, state, validator):
    """What follows an update; whether --patience ends the training here."""
    config = self.config
    if config.keep == "average":
      weight_choice.average(state, config.steps, self.classifier)
    last = state.updates == config.steps
    kept = validator.follow(state)
    early = not last and state.out_of_patience(config)
    # A checkpoint follows new best weights, so that they never belong to a
    # later step than the checkpoint.
    if last or early or kept or state.updates % config.checkpoint_every == 0:
      self._save(state)
    if early:
      print(f"stopped after {state.updates} of {config.steps} updates: "
            f"{config.patience} validations without better weights",
            flush=True)
    return early

  def steps(self, state, fetch=True):
    """Takes the remaining steps of the plan, one for each iteration.

    Args:
      state: a `RunState`, which is updated.
      fetch: wait for the losses of each step; otherwise they are scalars on
        the device, and the next step may begin before they are known.
    Yields:
      `(kinds of the step, {"loss" and each term: float})`.
    Raises:
      FloatingPointError: with `fetch`, the loss is not finite or exploded.
    """
    take = self.trainer.run if fetch else self.trainer.step
    done = {kind: sum(kind in step for step in self.plan[:state.step])
            for kind in streams.STREAMS}
    batches = {kind: self._batches(kind, done[kind], state)
               for kind in streams.STREAMS}
    for number in range(state.step, len(self.plan)):
      kinds = self.plan[number]
      if self._ranking_is_due(kinds, state):
        state.pseudo_labels = self._rank(done[CONSISTENCY], state)
        batches[CONSISTENCY] = self._batches(CONSISTENCY, done[CONSISTENCY],
                                             state)
      logs = take({k: next(batches[k]) for k in kinds})
      for kind in kinds:
        done[kind] += 1
      state.step = number + 1
      state.updates += self.counted in kinds
      yield kinds, logs

  def _batches(self, kind, start, state):
    """Batches of a kind of step, from number `start` on."""
    stop = sum(kind in step for step in self.plan)
    return streams.batches(kind, self.trainer.objectives.get(kind), self.data,
                           self.config, start, stop, state.pseudo_labels)

  def _ranking_is_due(self, kinds, state):
    """Whether the pool is ranked before a step of these kinds."""
    return self._ranks and CONSISTENCY in kinds and (
        state.pseudo_labels is None
        or state.updates - state.pseudo_labels.updates
        >= self.config.bank_every)

  def _rank(self, first, state, logits=None):
    """The pseudo-labels from batch `first` on; see `pseudo_labels.rank`."""
    return pseudo_labels.rank(
        self.trainer.objectives[CONSISTENCY], self.predictor,
        self.data.images, self.data.records["train_unlabeled"],
        self.config.seed, first, state.updates, logits)

  def _losses(self, records):
    """`{"loss" and each term: float}`, the objective's means on records."""
    batches = pipeline.evaluation_batches(
        self.data.images, records,
        pipeline.evaluation_size(self.config.eval_batch_size))
    return self.trainer.losses(SUPERVISED, (
        {"image": tf.constant(pixels),
         "label": tf.constant(np.stack([r.label for r in part]), tf.float32)}
        for part, pixels in batches))
