"""The settings of each objective: a class of flags, one after the other.

`needs` ties a flag to its objective; a `check_` function refuses what only
shows when two settings are seen side by side. A new objective adds a class,
and a function if it needs one, and an entry in `SETTINGS` and `CHECKS`.
"""

import dataclasses

from atcon_tf.settings import flag
from atcon_tf.settings import HEADS
from atcon_tf.settings import UserError

# Maps that a loss can be trained through.
TRAINING_MAPS = ("grad_cam", "guided_backprop", "gradient", "smooth_grad",
                 "integrated_gradients")

_ATCON = {"objective": ("atcon",)}
_MASK = {**_ATCON, "match": ("mask",)}
_LAYER = {"objective": ("layer_consistency",)}
_SELF_TRAINING = {"objective": ("self_training",)}
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
  """`objectives/layer_consistency.py`; the layers: --cam_layer=INNER,OUTER."""

  layer_loss: str = flag("dice", "how two layers' maps are compared",
                         choices=("dice", "inclusion"), needs=_LAYER)
  separation: bool = flag(True, "add the separation of two classes' maps",
                          needs=_LAYER)


@dataclasses.dataclass(frozen=True)
class SelfTraining:
  """Rank pseudo-labels, `objectives/self_training.py`."""

  bank_every: int = flag(
      30, "supervised updates between two rankings of the unlabelled pool; "
      "the first is after as many", minimum=1, needs=_SELF_TRAINING)
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
      0.0, "weight of ATCON's term on the same images and classes",
      minimum=0.0, needs=_SELF_TRAINING)


@dataclasses.dataclass(frozen=True)
class Heads:
  """Explanation heads, `objectives/tame.py` and `l_cam.py`; --target, too."""

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
  if "ig_steps" in given and "integrated_gradients" not in (
      config.first_map, config.second_map):
    raise UserError(f"--ig_steps={config.ig_steps}: goes with --first_map or "
                    "--second_map=integrated_gradients")
  if (config.objective == "atcon" and config.target == "labels"
      and config.unlabeled != "labeled"):
    raise UserError("--target=labels: the images must have labels; it goes "
                    "with --unlabeled=labeled")


def check_heads(config, given):
  """Refuses a head without a classifier to explain."""
  del given
  if config.objective not in HEADS:
    return
  if not config.warm_start and not config.model.endswith(".keras"):
    raise UserError(
        f"--objective={config.objective}: explains a trained classifier; "
        "name one by --warm_start=RUN or --model=FILE.keras")
  if config.target == "top2":
    raise UserError("--target=top2: goes with --objective=atcon; here an "
                    "image has one class: argmax or labels")


SETTINGS = (Atcon, LayerConsistency, SelfTraining, Heads)
CHECKS = (check_atcon, check_heads)
