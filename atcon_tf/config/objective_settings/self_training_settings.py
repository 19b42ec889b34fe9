"""The settings of self-training, `objectives/self_training.py`."""

import dataclasses

from atcon_tf.config import defaults
from atcon_tf.config.errors import UserError
from atcon_tf.config.fields import check_augment
from atcon_tf.config.fields import flag
from atcon_tf.config.objective_settings import agree_settings

_SELF_TRAINING = {"objective": ("self_training",)}
# The settings of the pseudo-labels go with every objective that has some.
_PSEUDO_LABELS = {"objective": ("self_training", "agree")}


@dataclasses.dataclass(frozen=True)
class SelfTraining:
  """Rank pseudo-labels, `objectives/self_training.py`."""

  bank_every: int = flag(
      0, "supervised updates between two rankings of the unlabelled pool; the "
      "first is after as many; default: 30, a third of fewer than 90 --steps",
      minimum=0, needs=_PSEUDO_LABELS)
  pseudo_per_class: int = flag(
      0, "images of the pool that become a class's positives; default: "
      "--pseudo_share of those that its prior leads to expect", minimum=0,
      needs=_PSEUDO_LABELS)
  pseudo_share: float = flag(
      0.5, "share of a class's expected images in the pool that become its "
      "positives", minimum=0.01, maximum=1.0,
      needs={**_PSEUDO_LABELS, "pseudo_per_class": (0,)})
  pseudo_negatives: float = flag(
      0.6, "share of the pool, ranked lowest, that becomes its negatives",
      minimum=0.0, maximum=1.0, needs=_PSEUDO_LABELS)
  strong_augment: tuple[str, ...] = flag(
      ("crop", "flip", "color", "cutout"), "of the unlabelled images that are "
      "learnt from, as --augment", needs=_PSEUDO_LABELS)
  refit: str = flag(
      "", "on: after the last update the ranked probe is fitted again, on the "
      "trained features, and kept where it is better on the validation "
      "images; default: on with --start=ranked_probe", choices=("on", "off"),
      needs=_PSEUDO_LABELS)
  equivariance_weight: float = flag(
      0.0, "weight of the agreement of Grad-CAM before and after a crop and "
      "a flip", minimum=0.0, needs=_SELF_TRAINING)
  atcon_weight: float = flag(
      0.2, "weight of ATCON's term on the same images and classes; default: "
      "0.2, but 0 for efficientnet_b0, which has no ReLU",
      minimum=0.0, needs=_SELF_TRAINING)


# From a ranked probe, which knows much already: fewer updates, of the last
# stage alone. docs/evidence.md has the runs on validation images.
FROM_RANKED_PROBE = dict(
    steps=50, learning_rate=1e-4, trained_layers="last_stage",
    unlabeled_batch_size=24, bank_every=50, eval_every=25, atcon_weight=0.0)


def fill(config, given, steps):
  """The values that depend on the start and on the network."""
  started = config.start == "ranked_probe"
  filled = {}
  if started:
    filled = {name: value for name, value in FROM_RANKED_PROBE.items()
              if name not in given and (
                  name != "atcon_weight" or config.objective != "agree")}
  elif not config.bank_every:
    filled["bank_every"] = min(30, max(1, steps // 3))
  if not config.refit:
    filled["refit"] = "on" if started else "off"
  if "atcon_weight" not in given and config.objective != "agree" and (
      not defaults.of(config.model).relu):
    filled["atcon_weight"] = 0.0
  return filled


def check(config, given):
  """Refuses a first ranking that would come after the last update."""
  agree_settings.check(config, given)
  check_augment("strong_augment", config.strong_augment)
  if config.refit == "on" and config.start != "ranked_probe":
    raise UserError("refit", "on", "goes with --start=ranked_probe")
  if config.start != "ranked_probe" and (
      config.bank_every >= config.steps > 1):
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
