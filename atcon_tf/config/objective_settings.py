"""The settings of each objective: a class of flags, one after the other.

`needs` ties a flag to its objective; a `check_` function refuses what only
shows when two settings are seen side by side. A new objective adds a class,
and a function if it needs one, and an entry in `SETTINGS` and `CHECKS`.
"""

import dataclasses

from atcon_tf.config.errors import UserError
from atcon_tf.config.settings import flag
from atcon_tf.config.settings import HEADS

# Maps that a loss can be trained through.
TRAINING_MAPS = ("grad_cam", "guided_backprop", "gradient", "smooth_grad",
                 "integrated_gradients")

_ATCON = {"objective": ("atcon",)}
_MASK = {**_ATCON, "match": ("mask",)}
_LAYER = {"objective": ("layer_consistency",)}
_SELF_TRAINING = {"objective": ("self_training",)}
_GAIN = {"objective": ("gain",)}
_LASO = {"objective": ("laso",)}
_HEADS = {"objective": HEADS}


@dataclasses.dataclass(frozen=True)
class Atcon:
  """Attention consistency, `objectives/atcon.py`."""

  first_map: str = flag("grad_cam", "the map that is compared",
                        choices=TRAINING_MAPS, needs=_ATCON)
  second_map: str = flag(
      "guided_backprop", "the map that it is compared with, or that makes "
      "the mask", choices=TRAINING_MAPS, needs=_ATCON)
  ig_steps: int = flag(
      8, "points on the path of integrated gradients", minimum=1,
      needs=_ATCON)
  noise_samples: int = flag(
      8, "noisy images of SmoothGrad; each is trained through", minimum=1,
      needs=_ATCON)
  match: str = flag(
      "mask", "mask: the first map of the image against that of the image "
      "masked by the second map; upsample, downsample: the two maps at the "
      "larger or at the smaller one's size",
      choices=("mask", "upsample", "downsample"), needs=_ATCON)
  similarity: str = flag("pearson", "of the two maps",
                         choices=("pearson", "cross_correlation", "ssim"),
                         needs=_ATCON)
  mask_intensity: float = flag(8.0, "slope of the soft mask", minimum=0.0,
                               needs=_MASK)
  mask_scale: str = flag(
      "none", "std: divide the map by its standard deviation before the "
      "soft mask (a raw map is often so small that the mask is 0.5 "
      "everywhere)", choices=("none", "std"), needs=_MASK)
  mask: str = flag(
      "map", "constant (0.5) and random (the pixels of the map's mask in "
      "another order) are controls", choices=("map", "constant", "random"),
      needs=_MASK)
  target: str = flag(
      "argmax", "the class whose maps are compared: of the highest logit, "
      "the highest among the labels, or both of the two highest",
      choices=("argmax", "labels", "top2"),
      needs={"objective": ("atcon", *HEADS)})
  stop_gradient: str = flag(
      "none", "which of the two maps is a constant",
      choices=("none", "first", "second"), needs=_ATCON)
  teacher: str = flag(
      "self", "whose first map of the unmasked image is compared: the "
      "network's own or that of moving averages of its weights",
      choices=("self", "ema"), needs=_ATCON)
  ema_decay: float = flag(
      0.99, "of the teacher's moving averages", minimum=0.0, maximum=1.0,
      needs={**_ATCON, "teacher": ("ema",)})


@dataclasses.dataclass(frozen=True)
class LayerConsistency:
  """Two layers' maps agree, `objectives/layer_consistency.py`.

  The layers: --cam_layer=INNER,OUTER.
  """

  layer_loss: str = flag("dice", "how two layers' maps are compared",
                         choices=("dice", "inclusion"), needs=_LAYER)
  separation: bool = flag(True, "add the separation of two classes' maps",
                          needs=_LAYER)


@dataclasses.dataclass(frozen=True)
class SelfTraining:
  """Rank pseudo-labels, `objectives/self_training.py`."""

  bank_every: int = flag(
      0, "supervised updates between two rankings of the unlabelled pool; the "
      "first is after as many; default: 30, a third of fewer than 90 --steps",
      minimum=0, needs=_SELF_TRAINING)
  pseudo_per_class: int = flag(
      0, "images of the pool that become a class's positives; default: a "
      "sixtieth of the pool", minimum=0, needs=_SELF_TRAINING)
  pseudo_negatives: float = flag(
      0.6, "share of the pool, ranked lowest, that becomes its negatives",
      minimum=0.0, maximum=1.0, needs=_SELF_TRAINING)
  equivariance_weight: float = flag(
      0.0, "weight of the agreement of Grad-CAM before and after a crop and "
      "a flip", minimum=0.0, needs=_SELF_TRAINING)
  atcon_weight: float = flag(
      0.2, "weight of ATCON's term on the same images and classes; default: "
      "0.2, but 0 for efficientnet_b0, which has no ReLU",
      minimum=0.0, needs=_SELF_TRAINING)


@dataclasses.dataclass(frozen=True)
class Gain:
  """Guided attention on labelled images, `objectives/gain.py`."""

  gain_masks: str = flag(
      "per_label", "per_label: a masked image for each label; joint: one for "
      "all labels of an image", choices=("per_label", "joint"), needs=_GAIN)
  gain_omega: float = flag(10.0, "slope of the soft mask", minimum=0.0,
                           needs=_GAIN)
  gain_sigma: float = flag(
      0.5, "threshold of the soft mask, of the attention scaled to [0, 1]",
      minimum=0.0, maximum=1.0, needs=_GAIN)
  gain_fill: str = flag(
      "zero", "what is seen where the attention is cut out: zero (of the "
      "normalised image), mean (the image's mean colour), or a colour R,G,B "
      "of 0 to 255", needs=_GAIN)
  cl_weight: float = flag(1.0, "weight of the cross-entropy", minimum=0.0,
                          needs=_GAIN)
  am_weight: float = flag(
      1.0, "weight of attention mining: the labels' scores without what was "
      "attended to", minimum=0.0, needs=_GAIN)
  am_on: str = flag(
      "positives", "with two classes, one label an image: mine the second "
      "class's images, or all by their label", choices=("positives", "all"),
      needs=_GAIN)
  am_gradients: str = flag(
      "on", "off: in the pass of the masked image the weights are constants; "
      "they learn through the mask alone", choices=("on", "off"),
      needs=_GAIN)
  am_gradient_scale: float = flag(
      1.0, "factor of the gradient that the weights get in that pass",
      minimum=0.0, needs={**_GAIN, "am_gradients": ("on",)})
  am_start_step: int = flag(
      0, "supervised updates before attention mining sets in", minimum=0,
      needs=_GAIN)
  ex_weight: float = flag(
      0.0, "weight of extra supervision: the squared error between attention "
      "and mask, of the images that have a mask", minimum=0.0, needs=_GAIN)
  ex_start_step: int = flag(
      0, "supervised updates before extra supervision sets in", minimum=0,
      needs=_GAIN)
  ex_fraction: float = flag(
      1.0, "share of the labelled images' masks that is used", minimum=0.001,
      maximum=1.0, needs=_GAIN)
  ex_masks: str = flag(
      "masks", "masks: those of the data set; boxes: its boxes, filled",
      choices=("masks", "boxes"), needs=_GAIN)
  record_positives: int = flag(
      4, "images of the labelled and as many of the validation ones whose "
      "attention TensorBoard shows", minimum=0, needs=_GAIN)
  record_negatives: int = flag(
      4, "the same, of those without an object: of the first of two classes, "
      "or without a label", minimum=0, needs=_GAIN)
  record_every: int = flag(
      0, "supervised updates between two looks at them; default: "
      "--eval_every", minimum=0, needs=_GAIN)


@dataclasses.dataclass(frozen=True)
class Laso:
  """Label-set operations, `objectives/laso.py`: each term's formula."""

  set_units: int = flag(
      512, "hidden units of each set-operation network", minimum=1,
      needs=_LASO)
  class_embed_weight: float = flag(
      1.0, "weight of the classification of the images themselves",
      minimum=0.0, needs=_LASO)
  class_fake_weight: float = flag(
      1.0, "weight of the classification of features put together again from "
      "difference and intersection", minimum=0.0, needs=_LASO)
  class_union_weight: float = flag(
      1.0, "weight of the classification of unions", minimum=0.0, needs=_LASO)
  class_intersection_weight: float = flag(
      1.0, "weight of the classification of intersections", minimum=0.0,
      needs=_LASO)
  class_subtraction_weight: float = flag(
      0.0, "weight of the classification of differences", minimum=0.0,
      needs=_LASO)
  recon_fake_weight: float = flag(
      1.0, "weight of the distance of features from those put together again",
      minimum=0.0, needs=_LASO)
  recon_union_weight: float = flag(
      1.0, "weight of the distance of a pair's unions in its two orders",
      minimum=0.0, needs=_LASO)
  recon_intersection_weight: float = flag(
      1.0, "weight of the distance of a pair's intersections in its two "
      "orders", minimum=0.0, needs=_LASO)
  recon_subtraction_weight: float = flag(
      0.0, "weight of the distance of four ways to one difference",
      minimum=0.0, needs=_LASO)


@dataclasses.dataclass(frozen=True)
class Heads:
  """Explanation heads, `objectives/tame.py` and `l_cam.py`.

  --target, too.
  """

  tame_version: str = flag(
      "tame", "what is in a branch: all of it, or a version of the ablation "
      "study", choices=("tame", "no_skip", "no_skip_no_batch_norm",
                        "sigmoid_branch"), needs={"objective": ("tame",)})
  l_cam_version: str = flag(
      "img", "what the map multiplies: the image or the feature map",
      choices=("img", "fm"), needs={"objective": ("l_cam",)})
  feature_layers: tuple[str, ...] = flag(
      (), "layers that the head looks at; default: the last of each of the "
      "last three resolutions, for l_cam the --cam_layer", needs=_HEADS)
  max_learning_rate: float = flag(
      0.0, "SGD, the top of its cycle; biases twice as much; default: by the "
      "model", minimum=0.0, needs=_HEADS)
  weight_decay: float = flag(5e-4, "of the head's kernels", minimum=0.0,
                             needs=_HEADS)
  cross_entropy_weight: float = flag(
      1.5, "weight of the masked image's cross-entropy", minimum=0.0,
      needs=_HEADS)
  area_weight: float = flag(2.0, "weight of the map's area", minimum=0.0,
                            needs=_HEADS)
  area_power: float = flag(0.3, "of the map in its area", minimum=0.01,
                           needs=_HEADS)
  variation_weight: float = flag(
      0.01, "weight of the map's variation", minimum=0.0, needs=_HEADS)


def check_atcon(config, given):
  """Refuses maps and targets that do not fit the rest."""
  for name, method in (("ig_steps", "integrated_gradients"),
                       ("noise_samples", "smooth_grad")):
    if name in given and method not in (config.first_map, config.second_map):
      raise UserError(name, getattr(config, name),
                      f"goes with --first_map or --second_map={method}")
  for name in ("second_map", "mask_intensity", "mask_scale"):
    if name in given and config.match == "mask" and config.mask == "constant":
      raise UserError(name, getattr(config, name),
                      "not used with --mask=constant")
  if config.teacher == "ema" and config.stop_gradient == "first":
    raise UserError("stop_gradient", "first",
                    "that map is the teacher's, a constant already, with "
                    "--teacher=ema")
  if (config.objective == "atcon" and config.target == "labels"
      and config.unlabeled != "labeled"):
    raise UserError("target", "labels",
                    "the images must have labels; it goes with "
                    "--unlabeled=labeled")


def check_gain(config, given):
  """Refuses a colour that is none, and switches of a term that is off."""
  fill = config.gain_fill
  colour = [int(v) for v in fill.split(",") if v.isdecimal()]
  if fill not in ("zero", "mean") and not (
      fill.count(",") == 2 and len(colour) == 3 and max(colour) <= 255):
    raise UserError("gain_fill", fill,
                    "must be zero, mean, or three numbers of 0 to 255, R,G,B")
  for name in ("am_on", "am_gradients", "am_gradient_scale", "am_start_step",
               "ex_start_step", "ex_fraction", "ex_masks"):
    term = f"{name[:2]}_weight"
    if name in given and not getattr(config, term):
      raise UserError(name, getattr(config, name),
                      f"not used with --{term}=0")
  if "record_every" in given and not (
      config.record_positives or config.record_negatives):
    raise UserError("record_every", config.record_every,
                    "not used with --record_positives=0 and "
                    "--record_negatives=0")
  if config.objective == "gain":
    _check_weights(config, ("cl_weight", "am_weight", "ex_weight"))
  for name in ("am_start_step", "ex_start_step"):
    if getattr(config, name) >= config.steps:
      raise UserError(name, getattr(config, name),
                      f"the run has only {config.steps} steps")


def check_self_training(config, given):
  """Refuses a first ranking that would come after the last update."""
  del given
  if config.objective == "self_training" and (
      config.bank_every >= config.steps > 1):
    raise UserError("bank_every", config.bank_every,
                    f"the run has only {config.steps} steps, and the first "
                    "ranking comes after as many as this")


def check_laso(config, given):
  """Refuses what leaves nothing to learn from sets of labels."""
  del given
  if config.objective != "laso":
    return
  if config.single_label_only:
    raise UserError("single_label_only", True,
                    "not used with --objective=laso, which learns from images "
                    "with several labels")
  _check_weights(config, [f.name for f in dataclasses.fields(Laso)
                          if f.name.endswith("_weight")])


def _check_weights(config, names):
  """Refuses an objective all of whose terms are off."""
  if not any(getattr(config, name) for name in names):
    raise UserError(names[0], 0,
                    f"one of {', '.join(names)} must be more than 0")


def check_heads(config, given):
  """Refuses a head without a classifier to explain."""
  del given
  if config.objective not in HEADS:
    return
  if not config.warm_start and not config.model.endswith(".keras"):
    raise UserError("objective", config.objective,
                    "explains a trained classifier; name one by "
                    "--warm_start=RUN or --model=FILE.keras")
  _check_weights(config, ("cross_entropy_weight", "area_weight",
                          "variation_weight"))
  if config.target == "top2":
    raise UserError("target", "top2",
                    "goes with --objective=atcon; here an image has one "
                    "class: argmax or labels")


SETTINGS = (Atcon, LayerConsistency, SelfTraining, Gain, Laso, Heads)
CHECKS = (check_atcon, check_self_training, check_gain, check_laso,
          check_heads)
