"""Every setting of a run: one frozen dataclass, one field = one flag.

The fields stand in `settings` and `objective_settings`; here they are put
together, filled in, checked, and turned into flags and JSON.

    config = Config(dataset="shapes", objective="atcon", shots=8).resolve()

Raises `UserError` (one line that names the flag, the value and what is
allowed) for everything a person can get wrong.
"""

import dataclasses
import json
import math
import os
import typing

from absl import flags

from atcon_tf import objective_settings
from atcon_tf import settings
from atcon_tf.settings import AUGMENTATIONS
from atcon_tf.settings import HEADS
from atcon_tf.settings import MODELS
from atcon_tf.settings import UNLABELED
from atcon_tf.settings import UserError

# Fields that may hold a path.
PATHS = ("data_dir", "train_list", "val_list", "test_list", "class_list",
         "unlabeled_dir", "splits", "model", "weights", "warm_start")

# Networks that have no ReLU, and so no guided mask.
_WITHOUT_RELU = ("efficientnet_b0",)
# Networks whose layers have no batch statistics.
_WITHOUT_BATCH_NORM = ("tiny_cnn", "vgg16", "vgg19")

# What a model needs to be trained well; every other setting is shared. Its
# objective, too: see docs/evidence.md.
# Fine-tuning: the values that were healthy on VOC with MobileNetV2.
FINE_TUNING = dict(
    weights="imagenet", steps=100, learning_rate=2e-5, head_learning_rate=3e-3,
    consistency_learning_rate=1e-5, max_learning_rate=1e-2)
FROM_SCRATCH = dict(
    weights="none", steps=300, learning_rate=2e-3, head_learning_rate=2e-3,
    consistency_learning_rate=2e-4, max_learning_rate=1e-1)
# The image sizes give each backbone a last map that is symmetric about the
# image centre wherever its padding allows one.
IMAGE_SIZE = dict(
    tiny_cnn=64, mobilenet_v2=225, mobilenet=221, resnet50=225, resnet101=225,
    densenet121=221, inception_v3=299, vgg16=224, vgg19=224,
    efficientnet_b0=225)


@dataclasses.dataclass(frozen=True)
class Config(settings.Evaluation, *reversed(objective_settings.SETTINGS),
             settings.Training, settings.Model, settings.Data):
  """The settings of one run.

  Empty or 0 means: chosen by `resolve`, or not used.
  """

  def resolve(self, explicit=()):
    """Checks every value and fills in what depends on the model.

    Args:
      explicit: names of the fields the user set by hand; they are refused
        where they are not used even if they hold the default.
    Returns:
      a Config in which no field that is used is left open (but for the
      image size of a .keras file, which the file knows); resolving it again
      changes nothing.
    Raises:
      UserError: an impossible value, or one that nothing would use.
    """
    config = self
    if not config.model:
      name = "tiny_cnn" if config.dataset == "shapes" else "mobilenet_v2"
      config = dataclasses.replace(config, model=name)
    if not config.objective:
      name = "atcon" if config.model == "tiny_cnn" else "self_training"
      config = dataclasses.replace(config, objective=name)
    if not config.schedule and config.objective in UNLABELED:
      name = ("combined" if config.objective == "self_training"
              else "alternating")
      config = dataclasses.replace(config, schedule=name)
    _check_model(config.model)
    recipe = FROM_SCRATCH if config.model == "tiny_cnn" else FINE_TUNING
    if (config.model.endswith(".keras") or config.objective in HEADS
        or config.warm_start):
      recipe = {**recipe, "weights": "none"}  # comes with all of them
    filled = {f.name: recipe[f.name] for f in dataclasses.fields(config)
              if f.name in recipe and not getattr(config, f.name)
              and _used(config, f)}
    if config.objective == "self_training" and not config.bank_every:
      steps = config.steps or recipe["steps"]
      filled["bank_every"] = min(30, max(1, steps // 3))
    if config.split_seed < 0:
      filled["split_seed"] = config.seed
    if not config.image_size and config.model in IMAGE_SIZE:
      filled["image_size"] = IMAGE_SIZE[config.model]
    given = {f.name for f in dataclasses.fields(self)
             if getattr(self, f.name) != f.default} | set(explicit)
    if (config.objective == "self_training" and "atcon_weight" not in given
        and config.model in _WITHOUT_RELU):
      filled["atcon_weight"] = 0.0
    for field in dataclasses.fields(config):
      _check(config, field, field.name in given)
    _check_together(config, given)
    config = dataclasses.replace(config, **filled)
    for check in objective_settings.CHECKS:
      check(config, given)
    return config

  def with_objective(self, objective):
    """These settings for another objective; what it does not use goes."""
    config = dataclasses.replace(self, objective=objective, schedule="")
    return dataclasses.replace(config, **{
        f.name: f.default for f in dataclasses.fields(config)
        if not _used(config, f)}).resolve()

  def public(self):
    """These settings without the folders of this machine: for others."""
    absolute = {name: getattr(self, name) for name in PATHS
                if os.path.isabs(getattr(self, name))}
    return dataclasses.replace(self, **{
        name: os.path.basename(os.path.normpath(value))
        for name, value in absolute.items()})

  def to_json(self):
    """The settings as JSON text, keys in the order of the fields."""
    return json.dumps(dataclasses.asdict(self), indent=2)

  @classmethod
  def from_json(cls, text):
    """The inverse of `to_json`."""
    values = json.loads(text)
    names = {f.name for f in dataclasses.fields(cls)}
    values = {k: tuple(v) if isinstance(v, list) else v
              for k, v in values.items() if k in names}
    return cls(**values)

  def to_flags(self):
    """A --flagfile text that repeats these settings."""
    lines = []
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if value == field.default or not _used(self, field):
        continue
      if isinstance(value, tuple):
        value = flags.CsvListSerializer(",").serialize(list(value))
      lines.append(f"--{field.name}={value}")
    return "\n".join(lines) + "\n"


def _used(config, field):
  return all(getattr(config, name) in allowed
             for name, allowed in field.metadata["needs"].items())


def _check(config, field, given):
  """Refuses a value outside its range, or one that nothing would use."""
  name, value = field.name, getattr(config, field.name)
  allowed = field.metadata["choices"]
  shown = ",".join(value) if isinstance(value, tuple) else value
  # An empty default is filled in by `resolve`.
  if allowed and value not in (*allowed, field.default):
    raise UserError(f"--{name}={shown}: must be one of "
                    f"{', '.join(map(str, allowed))}")
  low, high = field.metadata["minimum"], field.metadata["maximum"]
  if isinstance(value, float) and not math.isfinite(value):
    raise UserError(f"--{name}={shown}: must be a finite number")
  if low is not None and not value >= low:
    raise UserError(f"--{name}={shown}: must be at least {low}")
  if high is not None and not value <= high:
    raise UserError(f"--{name}={shown}: must be at most {high}")
  if not given:
    return
  for other, values in field.metadata["needs"].items():
    if getattr(config, other) not in values:
      raise UserError(
          f"--{name}={shown}: not used with --{other}="
          f"{getattr(config, other)}; it goes with --{other}="
          f"{' or '.join(map(str, filter(None, values)))}")


def _check_model(model):
  if model in MODELS:
    return
  if not model.endswith(".keras"):
    raise UserError(f"--model={model}: must be one of {', '.join(MODELS)}, "
                    "or a .keras file")
  if not os.path.isfile(model):
    raise UserError(f"--model={model}: no such file")


def _check_together(config, given):
  """What only shows when two settings are seen side by side."""
  unknown = [a for a in config.augment if a not in AUGMENTATIONS]
  if unknown:
    raise UserError(f"--augment={','.join(config.augment)}: no "
                    f"'{unknown[0]}'; any of {', '.join(AUGMENTATIONS)}")
  if config.unlabeled not in ("all", "labeled") and not (
      config.unlabeled.isdecimal() and int(config.unlabeled) > 0):
    raise UserError(f"--unlabeled={config.unlabeled}: must be all, labeled, "
                    "or a number of images")
  if config.unlabeled_dir and config.unlabeled == "labeled":
    raise UserError(f"--unlabeled_dir={config.unlabeled_dir}: not used with "
                    "--unlabeled=labeled")
  if config.dataset == "folder" and not config.data_dir:
    raise UserError("--data_dir: needed by --dataset=folder, the folder with "
                    "one sub-folder of images per class")
  if config.dataset == "binary_masks" and not config.data_dir:
    raise UserError("--data_dir: needed by --dataset=binary_masks, the folder "
                    "that holds training and validation")
  _check_two_classes(config)
  if config.dataset == "image_list":
    if not config.data_dir:
      raise UserError("--data_dir: needed by --dataset=image_list, the folder "
                      "that the paths of the lists count from")
    if not (config.val_list or config.test_list):
      raise UserError("--val_list: needed by --dataset=image_list, or "
                      "--test_list: nothing may be chosen on the images that "
                      "a run is trained on")
  for name in ("shots", "unlabeled", "single_label_only"):
    if config.splits and name in given:
      raise UserError(f"--{name}={getattr(config, name)}: not used with "
                      f"--splits={config.splits}, which lists the images")
  for name in ("steps", "learning_rate", "head_learning_rate",
               "consistency_learning_rate", "max_learning_rate"):
    if name in given and not getattr(config, name):
      raise UserError(f"--{name}=0: must be more than 0; without the flag "
                      "the model's own is taken")
  if 0 < config.image_size < 16:
    raise UserError(f"--image_size={config.image_size}: must be at least 16")
  if config.alpha and "supervised_share" in given:
    raise UserError(f"--alpha={config.alpha}: says the same as "
                    "--supervised_share; give one of them")
  if config.weights not in ("", "none"):
    if config.model.endswith(".keras"):
      raise UserError(f"--weights={config.weights}: {config.model} brings its "
                      "own weights")
    if config.warm_start and "weights" in given:
      raise UserError(f"--weights={config.weights}: not used with "
                      f"--warm_start={config.warm_start}, which brings all of "
                      "them")
  if config.model == "tiny_cnn" and config.weights == "imagenet":
    raise UserError("--weights=imagenet: there are none for "
                    "--model=tiny_cnn; must be none or a file")
  if config.model not in MODELS:
    return
  if config.batch_norm == "train" and config.model in _WITHOUT_BATCH_NORM:
    raise UserError(f"--batch_norm=train: --model={config.model} has no "
                    "BatchNorm layer")
  if "input_range" in given:
    raise UserError(f"--input_range={config.input_range}: --model="
                    f"{config.model} knows its own; it goes with a .keras "
                    "file")


def _check_two_classes(config):
  """Balanced batches, and rates of false alarms."""
  share, size = config.batch_positive_share, config.batch_size
  count = settings.positives(share, size)
  if share and not 0 < count < size:
    raise UserError(
        f"--batch_positive_share={share}: {count} positive of the {size} "
        "images in a batch; at least one must be positive and one negative")
  for rate in config.false_alarm_rates:
    try:
      known = 0 <= float(rate) <= 1
    except ValueError:
      known = False
    if not known:
      raise UserError(
          f"--false_alarm_rates={','.join(config.false_alarm_rates)}: "
          f"'{rate}' must be a number from 0 to 1")


_DEFINE = {str: flags.DEFINE_string, int: flags.DEFINE_integer,
           float: flags.DEFINE_float, bool: flags.DEFINE_bool,
           tuple: flags.DEFINE_list}


def define_flags(flag_values=flags.FLAGS):
  """Defines one absl flag for each field; called when a command starts."""
  for field in dataclasses.fields(Config):
    kind = typing.get_origin(field.type) or field.type
    default = list(field.default) if kind is tuple else field.default
    text = field.metadata["help"]
    if field.metadata["choices"]:
      text += " (%s)" % ", ".join(map(str, field.metadata["choices"]))
    _DEFINE[kind](field.name, default, text, flag_values=flag_values)


def from_flags(flag_values=flags.FLAGS):
  """The resolved Config that the parsed flags describe."""
  values, explicit = {}, set()
  for field in dataclasses.fields(Config):
    value = flag_values[field.name].value
    values[field.name] = tuple(value) if isinstance(value, list) else value
    if flag_values[field.name].present:
      explicit.add(field.name)
  return Config(**values).resolve(explicit)
