"""What can be optimised: `OBJECTIVES[name]` makes a run's objectives."""

from atcon_tf.objectives import atcon
from atcon_tf.objectives import supervised
from atcon_tf.schedule import CONSISTENCY
from atcon_tf.schedule import SUPERVISED


def _supervised(classifier, config, multi_label):
  del config
  return {SUPERVISED: supervised.Supervised(classifier, multi_label)}


def _atcon(classifier, config, multi_label):
  return {
      SUPERVISED: supervised.Supervised(classifier, multi_label),
      CONSISTENCY: atcon.Atcon(
          classifier, config.mask_intensity, config.mask_scale,
          config.consistency_weight)}


# name -> fn(classifier, config, multi_label) -> {kind of step: Objective}.
OBJECTIVES = {"supervised": _supervised, "atcon": _atcon}
