"""The settings of label-set operations, `objectives/laso.py`."""

import dataclasses

from atcon_tf.config.errors import UserError
from atcon_tf.config.fields import check_weights
from atcon_tf.config.fields import flag

_LASO = {"objective": ("laso",)}


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
      1.0, "weight of the classification of features rebuilt from difference "
      "and intersection", minimum=0.0, needs=_LASO)
  class_union_weight: float = flag(
      1.0, "weight of the classification of unions", minimum=0.0, needs=_LASO)
  class_intersection_weight: float = flag(
      1.0, "weight of the classification of intersections", minimum=0.0,
      needs=_LASO)
  class_subtraction_weight: float = flag(
      0.0, "weight of the classification of differences", minimum=0.0,
      needs=_LASO)
  recon_fake_weight: float = flag(
      1.0, "weight of the distance of features from the rebuilt ones",
      minimum=0.0, needs=_LASO)
  recon_union_weight: float = flag(
      1.0, "weight of the distance between the unions of a pair in both "
      "orders", minimum=0.0, needs=_LASO)
  recon_intersection_weight: float = flag(
      1.0, "weight of the distance between the intersections of a pair in "
      "both orders", minimum=0.0, needs=_LASO)
  recon_subtraction_weight: float = flag(
      0.0, "weight of the distance between four computations of one "
      "difference", minimum=0.0, needs=_LASO)


def check(config, given):
  """Refuses images of one label each, and weights that are all 0."""
  del given
  if config.single_label_only:
    raise UserError("single_label_only", True,
                    "not used with --objective=laso, which learns from images "
                    "with several labels")
  check_weights(config, [f.name for f in dataclasses.fields(Laso)
                         if f.name.endswith("_weight")])


def check_data(config, data):
  """Refuses a data set whose images have one label each."""
  if not data.multi_label:
    raise UserError("objective", "laso",
                    "works on sets of labels, and the images of --dataset="
                    f"{config.dataset} have one label each")
