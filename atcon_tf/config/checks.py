"""Refusals of settings that need neither data nor a network."""

import math
import os

from atcon_tf.config import clip_settings
from atcon_tf.config import defaults
from atcon_tf.config.errors import one_of
from atcon_tf.config.errors import UserError
from atcon_tf.config.fields import check_augment
from atcon_tf.config import settings
from atcon_tf.config.objective_settings.registry import OBJECTIVES
from atcon_tf.config.settings import MODELS


def used(config, field):
  """Whether the values of the other settings let this field have an effect."""
  return all(_value(config, name) in allowed
             for name, allowed in field.metadata["needs"].items())


def _value(config, name):
  """The value of a field; of `dataset`, the kind of data set."""
  value = getattr(config, name)
  return settings.source(value) if name == "dataset" else value


def check_field(config, field, given):
  """Refuses a value outside its range, and a given value without an effect.

  Args:
    config: a `Config`.
    field: one of its dataclass fields.
    given: whether the user gave the value.
  Raises:
    UserError: names the field, its value and what is allowed.
  """
  name, value = field.name, _value(config, field.name)
  allowed = field.metadata["choices"]
  # An empty default is filled in by `resolve`.
  if allowed and value not in (*allowed, field.default):
    raise UserError(name, value, one_of(value, allowed))
  low, high = field.metadata["minimum"], field.metadata["maximum"]
  if isinstance(value, float) and not math.isfinite(value):
    raise UserError(name, value, "must be a finite number")
  if low is not None and not value >= low:
    raise UserError(name, value, f"must be at least {low}")
  if high is not None and not value <= high:
    raise UserError(name, value, f"must be at most {high}")
  if not given:
    return
  for other, values in field.metadata["needs"].items():
    if _value(config, other) not in values:
      raise UserError(
          name, value,
          f"not used with --{other}={getattr(config, other)}; it goes with "
          f"--{other}={' or '.join(map(str, filter(None, values)))}")


def check_model(model):
  """Refuses a model that is neither a backbone's name nor a model's file."""
  if model in MODELS:
    return
  if os.path.isdir(model):
    raise UserError("model", model,
                    "is a folder; a SavedModel has no layers to take maps "
                    "from: where the model was made, write it with "
                    "model.save('mine.keras')")
  if not defaults.is_file(model):
    raise UserError("model", model,
                    f"must be one of {', '.join(MODELS)}, or a file "
                    f"({', '.join(defaults.MODEL_FILES)})")
  if not os.path.isfile(model):
    raise UserError("model", model, "no such file")


def check_together(config, given):
  """Refuses settings that contradict each other.

  Args:
    config: a `Config` whose fields `check_field` accepts.
    given: names of the fields that the user gave.
  Raises:
    UserError: names one of the settings, its value and what is allowed.
  """
  check_augment("augment", config.augment)
  if config.unlabeled not in ("all", "labeled") and not (
      config.unlabeled.isdecimal() and int(config.unlabeled) > 0):
    raise UserError("unlabeled", config.unlabeled,
                    "must be all, labeled, or a number of images")
  if config.unlabeled_dir and config.unlabeled == "labeled":
    raise UserError("unlabeled_dir", config.unlabeled_dir,
                    "not used with --unlabeled=labeled")
  if config.dataset == "folder" and not config.data_dir:
    raise UserError("data_dir", None,
                    "needed by --dataset=folder, the folder with one "
                    "sub-folder of images per class")
  if config.dataset == "binary_masks" and not config.data_dir:
    raise UserError("data_dir", None,
                    "needed by --dataset=binary_masks, the folder that holds "
                    "training and validation")
  if config.dataset == "csv" and not config.table:
    raise UserError("table", None,
                    "needed by --dataset=csv, the file with a row for each "
                    "image")
  if config.dataset in settings.ANNOTATED["dataset"] and (
      not config.annotations):
    raise UserError("annotations", None, "needed by --dataset="
                    f"{config.dataset}, the file of the annotations")
  if config.group_pattern and config.group_column:
    raise UserError("group_pattern", config.group_pattern,
                    "not used with --group_column, which names the groups")
  _check_two_classes(config)
  clip_settings.check(config, given)
  if config.dataset == "image_list":
    if not config.data_dir:
      raise UserError("data_dir", None,
                      "needed by --dataset=image_list, the folder in which "
                      "the paths of the lists begin")
    if not (config.val_list or config.test_list):
      raise UserError("val_list", None,
                      "needed by --dataset=image_list, unless --test_list "
                      "is given: a run may not choose its weights on the "
                      "images that train it")
  for name in ("shots", "unlabeled", "single_label_only"):
    if config.splits and name in given:
      raise UserError(name, getattr(config, name),
                      f"not used with --splits={config.splits}, which lists "
                      "the images")
  for name in ("steps", "learning_rate", "head_learning_rate",
               "consistency_learning_rate", "max_learning_rate"):
    if name in given and not getattr(config, name):
      raise UserError(name, 0,
                      "must be more than 0; without the flag the model's "
                      "default applies")
  row = OBJECTIVES[config.objective]
  if row.start and config.start != row.start:
    raise UserError("start", config.start,
                    f"--objective={config.objective} needs "
                    f"--start={row.start}")
  if row.trains_head and config.start != "prior":
    raise UserError("start", config.start,
                    f"not used with --objective={config.objective}, which "
                    "explains a trained classifier")
  if config.warm_start and config.start != "prior":
    raise UserError("start", config.start,
                    f"not used with --warm_start={config.warm_start}, which "
                    "gives the head its weights")
  if config.class_prior and config.start != "ranked_probe" and (
      config.objective != "self_training"):
    raise UserError("class_prior", config.class_prior,
                    "goes with --start=ranked_probe or --objective="
                    "self_training")
  kept = "last" if config.random_labels else config.keep
  if config.patience and kept != "best":
    raise UserError("patience", config.patience,
                    "used with --keep=best alone, not with --keep="
                    f"{kept}" + (", which --random_labels means"
                                 if config.random_labels else ""))
  if config.random_labels and config.keep != "last" and "keep" in given:
    raise UserError("keep", config.keep,
                    "not used with --random_labels, where the validation "
                    "score is noise and the last weights are kept")
  if config.alpha and "supervised_share" in given:
    raise UserError("alpha", config.alpha,
                    "sets the same probability as --supervised_share; give "
                    "only one of them")
  if config.weights not in ("", "none"):
    if defaults.is_file(config.model):
      raise UserError("weights", config.weights,
                      f"not used with --model={config.model}, which holds "
                      "its own weights")
    if config.warm_start and "weights" in given:
      raise UserError("weights", config.weights,
                      f"not used with --warm_start={config.warm_start}, which "
                      "gives all weights")
  if config.weights == "imagenet" and (
      defaults.of(config.model).recipe is defaults.FROM_SCRATCH):
    raise UserError("weights", "imagenet",
                    f"--model={config.model} has no ImageNet weights; must "
                    "be none or a file")
  if config.xla == "steps" and config.objective not in (
      "supervised", "atcon"):
    raise UserError("xla", "steps",
                    "goes with --objective=supervised or atcon, not with "
                    f"{config.objective}, whose steps XLA does not know")
  if config.model not in MODELS:
    return
  if config.batch_norm == "train" and (
      not defaults.of(config.model).batch_norm):
    raise UserError("batch_norm", "train",
                    f"--model={config.model} has no BatchNorm layer")
  if "input_range" in given:
    raise UserError("input_range", config.input_range,
                    f"not used with --model={config.model}, whose range is "
                    "known; it goes with a model's file")


def _check_two_classes(config):
  """Refuses an impossible share of positives, rate or operating point."""
  share, size = config.batch_positive_share, config.batch_size
  count = settings.positives(share, size)
  if share and not 0 < count < size:
    raise UserError("batch_positive_share", share,
                    f"gives {count} positives in a batch of {size} images; "
                    "at least one must be positive and one negative")
  for rate in config.false_alarm_rates:
    try:
      known = 0 <= float(rate) <= 1
    except ValueError:
      known = False
    if not known:
      raise UserError("false_alarm_rates", config.false_alarm_rates,
                      f"'{rate}' must be a number from 0 to 1")
  if config.operating_point:
    goal, _, value = config.operating_point.partition(":")
    try:
      known = goal in settings.GOALS and 0 < float(value) <= 1
    except ValueError:
      known = False
    if not known:
      raise UserError("operating_point", config.operating_point,
                      f"must be one of {', '.join(settings.GOALS)}, a colon "
                      "and a share above 0, at most 1: sensitivity:0.95")
