"""The settings of a new head's first weights, `training/head_start.py`."""

import dataclasses

from atcon_tf.config.fields import flag

STARTS = ("prior", "probe", "ranked_probe")
_PROBE = {"start": STARTS[1:]}


@dataclasses.dataclass(frozen=True)
class Probe:
  """The start of a new head, `training/head_start.py`."""

  start: str = flag(
      "", "first weights of a new head: prior, random weights and the "
      "classes' frequencies as bias; probe, logistic regression on the frozen "
      "features of the labelled images; ranked_probe, the same with the "
      "unlabelled images, whose pseudo-labels come from their ranks; default: "
      "ranked_probe for an objective about unlabelled images, else probe, but "
      "prior without pretrained weights", choices=STARTS)
  head: str = flag(
      "", "layers of a new head: unit, a dense layer on features scaled to "
      "one length; linear, a dense layer on the features; default: linear "
      "with --start=prior, else unit", choices=("unit", "linear"))
  probe_views: str = flag(
      "flip", "views of an image whose features are averaged: plain, the "
      "image; flip, the image and its mirror image; five, the four corners "
      "and the middle, each 7/8 of a side",
      choices=("plain", "flip", "five"), needs=_PROBE)
  probe_strength: float = flag(
      0.3, "C of the logistic regression; 0: cross-validation on the labelled "
      "images chooses it", minimum=0.0, needs=_PROBE)
  feature_cache: str = flag(
      "", "folder that keeps the features of the pretrained network, so that "
      "the next run on the same images starts at once; empty: none is kept",
      needs=_PROBE)
  class_prior: str = flag(
      "", "JSON file {class name: share of images that show the class}, from "
      "which the number of pseudo-labels follows; default: the shares in the "
      "validation images")
