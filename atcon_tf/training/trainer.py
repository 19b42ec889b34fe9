"""The training step of every objective, for any number of replicas.

Only this file reduces a `[B]` term and counts replicas.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.models import batch_norm_folding
from atcon_tf.objectives.base import SUPERVISED
from atcon_tf.training import determinism


def named_variables(trainer):
  """`{name: variable}` of a trainer: weights, objectives, optimisers."""
  named = {f"model/{i}/{v.path}": v
           for i, v in enumerate(trainer.classifier.model.variables)}
  for kind, objective in trainer.objectives.items():
    named |= {f"{kind}/{i}": v for i, v in enumerate(
        [*objective.variables, *objective.state])}
  for name, optimizer in trainer.optimizers.items():
    named |= {f"optimizer/{name}/{i}": v
              for i, v in enumerate(optimizer.variables)}
  return named


# No mean loss of this package comes near it, unless the rates diverge.
EXPLODED = 1e4


def fetched(logs):
  """The losses of a step as floats.

  Args:
    logs: `{"loss" and each term: scalar}`, as `Trainer.step` gives.
  Raises:
    FloatingPointError: a loss is not finite, or above `EXPLODED`.
  """
  logs = {name: float(value) for name, value in logs.items()}
  if not all(map(math.isfinite, logs.values())):
    raise FloatingPointError(f"the loss is not finite: {logs}")
  if abs(logs["loss"]) > EXPLODED:
    raise FloatingPointError(f"the loss is {logs['loss']:.3g}")
  return logs


def _times(factor, tensor):
  """Their product; without an operation for a factor of float32."""
  one = isinstance(factor, float) and factor == 1
  return tensor if one else factor * tensor


class Trainer(keras.Model):
  """A classifier with its objectives and optimisers.

  `train_step` works with and without `tf.distribute`, inside or outside
  `run`; build the trainer under the strategy's scope.

  Attributes:
    classifier: a `models.Classifier`.
    objectives: `{kind: Objective}`; a step takes one batch for each of its
      kinds.
    optimizers: `{name: optimizer}`. A step with a supervised part uses those
      of `groups`, by default "backbone" and "head"; any other step uses
      "consistency", which has separate moments.
  """

  def __init__(self, classifier, objectives, optimizers, batch_norm="freeze",
               groups=None, compiled=False):
    """Prepares the steps.

    Args:
      classifier, objectives, optimizers: see the attributes.
      batch_norm: "train": supervised steps use and update batch statistics;
        "freeze": every step uses the moving statistics.
      groups: `{name of an optimizer: variables}` for steps with a supervised
        part; None: "backbone" has the backbone's variables, and "head" those
        of the new layers and of the objectives.
      compiled: whether XLA compiles the steps; several replicas are never
        compiled.
    """
    super().__init__(name="trainer")
    self.classifier = classifier
    self.network = classifier.model
    self.objectives = objectives
    self.optimizers = optimizers
    self.batch_norm = batch_norm
    self.strategy = tf.distribute.get_strategy()
    own = [v for o in objectives.values() for v in o.variables]
    new = classifier.head_variables + own
    old = classifier.backbone_variables
    groups = groups or {"backbone": old, "head": new}
    everything = [v for group in groups.values() for v in group]
    self._groups = {True: list(groups.items()),
                    False: [("consistency", everything)]}
    # Creates every variable of an optimiser before the first traced step.
    for name, variables in [*self._groups[True], *self._groups[False]]:
      if name in optimizers:
        optimizers[name].build(variables)
    self._compiled = compiled and self.strategy.num_replicas_in_sync == 1
    if batch_norm == "train" and self.strategy.num_replicas_in_sync > 1:
      for layer in self.network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
          layer.synchronized = True  # statistics of the global batch
    self._distributed_step = None
    self._terms = {kind: tf.function(o.call, reduce_retracing=True,
                                     autograph=False)
                   for kind, o in objectives.items()}
    self.built = True

  def call(self, images, training=False):
    """Logits of images in [0, 1]."""
    return self.network(images, training=training)

  def train_step(self, batches):
    """One update from one replica's part of the batches.

    Args:
      batches: `{kind: batch}`.
    Returns:
      `{"loss" and each term: this replica's share of the global mean}`:
      the sum over the replicas is the mean over the global batch.
    """
    supervised = SUPERVISED in batches
    groups = [(self.optimizers[name], variables)
              for name, variables in self._groups[supervised] if variables]
    terms, factors = {}, {}
    # The factors of float16, powers of two: of the loss, and of each group.
    scales = [optimizer.scale_loss(1.0) for optimizer, _ in groups]
    with tf.GradientTape() as tape, batch_norm_folding.shared_kernels():
      for kind, batch in batches.items():
        objective = self.objectives[kind]
        # Only supervised images update batch statistics.
        training = self.batch_norm == "train" and kind == SUPERVISED
        terms.update(objective.call(batch, training=training))
        factors.update(objective.loss_weights)
      logs = self._global_means(terms)
      logs["loss"] = loss = tf.add_n(
          [factor * logs[name] for name, factor in factors.items() if factor])
      loss = _times(scales[0], loss)
    variables = [v for _, group in groups for v in group]
    gradients = dict(zip(map(id, variables), tape.gradient(
        loss, [v.value for v in variables])))
    for (optimizer, group), scale in zip(groups, scales):
      # A variable without a gradient (the head's bias under a consistency
      # loss) is left out, because Adam moves a variable with a zero gradient.
      reached = [v for v in group if gradients[id(v)] is not None]
      optimizer.apply([_times(scale / scales[0], gradients[id(v)])
                       for v in reached], reached)
    return logs

  def _traced(self, batches):
    """The first step, which is traced."""
    self._distributed_step = tf.function(
        self._step, reduce_retracing=True, autograph=False,
        jit_compile=self._compiled)
    return self._distributed_step(batches)

  def _step(self, batches):
    """The logs of one update, summed over the replicas of all processes."""
    logs = self.strategy.run(self.train_step, [batches])
    return {name: self.strategy.reduce("SUM", value, axis=None)
            for name, value in logs.items()}

  def _global_means(self, terms):
    """This replica's share of each term's `sum(value w) / sum(w)`."""
    totals = tf.stack([tf.reduce_sum(w) for _, w in terms.values()])
    if self.strategy.num_replicas_in_sync > 1:
      totals = tf.distribute.get_replica_context().all_reduce("SUM", totals)
    return {name: tf.math.divide_no_nan(tf.reduce_sum(value * weight), total)
            for (name, (value, weight)), total
            in zip(terms.items(), tf.unstack(totals))}

  def run(self, batches):
    """One update from global batches, which waits for its losses.

    Args:
      batches: `{kind: batch}`.
    Returns:
      `{"loss" and each term: float}`.
    Raises:
      FloatingPointError: the loss is not finite.
    """
    return fetched(self.step(batches))

  def step(self, batches):
    """`run` without the wait: the losses are scalars on the device."""
    if self.strategy.num_replicas_in_sync > 1:
      batches = {k: self._split(b, k) for k, b in batches.items()}
    if self._distributed_step is None:
      logs = determinism.first_step(lambda: self._traced(batches),
                                    list(named_variables(self).values()))
    else:
      logs = self._distributed_step(batches)
    for objective in self.objectives.values():
      objective.after_update()
    return logs

  def losses(self, kind, batches):
    """The mean terms of an objective, without an update.

    Args:
      kind: kind of step of the objective.
      batches: iterable of batches of this kind; the last may be smaller.
    Returns:
      `{"loss" and each term: float}`.
    """
    objective, sums = self.objectives[kind], {}
    for batch in batches:
      for name, (value, weight) in self._terms[kind](batch).items():
        total = np.array([np.sum(value * weight), np.sum(weight)], np.float64)
        sums[name] = sums.get(name, 0) + total
    means = {name: float(total / weight)
             for name, (total, weight) in sums.items()}
    return {"loss": sum(factor * means[name] for name, factor in
                        objective.loss_weights.items() if name in means),
            **means}

  def _split(self, batch, kind):
    """Divides a global batch into nearly equal parts, one for each replica."""
    replicas = self.strategy.num_replicas_in_sync
    size = len(batch["image"])
    if size < replicas:
      flag = "batch_size" if kind == SUPERVISED else "unlabeled_batch_size"
      raise UserError(flag, size,
                      f"must be at least the number of replicas, {replicas}")
    edges = [size * i // replicas for i in range(replicas + 1)]

    def part(context):
      i = context.replica_id_in_sync_group
      return {name: value[edges[i]:edges[i + 1]]
              for name, value in batch.items()}

    return self.strategy.experimental_distribute_values_from_function(part)
