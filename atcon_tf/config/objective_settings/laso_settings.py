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


def check(config, given):
  """Refuses what leaves nothing to learn from sets of labels."""
  del given
  if config.single_label_only:
    raise UserError("single_label_only", True,
                    "not used with --objective=laso, which learns from images "
                    "with several labels")
  check_weights(config, [f.name for f in dataclasses.fields(Laso)
                          if f.name.endswith("_weight")])


def check_data(config, data):
  """Refuses images of one label each."""
  if not data.multi_label:
    raise UserError("objective", "laso",
                    "works on sets of labels, and the images of --dataset="
                    f"{config.dataset} have one label each")
