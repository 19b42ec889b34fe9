"""Where the head of a run begins: the settings of the probe."""

import dataclasses

from atcon_tf.config.fields import flag

STARTS = ("prior", "probe", "ranked_probe")
_PROBE = {"start": STARTS[1:]}


@dataclasses.dataclass(frozen=True)
class Probe:
  """The start of a new head, `training/head_start.py`."""

  start: str = flag(
      "", "where a new head begins: prior, its bias is the share of images "
      "that show each class; probe, logistic regression on the frozen "
      "features of the labelled images; ranked_probe, the unlabelled images "
      "join it by their ranks; default: ranked_probe for an objective about "
      "unlabelled images, else probe, but prior without pretrained weights",
      choices=STARTS)
  head: str = flag(
      "", "a new head: unit, a dense layer on features of one length; linear, "
      "on the features as they are; default: linear with --start=prior, else "
      "unit", choices=("unit", "linear"))
  probe_views: str = flag(
      "flip", "views of an image whose features are averaged: plain, the "
      "image; flip, its mirror image as well", choices=("plain", "flip"),
      needs=_PROBE)
  probe_strength: float = flag(
      0.3, "C of the logistic regression; 0: chosen by cross-validation on "
      "the labelled images", minimum=0.0, needs=_PROBE)
  class_prior: str = flag(
      "", "JSON file of {class name: share of the images that show it}, for "
      "the ranks of the pool; default: from the validation images")
