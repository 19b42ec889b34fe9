"""The objectives by name, as far as the settings know them.

A new objective brings a file of settings here (or none), a file with its loss
in `objectives/`, and a row in both registries. This one needs no TensorFlow,
so that flags are defined and refused at once.
"""

import dataclasses
import typing

from atcon_tf.config.objective_settings import agree_settings
from atcon_tf.config.objective_settings import atcon_settings
from atcon_tf.config.objective_settings import explanation_head_settings
from atcon_tf.config.objective_settings import gain_settings
from atcon_tf.config.objective_settings import laso_settings
from atcon_tf.config.objective_settings import layer_consistency_settings
from atcon_tf.config.objective_settings import self_training_settings


@dataclasses.dataclass(frozen=True)
class Row:
  """What the settings know of an objective.

  Attributes:
    settings: its dataclass of flags; None: it has none of its own.
    unlabeled: it has a term on unlabelled images, beside the supervised one;
      other objectives take the supervised one's place.
    trains_head: it trains an explanation head for a frozen classifier.
    trains: it trains the network by gradient steps.
    schedule: the default of --schedule where it has a term on unlabelled
      images.
    start: the only --start that it has; "": any.
    fill: `(config, names of given fields, steps) -> {field: value}`, the
      defaults that depend on other settings.
    check: `(config, names of given fields)`; raises `UserError` for settings
      that do not go together.
    check_data: `(config, Dataset)`; raises `UserError` for data that the
      objective cannot use.
  """

  settings: type | None = None
  unlabeled: bool = False
  trains_head: bool = False
  trains: bool = True
  schedule: str = "alternating"
  start: str = ""
  fill: typing.Callable = lambda config, given, steps: {}
  check: typing.Callable = lambda config, given: None
  check_data: typing.Callable = lambda config, data: None


OBJECTIVES = {
    "supervised": Row(),
    "probe": Row(trains=False, start="probe"),
    "ranked_probe": Row(trains=False, start="ranked_probe"),
    "atcon": Row(atcon_settings.Atcon, unlabeled=True,
                 check=atcon_settings.check),
    "layer_consistency": Row(
        layer_consistency_settings.LayerConsistency, unlabeled=True),
    "self_training": Row(
        self_training_settings.SelfTraining, unlabeled=True,
        schedule="combined", fill=self_training_settings.fill,
        check=self_training_settings.check,
        check_data=self_training_settings.check_data),
    "agree": Row(
        agree_settings.Agree, unlabeled=True, schedule="combined",
        fill=self_training_settings.fill, check=self_training_settings.check,
        check_data=self_training_settings.check_data),
    "gain": Row(gain_settings.Gain, check=gain_settings.check),
    "laso": Row(laso_settings.Laso, check=laso_settings.check,
                check_data=laso_settings.check_data),
    "tame": Row(explanation_head_settings.Heads, trains_head=True,
                check=explanation_head_settings.check),
    "l_cam": Row(explanation_head_settings.Heads, trains_head=True,
                 check=explanation_head_settings.check),
}

# Each class of settings once, in the order of the rows.
SETTINGS = tuple(dict.fromkeys(
    row.settings for row in OBJECTIVES.values() if row.settings))
UNLABELED = tuple(name for name, row in OBJECTIVES.items() if row.unlabeled)
HEADS = tuple(name for name, row in OBJECTIVES.items() if row.trains_head)
TRAINED = tuple(name for name, row in OBJECTIVES.items() if row.trains)


def uses_pool(config):
  """Whether a run looks at the unlabelled images."""
  return config.objective in UNLABELED or config.start == "ranked_probe"
