"""Every setting of a run: one frozen dataclass, one field = one flag.

The fields stand in `settings` and `objective_settings`; here they are put
together, filled in, checked, and turned into flags and JSON.

    config = Config(dataset="shapes", objective="atcon", shots=8).resolve()

Raises `UserError` (one line that names the flag, the value and what is
allowed) for everything a person can get wrong.
"""

import dataclasses
import json
import os

from absl import flags

from atcon_tf.config import checks
from atcon_tf.config import defaults
from atcon_tf.config import objective_settings
from atcon_tf.config import settings
from atcon_tf.config.settings import HEADS
from atcon_tf.config.settings import UNLABELED

# Fields that may hold a path.
PATHS = ("data_dir", "train_list", "val_list", "test_list", "class_list",
         "unlabeled_dir", "splits", "model", "weights", "warm_start")


@dataclasses.dataclass(frozen=True)
class Config(settings.Evaluation, *reversed(objective_settings.SETTINGS),
             settings.Training, settings.Model, settings.Data):
  """The settings of one run.

  Empty or 0 means: chosen by `resolve`, or not used.
  """

  def resolve(self, explicit=()):
    """Checks every value and fills in what depends on the model.

    Args:
      explicit: names of the fields the user set by hand; they are refused
        where they are not used even if they hold the default.
    Returns:
      a Config in which no field that is used is left open (but for the
      image size of a .keras file, which the file knows); resolving it again
      changes nothing.
    Raises:
      UserError: an impossible value, or one that nothing would use.
    """
    config = self
    if not config.model:
      name = "tiny_cnn" if config.dataset == "shapes" else "mobilenet_v2"
      config = dataclasses.replace(config, model=name)
    if not config.objective:
      name = "atcon" if config.model == "tiny_cnn" else "self_training"
      config = dataclasses.replace(config, objective=name)
    if not config.schedule and config.objective in UNLABELED:
      name = ("combined" if config.objective == "self_training"
              else "alternating")
      config = dataclasses.replace(config, schedule=name)
    checks.check_model(config.model)
    recipe = defaults.FROM_SCRATCH if config.model == "tiny_cnn" else defaults.FINE_TUNING
    if (config.model.endswith(".keras") or config.objective in HEADS
        or config.warm_start):
      recipe = {**recipe, "weights": "none"}  # comes with all of them
    filled = {f.name: recipe[f.name] for f in dataclasses.fields(config)
              if f.name in recipe and not getattr(config, f.name)
              and checks.used(config, f)}
    if config.objective == "self_training" and not config.bank_every:
      steps = config.steps or recipe["steps"]
      filled["bank_every"] = min(30, max(1, steps // 3))
    if config.split_seed < 0:
      filled["split_seed"] = config.seed
    if not config.image_size and config.model in defaults.IMAGE_SIZE:
      filled["image_size"] = defaults.IMAGE_SIZE[config.model]
    given = {f.name for f in dataclasses.fields(self)
             if getattr(self, f.name) != f.default} | set(explicit)
    if (config.objective == "self_training" and "atcon_weight" not in given
        and config.model in defaults.WITHOUT_RELU):
      filled["atcon_weight"] = 0.0
    for field in dataclasses.fields(config):
      checks.check_field(config, field, field.name in given)
    checks.check_together(config, given)
    config = dataclasses.replace(config, **filled)
    for check in objective_settings.CHECKS:
      check(config, given)
    return config

  def with_objective(self, objective):
    """These settings for another objective; what it does not use goes."""
    config = dataclasses.replace(self, objective=objective, schedule="")
    return dataclasses.replace(config, **{
        f.name: f.default for f in dataclasses.fields(config)
        if not checks.used(config, f)}).resolve()

  def public(self):
    """These settings without the folders of this machine: for others."""
    absolute = {name: getattr(self, name) for name in PATHS
                if os.path.isabs(getattr(self, name))}
    return dataclasses.replace(self, **{
        name: os.path.basename(os.path.normpath(value))
        for name, value in absolute.items()})

  def to_json(self):
    """The settings as JSON text, keys in the order of the fields."""
    return json.dumps(dataclasses.asdict(self), indent=2)

  @classmethod
  def from_json(cls, text):
    """The inverse of `to_json`."""
    values = json.loads(text)
    names = {f.name for f in dataclasses.fields(cls)}
    values = {k: tuple(v) if isinstance(v, list) else v
              for k, v in values.items() if k in names}
    return cls(**values)

  def to_flags(self):
    """A --flagfile text that repeats these settings."""
    lines = []
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if value == field.default or not checks.used(self, field):
        continue
      if isinstance(value, tuple):
        value = flags.CsvListSerializer(",").serialize(list(value))
      lines.append(f"--{field.name}={value}")
    return "\n".join(lines) + "\n"
