"""Every setting of a run: one frozen dataclass, one field = one flag.

A field carries its default, its help line, what it allows (`choices`,
`minimum`, `maximum`) and what it goes with (`needs`): a flag that the chosen
objective, data set or model does not use is refused, so that nobody believes
an option was at work when it was not.

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


class UserError(ValueError):
  """A mistake of the user's: shown as one line, without a traceback."""


DATASETS = ("voc", "folder", "shapes")
OBJECTIVES = ("supervised", "atcon", "layer_consistency", "self_training")
MODELS = (
    "tiny_cnn", "mobilenet_v2", "mobilenet", "resnet50", "resnet101",
    "densenet121", "inception_v3", "vgg16", "vgg19", "efficientnet_b0")
AUGMENTATIONS = ("crop", "flip", "color", "rotation", "vertical_flip")

# Objectives with a term on unlabelled images: a schedule goes with these.
UNLABELED = ("atcon", "layer_consistency", "self_training")

# Maps that a loss can be trained through.
TRAINING_MAPS = ("grad_cam", "guided_backprop", "gradient", "smooth_grad",
                 "integrated_gradients")

# Fields that may hold a path.
PATHS = ("data_dir", "splits", "model", "weights", "warm_start")

# Where the supervised optimisers, and where the consistency optimiser, are at
# work.
_SUPERVISED = {"schedule": ("", "alternating", "combined")}
_CONSISTENCY = {"objective": UNLABELED,
                "schedule": ("alternating", "consistency")}
_ATCON = {"objective": ("atcon",)}
_MASK = {**_ATCON, "match": ("mask",)}
_LAYER = {"objective": ("layer_consistency",)}
_SELF_TRAINING = {"objective": ("self_training",)}
# Networks whose layers have no batch statistics.
_WITHOUT_BATCH_NORM = ("tiny_cnn", "vgg16", "vgg19")

# What a model needs to be trained well; every other setting is shared.
# Fine-tuning: the values that were healthy on VOC with MobileNetV2.
FINE_TUNING = dict(
    weights="imagenet", steps=100, learning_rate=2e-5, head_learning_rate=3e-3,
    consistency_learning_rate=1e-5)
FROM_SCRATCH = dict(
    weights="none", steps=300, learning_rate=2e-3, head_learning_rate=2e-3,
    consistency_learning_rate=2e-4)
# The image sizes give each backbone a last map that is symmetric about the
# image centre wherever its padding allows one.
IMAGE_SIZE = dict(
    tiny_cnn=64, mobilenet_v2=225, mobilenet=221, resnet50=225, resnet101=225,
    densenet121=221, inception_v3=299, vgg16=224, vgg19=224,
    efficientnet_b0=225)


def _flag(default, text, *, choices=None, minimum=None, maximum=None,
          needs=None):
  return dataclasses.field(default=default, metadata=dict(
      help=text, choices=choices, minimum=minimum, maximum=maximum,
      needs=needs or {}))


@dataclasses.dataclass(frozen=True)
class Config:
  """The settings of one run.

  Empty or 0 means: chosen by `resolve`, or not used.
  """

  # What is trained, on what.
  objective: str = _flag("atcon", "what is optimised", choices=OBJECTIVES)
  dataset: str = _flag("shapes", "where the images are from",
                       choices=DATASETS)
  data_dir: str = _flag("", "folder of the data set",
                        needs={"dataset": ("voc", "folder")})
  voc_year: int = _flag(2007, "which VOC", choices=(2007, 2012),
                        needs={"dataset": ("voc",)})
  keep_difficult: bool = _flag(
      False, "count objects marked difficult", needs={"dataset": ("voc",)})
  classes: tuple[str, ...] = _flag((), "only these classes (default: all)")
  max_bad_images: int = _flag(
      0, "skip up to this many images that do not decode", minimum=0,
      needs={"dataset": ("voc", "folder")})

  # The few-shot split.
  shots: int = _flag(8, "labelled images per class", minimum=1)
  unlabeled: str = _flag(
      "all", "the unlabelled pool: all other training images, this many of "
      "them, or 'labeled' (the labelled images without their labels)")
  single_label_only: bool = _flag(
      False, "draw labelled images from those with one label only")
  seed: int = _flag(0, "of weights, order and augmentation", minimum=0)
  split_seed: int = _flag(-1, "of the few-shot split (default: --seed)",
                          minimum=-1)
  splits: str = _flag("", "reuse the image ids of this splits.json instead "
                      "of drawing shots")

  # The model.
  model: str = _flag(
      "", "a backbone's name (%s) or a .keras file; default: tiny_cnn for "
      "shapes, mobilenet_v2 otherwise" % ", ".join(MODELS))
  width: float = _flag(1.0, "width multiplier (alpha)", minimum=0.1,
                       maximum=2.0,
                       needs={"model": ("mobilenet", "mobilenet_v2")})
  weights: str = _flag(
      "", "imagenet, none, or a weights file; default: imagenet, but none "
      "for tiny_cnn")
  image_size: int = _flag(0, "side of the square input in pixels; default: "
                          "by the model", minimum=0, maximum=4096)
  input_range: str = _flag(
      "0..1", "what a .keras model expects its images to be",
      choices=("0..1", "-1..1", "0..255", "imagenet"))
  cam_layer: tuple[str, ...] = _flag(
      (), "layer whose output carries the class activation map; default: "
      "the last one with a spatial extent")
  reflect_padding: bool = _flag(
      False, "the backbone's convolutions pad by reflection")
  warm_start: str = _flag(
      "", "start from the weights of this run or checkpoint")

  # Training.
  schedule: str = _flag(
      "", "alternating: a step is supervised or consistency; combined: every "
      "step is both; consistency: no supervised step; default: alternating, "
      "but combined for self_training",
      choices=("alternating", "combined", "consistency"),
      needs={"objective": UNLABELED})
  alpha: float = _flag(
      0.0, "a step is supervised with probability a*S/(a*S+U), S and U the "
      "numbers of labelled and unlabelled images; 0: use "
      "--supervised_share", minimum=0.0,
      needs={"objective": UNLABELED, "schedule": ("alternating",)})
  supervised_share: float = _flag(
      0.2, "probability that a step is supervised", minimum=0.01,
      maximum=1.0,
      needs={"objective": UNLABELED, "schedule": ("alternating",)})
  consistency_weight: float = _flag(
      1.0, "weight of the term on unlabelled images beside the supervised "
      "one", minimum=0.0,
      needs={"objective": UNLABELED, "schedule": ("combined",)})
  steps: int = _flag(
      0, "supervised updates (with --schedule=consistency: consistency "
      "updates); default: by the model", minimum=0)
  batch_size: int = _flag(8, "labelled images in a step", minimum=1,
                          needs=_SUPERVISED)
  unlabeled_batch_size: int = _flag(
      8, "unlabelled images in a step", minimum=1,
      needs={"objective": UNLABELED})
  learning_rate: float = _flag(0.0, "Adam, backbone; default: by the model",
                               minimum=0.0, needs=_SUPERVISED)
  head_learning_rate: float = _flag(
      0.0, "Adam, new layers; default: by the model", minimum=0.0,
      needs=_SUPERVISED)
  consistency_learning_rate: float = _flag(
      0.0, "Adam, consistency steps; default: by the model", minimum=0.0,
      needs=_CONSISTENCY)
  batch_norm: str = _flag(
      "freeze", "train: supervised steps use and update batch statistics",
      choices=("freeze", "train"), needs=_SUPERVISED)
  augment: tuple[str, ...] = _flag(
      ("crop", "flip"), "of training images: any of %s; empty for none"
      % ", ".join(AUGMENTATIONS))
  eval_every: int = _flag(10, "supervised updates between validations",
                          minimum=1)
  checkpoint_every: int = _flag(
      10, "supervised updates between checkpoints", minimum=1)

  # ATCON.
  first_map: str = _flag("grad_cam", "the map that is compared",
                         choices=TRAINING_MAPS, needs=_ATCON)
  second_map: str = _flag(
      "guided_backprop", "the map that it is compared with, or that makes "
      "the mask", choices=TRAINING_MAPS, needs=_ATCON)
  ig_steps: int = _flag(
      8, "points on the path of integrated gradients", minimum=1,
      needs=_ATCON)
  match: str = _flag(
      "mask", "mask: the first map of the image against that of the image "
      "masked by the second map; upsample, downsample: the two maps at the "
      "larger or at the smaller one's size",
      choices=("mask", "upsample", "downsample"), needs=_ATCON)
  similarity: str = _flag("pearson", "of the two maps",
                          choices=("pearson", "cross_correlation", "ssim"),
                          needs=_ATCON)
  mask_intensity: float = _flag(8.0, "slope of the soft mask", minimum=0.0,
                                needs=_MASK)
  mask_scale: str = _flag(
      "none", "std: divide the map by its standard deviation before the "
      "soft mask (a raw map is often so small that the mask is 0.5 "
      "everywhere)", choices=("none", "std"), needs=_MASK)
  mask: str = _flag(
      "map", "constant (0.5) and random (the pixels of the map's mask in "
      "another order) are controls", choices=("map", "constant", "random"),
      needs=_MASK)
  target: str = _flag(
      "argmax", "the class whose maps are compared: of the highest logit, "
      "the highest among the labels, or both of the two highest",
      choices=("argmax", "labels", "top2"), needs=_ATCON)
  stop_gradient: str = _flag(
      "none", "which of the two maps is a constant",
      choices=("none", "first", "second"), needs=_ATCON)
  teacher: str = _flag(
      "self", "whose first map of the unmasked image is compared: the "
      "network's own or that of moving averages of its weights",
      choices=("self", "ema"), needs=_ATCON)
  ema_decay: float = _flag(
      0.99, "of the teacher's moving averages", minimum=0.0, maximum=1.0,
      needs={**_ATCON, "teacher": ("ema",)})

  # Layer consistency; its layers are --cam_layer=INNER,OUTER.
  layer_loss: str = _flag("dice", "how two layers' maps are compared",
                          choices=("dice", "inclusion"), needs=_LAYER)
  separation: bool = _flag(True, "add the separation of two classes' maps",
                           needs=_LAYER)

  # Self-training.
  bank_every: int = _flag(
      30, "supervised updates between two rankings of the unlabelled pool; "
      "the first is after as many", minimum=1, needs=_SELF_TRAINING)
  pseudo_per_class: int = _flag(
      0, "images of the pool that become a class's positives; default: a "
      "sixtieth of the pool", minimum=0, needs=_SELF_TRAINING)
  pseudo_negatives: float = _flag(
      0.6, "share of the pool, ranked lowest, that becomes its negatives",
      minimum=0.0, maximum=1.0, needs=_SELF_TRAINING)
  equivariance_weight: float = _flag(
      0.0, "weight of the agreement of Grad-CAM before and after a crop and "
      "a flip", minimum=0.0, needs=_SELF_TRAINING)
  atcon_weight: float = _flag(
      0.0, "weight of ATCON's term on the same images and classes",
      minimum=0.0, needs=_SELF_TRAINING)

  # Evaluation.
  eval_batch_size: int = _flag(32, "images at once in evaluation", minimum=1)
  bootstrap: int = _flag(
      500, "resamples behind the 90 % intervals; 0 for none", minimum=0)
  summary_images: int = _flag(
      8, "validation images shown in TensorBoard and figures", minimum=0)
  xla: str = _flag(
      "auto", "compile first-order attribution; auto: on accelerators only",
      choices=("auto", "on", "off"))

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
    if not config.schedule and config.objective in UNLABELED:
      name = ("combined" if config.objective == "self_training"
              else "alternating")
      config = dataclasses.replace(config, schedule=name)
    _check_model(config.model)
    recipe = FROM_SCRATCH if config.model == "tiny_cnn" else FINE_TUNING
    if config.model.endswith(".keras"):
      recipe = {**recipe, "weights": "none"}
    filled = {f.name: recipe[f.name] for f in dataclasses.fields(config)
              if f.name in recipe and not getattr(config, f.name)
              and _used(config, f)}
    if config.split_seed < 0:
      filled["split_seed"] = config.seed
    for name in PATHS:
      # What a run stores should not speak of one machine.
      if os.path.isabs(getattr(config, name)):
        filled[name] = os.path.relpath(getattr(config, name))
    if not config.image_size and config.model in IMAGE_SIZE:
      filled["image_size"] = IMAGE_SIZE[config.model]
    given = {f.name for f in dataclasses.fields(self)
             if getattr(self, f.name) != f.default} | set(explicit)
    for field in dataclasses.fields(config):
      _check(config, field, field.name in given)
    _check_together(config, given)
    return dataclasses.replace(config, **filled)

  def with_objective(self, objective):
    """These settings for another objective; what it does not use goes."""
    config = dataclasses.replace(self, objective=objective, schedule="")
    return dataclasses.replace(config, **{
        f.name: f.default for f in dataclasses.fields(config)
        if not _used(config, f)}).resolve()

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
  if config.dataset == "folder" and not config.data_dir:
    raise UserError("--data_dir: needed by --dataset=folder, the folder with "
                    "one sub-folder of images per class")
  for name in ("shots", "unlabeled", "single_label_only"):
    if config.splits and name in given:
      raise UserError(f"--{name}={getattr(config, name)}: not used with "
                      f"--splits={config.splits}, which lists the images")
  for name in ("steps", "learning_rate", "head_learning_rate",
               "consistency_learning_rate"):
    if name in given and not getattr(config, name):
      raise UserError(f"--{name}=0: must be more than 0; without the flag "
                      "the model's own is taken")
  if 0 < config.image_size < 16:
    raise UserError(f"--image_size={config.image_size}: must be at least 16")
  if "ig_steps" in given and "integrated_gradients" not in (
      config.first_map, config.second_map):
    raise UserError(f"--ig_steps={config.ig_steps}: goes with --first_map or "
                    "--second_map=integrated_gradients")
  if config.target == "labels" and config.unlabeled != "labeled":
    raise UserError("--target=labels: the images must have labels; it goes "
                    "with --unlabeled=labeled")
  if config.alpha and "supervised_share" in given:
    raise UserError(f"--alpha={config.alpha}: says the same as "
                    "--supervised_share; give one of them")
  if config.model.endswith(".keras") and config.weights not in ("", "none"):
    raise UserError(f"--weights={config.weights}: {config.model} brings its "
                    "own weights")
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
