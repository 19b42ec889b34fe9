"""A run's network, and how it is computed: precision, XLA, what is kept."""

import numpy as np
import tensorflow as tf

from atcon_tf.data import pipeline
from atcon_tf.evaluation.frozen_prefix import FrozenPrefix
from atcon_tf.evaluation.predictor import Predictor
from atcon_tf.models import half_precision
from atcon_tf.models import sliced_max_pool
from atcon_tf.runs import warm_start
from atcon_tf.runs.run_classifier import build_classifier
from atcon_tf.training.worker_group import SharedPredictor


def described(config, data):
  """The classifier that the settings describe, with its first weights.

  Args:
    config: a resolved `Config`.
    data: the run's `run_data.RunData`.
  """
  prior = np.mean([r.label for r in data.records["train_labeled"]], 0)
  classifier = build_classifier(config, len(data.class_names),
                                data.multi_label, prior=prior)
  if config.warm_start:
    warm_start.start_weights(classifier, config.warm_start)
  return classifier


def of_steps(classifier, config):
  """The classifier as the steps of a run compute it, over the same variables.

  Args:
    classifier: a `models.Classifier`.
    config: a `Config` with precision, xla and tf32.
  Raises:
    UserError: the network has no half precision.
  """
  tf.config.experimental.enable_tensor_float_32_execution(config.tf32 == "on")
  if config.xla == "steps":
    classifier = sliced_max_pool.of(classifier)
  return half_precision.of(classifier, config.precision)


def predictor(config, data, classifier, trained, changed, group):
  """The `Predictor` of a run.

  Args:
    config: a resolved `Config`.
    data: the run's `run_data.RunData`.
    classifier: the `models.Classifier`, which gives scores and features.
    trained: the same from `of_steps`, which ranks images during the run.
    changed: variables that the run changes; None: any.
    group: the run's `WorkerGroup`; several processes share the images.
  """
  arguments = (classifier, data.multi_label,
               pipeline.evaluation_size(config.eval_batch_size), config.xla,
               trained)
  if group.count > 1:
    return SharedPredictor(group, *arguments)
  made = Predictor(*arguments)
  if changed is not None and not classifier.frames:
    made.keep_prefix(FrozenPrefix(trained, changed, sum(
        len(data.records[part]) for part in ("val", "train_unlabeled"))))
  return made
