"""The settings of self-training, `objectives/self_training.py`."""

import dataclasses

from atcon_tf.config import defaults
from atcon_tf.config.errors import UserError
from atcon_tf.config.fields import flag

_SELF_TRAINING = {"objective": ("self_training",)}


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


def fill(config, given, steps):
  """When the pool is ranked; no ATCON term for a network without ReLU."""
  filled = {}
  if not config.bank_every:
    filled["bank_every"] = min(30, max(1, steps // 3))
  if "atcon_weight" not in given and not defaults.of(config.model).relu:
    filled["atcon_weight"] = 0.0
  return filled


def check(config, given):
  """Refuses a first ranking that would come after the last update."""
  del given
  if config.bank_every >= config.steps > 1:
    raise UserError("bank_every", config.bank_every,
                    f"the run has only {config.steps} steps, and the first "
                    "ranking comes after as many as this")


def check_data(config, data):
  """Refuses a share of negatives where an image has one label."""
  if config.pseudo_negatives != (
      SelfTraining.pseudo_negatives) and not data.multi_label:
    raise UserError("pseudo_negatives", config.pseudo_negatives,
                    "the images have one label each, so that what is one "
                    "class is none of the others")
