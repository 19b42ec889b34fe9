"""Trains a Keras model on arrays or `tf.data` datasets.

    history = at.training.fit(
        model, labeled=(images, labels), unlabeled=more_images,
        validation=(val_images, val_labels), objective="atcon", steps=100)
    model.save("mine.keras")

`fit` changes the weights of the model itself, by the same `Training` and the
same steps as `python -m atcon_tf.train`. The model remains a plain Keras
model, which Keras saves and loads without this package.
"""

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import models
from atcon_tf.config import checks
from atcon_tf.config import Config
from atcon_tf.config import image_sizes
from atcon_tf.config import UserError
from atcon_tf.config.objective_settings.registry import OBJECTIVES
from atcon_tf.data.image_store import ArrayImages
from atcon_tf.data.record import Record
from atcon_tf.runs.run_classifier import say_what_was_found
from atcon_tf.runs.run_data import RunData
from atcon_tf.training.loop import Training
from atcon_tf.training.run_state import RunState
from atcon_tf.training.validation import scores_of

# Settings of the data and the network, which the arguments of `fit` replace.
_GIVEN = ("dataset", "data_dir", "model", "weights", "image_size", "objective",
          "input_range", "shots", "unlabeled", "unlabeled_dir", "splits",
          "warm_start", "cam_layer", "start", "head", "keep")


def fit(model, labeled, unlabeled=None, validation=None, objective="atcon",
        multi_label=None, cam_layer=(), callbacks=(), **settings):
  """Trains a Keras model, with or without labels on part of the images.

  Args:
    model: a functional or Sequential `keras.Model`, images -> logits or
      probabilities. Its variables are trained in place; BatchNorm layers keep
      their statistics unless `batch_norm="train"`.
    labeled: `(images, labels)`, or a finite `tf.data.Dataset` of such batches.
      Images `[N, H, W, C]` have the range that the model expects; labels are
      class numbers `[N]`, or 0 and 1 `[N, classes]`.
    unlabeled: images, or a finite dataset of batches of images, whose labels
      are left out. An objective with a term on unlabelled images needs them.
    validation: as `labeled`; None: no scores are computed.
    objective: a name of `config.settings.OBJECTIVES`.
    multi_label: whether an image can show several classes (sigmoid); None:
      true if a row of the 0/1 labels does not sum to 1. Unless it is true, a
      model with one output is a classifier of two classes, and its labels are
      0 or 1.
    cam_layer: names of the layers that carry the maps; empty: the last layer
      with a spatial extent.
    callbacks: Keras callbacks. An epoch has `eval_every` updates and ends
      with a validation.
    **settings: further fields of `Config` on training and on the objective,
      such as `steps`, `batch_size`, `learning_rate`, `augment`, `seed`.
  Returns:
    a `keras.callbacks.History`: for each epoch the mean losses and, with
    validation images, `val_loss`, `val_map_macro`, `val_f1_macro` and others.
  Raises:
    UserError: a setting, an array or the model does not fit.
  """
  for name in _GIVEN:
    if name in settings:
      raise UserError(name, settings[name],
                      "not a setting of `fit`, whose arguments give it")
  if settings.get("patience"):
    raise UserError("patience", settings["patience"],
                    "not a setting of `fit`; give "
                    "callbacks=[keras.callbacks.EarlyStopping(...)]")
  classifier = models.wrap(model, cam_layer=cam_layer,
                           binary=multi_label is not True)
  parts = {"train_labeled": _arrays("labeled", labeled, classifier),
           "train_unlabeled": _arrays("unlabeled", unlabeled, classifier,
                                      labels=False),
           "val": _arrays("validation", validation, classifier)}
  if multi_label is None:
    label = parts["train_labeled"][1]
    multi_label = bool(np.any(label.sum(1) != 1))
  config = _config(classifier, objective, settings)
  if OBJECTIVES[objective].unlabeled and not len(parts["train_unlabeled"][0]):
    raise UserError("unlabeled", None, f"needed by objective={objective}")
  _check_range(config, parts)
  say_what_was_found(classifier)
  training = Training(config, _data(parts, classifier, multi_label),
                      classifier)
  return _run(training, model, callbacks)


def _check_range(config, parts):
  """Refuses changes of colour, made for [0, 1], of images in another range."""
  changes = {"color", "cutout"} & {
      change for name in ("augment", "strong_augment")
      if checks.used(config, Config.__dataclass_fields__[name])
      for change in getattr(config, name)}
  low, high = (f([f(images) for images, _ in parts.values() if len(images)])
               for f in (np.min, np.max))
  if changes and (low < 0 or high > 1):
    name = "augment" if min(changes) in config.augment else "strong_augment"
    raise UserError(name, getattr(config, name),
                    f"{min(changes)} is for images in the range 0..1; "
                    f"these are in {low:g}..{high:g}. Let the model begin with "
                    "a Rescaling from 0..1, or leave it out")


def _config(classifier, objective, settings):
  """The settings of a run on a network that has weights already."""
  if not classifier.relus and objective == "self_training":
    settings = {"atcon_weight": 0.0, **settings}
  # The name of a pretrained network gives the rates of fine-tuning.
  return Config(objective=objective, dataset="folder", data_dir=".",
                model="mobilenet_v2", start="prior",
                image_size=image_sizes.short(classifier.image_size),
                **settings).resolve(set(settings))


def _arrays(name, given, classifier, labels=True):
  """Images float32 `[N, H, W, C]` and labels `[N, classes]` of an argument."""
  shape, classes = classifier.image_shape, classifier.num_classes
  if given is None:
    return np.zeros([0, *shape], np.float32), np.zeros([0, classes])
  if isinstance(given, tf.data.Dataset):
    if given.cardinality() == tf.data.INFINITE_CARDINALITY:
      raise UserError(name, "tf.data.Dataset",
                      "must be finite; take() makes it finite")
    batches = [b if isinstance(b, tuple) else (b,)
               for b in given.as_numpy_iterator()]
    if not batches:
      raise UserError(name, "tf.data.Dataset", "has no images")
    columns = [np.concatenate(c) for c in zip(*batches)]
  else:
    columns = list(given) if isinstance(given, (tuple, list)) else [given]
  images = np.asarray(columns[0], np.float32)
  if images.shape[1:] != shape:
    raise UserError(name, list(images.shape), "must be images "
                    f"[N, {', '.join(map(str, shape))}]")
  if not labels:
    return images, np.zeros([len(images), classes], np.float32)
  if len(columns) < 2:
    raise UserError(name, None, "must be images and labels")
  return images, _one_hot(name, np.asarray(columns[1]), len(images), classes)


def _one_hot(name, label, count, classes):
  """Labels as float32 `[N, classes]`."""
  if label.shape == (count, 1) and classes == 2 and np.isin(
      label, (0, 1)).all():  # as Keras has them for a single sigmoid
    label = label[:, 0].astype(np.int64)
  if label.shape == (count,) and np.issubdtype(label.dtype, np.integer):
    if len(label) and not 0 <= label.min() <= label.max() < classes:
      raise UserError(name, None,
                      f"its labels must be 0 to {classes - 1}, the model's "
                      "classes")
    return np.eye(classes, dtype=np.float32)[label]
  if label.shape != (count, classes) or not np.isin(label, (0, 1)).all():
    raise UserError(name, list(label.shape),
                    f"must have labels [{count}] of class numbers, or "
                    f"[{count}, {classes}] of 0 and 1")
  return label.astype(np.float32)


def _data(parts, classifier, multi_label):
  """The arrays as the `RunData` of a run."""
  records = {part: [Record(f"{part}/{i}", lambda: None, label)
                    for i, label in enumerate(labels)]
             for part, (_, labels) in parts.items()}
  records["test"] = []
  images = ArrayImages([r for part in parts for r in records[part]],
                       np.concatenate([images for images, _ in
                                       parts.values()]))
  names = [f"class {c}" for c in range(classifier.num_classes)]
  split = {part: [r.id for r in rows] for part, rows in records.items()}
  return RunData(images, records, {**split, "class_names": names,
                                   "multi_label": multi_label})


def _run(training, model, callbacks):
  """Takes all steps and calls the callbacks with the user's model."""
  config, state = training.config, RunState()
  history = keras.callbacks.History()
  every = keras.callbacks.CallbackList(
      [history, *callbacks], model=model, steps=config.eval_every,
      epochs=-(-config.steps // config.eval_every))
  model.stop_training = False
  every.on_train_begin()
  epoch, begun = 0, False
  for _, logs in training.steps(state):
    if not begun:
      every.on_epoch_begin(epoch)
      begun = True
    every.on_train_batch_begin(state.step - 1)
    every.on_train_batch_end(state.step - 1, logs)
    state.add(logs)
    last = state.step == len(training.plan)
    if not last and (not state.updates or state.updates % config.eval_every
                     or state.updates // config.eval_every == epoch):
      continue
    logs = state.take_means() | _validation(training)
    every.on_epoch_end(epoch, logs)
    epoch, begun = epoch + 1, False
    if model.stop_training:
      break
  every.on_train_end()
  return history


def _validation(training):
  """`{"val_...": score}` of the validation images; {} without any."""
  data = training.data
  if not data.records["val"]:
    return {}
  scores, *_ = scores_of(training.predictor, data.images,
                           data.records["val"], data.multi_label)
  return {f"val_{name}": value for name, value in scores.items()}
