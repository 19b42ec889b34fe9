"""The batches of each kind of step.

Batch k of a stream is a function of (seed, stream, k) and, if an objective
ranks the pool, of the pseudo-labels. So a resumed run has the same batches,
and a run of another objective has the same labelled batches.
"""

import functools

import numpy as np

from atcon_tf.data import label_pairs
from atcon_tf.data import pipeline
from atcon_tf.objectives.base import CONSISTENCY
from atcon_tf.objectives.base import SUPERVISED
from atcon_tf.training.pseudo_labels import STREAM as POOL

# The number of each stream.
STREAMS = {SUPERVISED: 1, CONSISTENCY: 2}


def batches(kind, objective, data, config, start, stop, pseudo_labels=None):
  """Batches `start` to `stop` of a kind of step.

  Args:
    kind: SUPERVISED or CONSISTENCY.
    objective: the `Objective` of that kind.
    data: the run's `run_data.RunData`.
    config: a resolved `Config`.
    start, stop: number of the first batch, and of the first one left out;
      there are no batches if `start` is not below `stop`.
    pseudo_labels: the `PseudoLabels` of an objective that ranks the pool;
      None: the pool is not ranked yet, and such an objective has no batches.
  Returns:
    an iterator of batches.
  """
  if start >= stop:
    return iter(())
  pool = data.records["train_unlabeled"]
  labeled = data.records["train_labeled"]
  if kind == CONSISTENCY and objective.pseudo_labels:
    if pseudo_labels is None:
      return iter(())
    return iter(pseudo_labels.batches(data.images, pool, config, start, stop))
  if objective.paired:
    return iter(label_pairs.training_batches(
        data.images, labeled, config, STREAMS[kind], start, stop))
  if kind == SUPERVISED:
    return iter(pipeline.training_batches(
        data.images, labeled, config.batch_size, config.seed, STREAMS[kind],
        start, stop, config.augment,
        objective.columns(labeled, config.image_size),
        choose=_balanced(labeled, config)))
  columns = None
  if config.unlabeled != "labeled":
    # The data may have labels of the pool; no loss may use them.
    columns = {"label": np.zeros([len(pool), len(data.class_names)],
                                 np.float32)}
  return iter(pipeline.training_batches(
      data.images, pool, config.unlabeled_batch_size, config.seed,
      STREAMS[kind], start, stop, config.augment, columns))


def ids(kind, objective, data, config, number, pseudo_labels=None):
  """The ids of the images of a batch, of pairs those of the first ones.

  Args:
    kind, objective, data, config, pseudo_labels: see `batches`.
    number: of the batch.
  """
  records, size = data.records["train_labeled"], config.batch_size
  stream, choose = STREAMS[kind], None
  if kind == CONSISTENCY and not objective.paired:
    records, size = data.records["train_unlabeled"], (
        config.unlabeled_batch_size)
    if objective.pseudo_labels:
      if pseudo_labels is None:
        return []
      records = [records[i] for i in np.flatnonzero(
          pseudo_labels.label.any(1))]
      stream = POOL
  elif not objective.paired:
    choose = _balanced(records, config)
  order = choose(number) if choose else pipeline.order(
      len(records), size, config.seed, stream, number)
  return [records[i].id for i in order]


def _balanced(records, config):
  """The `choose` of balanced batches; None: batches are not balanced."""
  if not config.batch_positive_share:
    return None
  positive = np.array([r.label[1] > 0 for r in records])
  return functools.partial(
      pipeline.balanced_order, positive, config.batch_positive_share,
      config.batch_size, config.seed, STREAMS[SUPERVISED])
