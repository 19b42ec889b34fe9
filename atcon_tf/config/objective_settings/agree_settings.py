"""The settings of the agreement with a teacher's map.

They are those of `objectives/agree.py` and of the term of self-training.
"""

import dataclasses

from atcon_tf.config.errors import UserError
from atcon_tf.config.fields import flag

_AGREE = {"objective": ("agree", "self_training")}
_OPTIONS = ("agree_similarity", "agree_loss", "agree_temperature",
            "agree_teacher", "agree_decay")


@dataclasses.dataclass(frozen=True)
class Agree:
  """Agreement with a teacher's map, `objectives/agree.py`.

  The term covers the images that have a pseudo-label, so the settings of
  self_training that make pseudo-labels apply as well.
  """

  agree_weight: float = flag(
      0.0, "weight of the agreement as a term of self-training", minimum=0.0,
      needs={"objective": ("self_training",)})
  agree_similarity: str = flag(
      "pearson", "similarity of the student's map and the teacher's",
      choices=("pearson", "cosine", "soft_spearman"), needs=_AGREE)
  agree_loss: str = flag(
      "info_nce", "similarity: the loss is minus the similarity; info_nce: "
      "the maps of the other images in the batch are negatives",
      choices=("similarity", "info_nce"), needs=_AGREE)
  agree_temperature: float = flag(
      0.1, "temperature of the similarities in info_nce", minimum=0.001,
      needs={**_AGREE, "agree_loss": ("info_nce",)})
  agree_teacher: str = flag(
      "bank", "bank: the teacher is the network that last ranked the pool, "
      "and its maps are stored; ema: the teacher has moving averages of the "
      "weights", choices=("bank", "ema"), needs=_AGREE)
  agree_decay: float = flag(
      0.99, "decay of the teacher's moving averages", minimum=0.0, maximum=1.0,
      needs={**_AGREE, "agree_teacher": ("ema",)})


def check(config, given):
  """Refuses options of the agreement if its weight is 0."""
  for name in _OPTIONS:
    if name in given and config.objective == "self_training" and (
        not config.agree_weight) and (
            getattr(config, name) != getattr(Agree, name)):
      raise UserError(name, getattr(config, name),
                      "not used with --agree_weight=0")
