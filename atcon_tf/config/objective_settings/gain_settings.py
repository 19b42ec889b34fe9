"""The settings of guided attention, `objectives/gain.py`."""

import dataclasses

from atcon_tf.config.errors import UserError
from atcon_tf.config.fields import check_weights
from atcon_tf.config.fields import flag

_GAIN = {"objective": ("gain",)}


@dataclasses.dataclass(frozen=True)
class Gain:
  """Guided attention on labelled images, `objectives/gain.py`."""

  gain_masks: str = flag(
      "per_label", "per_label: one masked image for each label; joint: one "
      "masked image for all labels", choices=("per_label", "joint"),
      needs=_GAIN)
  gain_omega: float = flag(10.0, "slope of the soft mask", minimum=0.0,
                           needs=_GAIN)
  gain_sigma: float = flag(
      0.5, "threshold of the soft mask on the attention scaled to [0, 1]",
      minimum=0.0, maximum=1.0, needs=_GAIN)
  gain_fill: str = flag(
      "zero", "colour of the masked pixels: zero (of the normalised image), "
      "mean (the image's mean colour), or R,G,B, each 0 to 255", needs=_GAIN)
  cl_weight: float = flag(1.0, "weight of the cross-entropy", minimum=0.0,
                          needs=_GAIN)
  am_weight: float = flag(
      1.0, "weight of attention mining: the labels' scores on the masked "
      "image", minimum=0.0, needs=_GAIN)
  am_on: str = flag(
      "positives", "images that are mined, for data of two classes with one "
      "label an image: positives, those of the second class; all, every "
      "image by its label", choices=("positives", "all"), needs=_GAIN)
  am_gradients: str = flag(
      "on", "on: the weights get a gradient through the pass of the masked "
      "image; off: they are constants there and get the gradient only through "
      "the mask", choices=("on", "off"), needs=_GAIN)
  am_gradient_scale: float = flag(
      1.0, "factor of the weights' gradient through the pass of the masked "
      "image", minimum=0.0, needs={**_GAIN, "am_gradients": ("on",)})
  am_start_step: int = flag(
      0, "supervised updates before attention mining starts", minimum=0,
      needs=_GAIN)
  ex_weight: float = flag(
      0.0, "weight of extra supervision: the squared error between attention "
      "and mask, on the images that have a mask", minimum=0.0, needs=_GAIN)
  ex_start_step: int = flag(
      0, "supervised updates before extra supervision starts", minimum=0,
      needs=_GAIN)
  ex_fraction: float = flag(
      1.0, "share of the labelled images' masks that is used", minimum=0.001,
      maximum=1.0, needs=_GAIN)
  ex_masks: str = flag(
      "masks", "masks: the masks of the data set; boxes: its boxes, filled",
      choices=("masks", "boxes"), needs=_GAIN)
  record_positives: int = flag(
      4, "number of labelled images, and of validation images, with an object "
      "whose attention TensorBoard shows", minimum=0, needs=_GAIN)
  record_negatives: int = flag(
      4, "as --record_positives, for images without an object: those of the "
      "first of two classes, or without a label", minimum=0, needs=_GAIN)
  record_every: int = flag(
      0, "supervised updates between two records of the attention; default: "
      "--eval_every", minimum=0, needs=_GAIN)


def check(config, given):
  """Refuses an unknown colour, and options of a term whose weight is 0."""
  fill = config.gain_fill
  colour = [int(v) for v in fill.split(",") if v.isdecimal()]
  if fill not in ("zero", "mean") and not (
      fill.count(",") == 2 and len(colour) == 3 and max(colour) <= 255):
    raise UserError("gain_fill", fill,
                    "must be zero, mean, or three numbers from 0 to 255: "
                    "R,G,B")
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
  check_weights(config, ("cl_weight", "am_weight", "ex_weight"))
  for name in ("am_start_step", "ex_start_step"):
    if getattr(config, name) >= config.steps:
      raise UserError(name, getattr(config, name),
                      f"the run has only {config.steps} steps")
