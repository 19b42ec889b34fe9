"""The settings of attention consistency, `objectives/atcon.py`."""

import dataclasses

from atcon_tf.config.errors import UserError
from atcon_tf.config.fields import flag

# Maps that a loss can be trained through.
TRAINING_MAPS = ("grad_cam", "guided_backprop", "gradient", "smooth_grad",
                 "integrated_gradients")

_ATCON = {"objective": ("atcon",)}
_MASK = {**_ATCON, "match": ("mask",)}


@dataclasses.dataclass(frozen=True)
class Atcon:
  """Attention consistency, `objectives/atcon.py`."""

  first_map: str = flag("grad_cam", "attribution method of the first map",
                        choices=TRAINING_MAPS, needs=_ATCON)
  second_map: str = flag(
      "guided_backprop", "attribution method of the second map, which makes "
      "the mask or is compared with the first map", choices=TRAINING_MAPS,
      needs=_ATCON)
  ig_steps: int = flag(
      8, "points on the path of integrated gradients", minimum=1,
      needs=_ATCON)
  noise_samples: int = flag(
      8, "noisy images of SmoothGrad; the gradient runs through each",
      minimum=1, needs=_ATCON)
  match: str = flag(
      "mask", "mask: compare the first map of the image with the first map of "
      "the image masked by the second map; upsample, downsample: compare the "
      "two maps at the size of the larger or of the smaller map",
      choices=("mask", "upsample", "downsample"), needs=_ATCON)
  similarity: str = flag("pearson", "similarity of the two maps",
                         choices=("pearson", "cross_correlation", "ssim"),
                         needs=_ATCON)
  mask_intensity: float = flag(8.0, "slope of the soft mask", minimum=0.0,
                               needs=_MASK)
  mask_scale: str = flag(
      "none", "std: divide the map by its standard deviation before it makes "
      "the soft mask (a raw map is often so small that the mask is 0.5 "
      "everywhere); none: use the raw map", choices=("none", "std"),
      needs=_MASK)
  mask: str = flag(
      "map", "map: the second map makes the mask; two controls: constant, a "
      "mask of 0.5, and random, the pixels of the map's mask in random order",
      choices=("map", "constant", "random"), needs=_MASK)
  target: str = flag(
      "argmax", "class whose maps are compared or trained: argmax, the "
      "highest logit; labels, the highest logit among the labels; top2, the "
      "mean over the two highest logits",
      choices=("argmax", "labels", "top2"),
      needs={"objective": ("atcon", "tame", "l_cam")})
  stop_gradient: str = flag(
      "none", "the compared map through which no gradient runs",
      choices=("none", "first", "second"), needs=_ATCON)
  teacher: str = flag(
      "self", "network that gives the first map of the unmasked image: self, "
      "the trained network; ema, a copy with moving averages of the weights",
      choices=("self", "ema"), needs=_ATCON)
  ema_decay: float = flag(
      0.99, "decay of the teacher's moving averages", minimum=0.0, maximum=1.0,
      needs={**_ATCON, "teacher": ("ema",)})


def check(config, given):
  """Refuses maps and targets that contradict other settings."""
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
                    "not used with --teacher=ema, where the first map is "
                    "the teacher's and has no gradient")
  if config.target == "labels" and config.unlabeled != "labeled":
    raise UserError("target", "labels",
                    "the images must have labels; it goes with "
                    "--unlabeled=labeled")
