"""Every setting of a run: one frozen dataclass, one field = one flag.

`settings.py` and `objective_settings/` define the fields. `Config` joins
them, checks them, fills in the defaults that depend on other settings, and
writes them as flags and as JSON.

    config = Config(dataset="shapes", objective="atcon", shots=8).resolve()

`resolve` raises a `UserError` (one line that names the setting, its value and
what is allowed) for every setting that a person can get wrong.
"""

import dataclasses
import json
import os

from absl import flags

from atcon_tf.config import checks
from atcon_tf.config import clip_settings
from atcon_tf.config import defaults
from atcon_tf.config import image_sizes
from atcon_tf.config import local_paths
from atcon_tf.config import prepared_folder
from atcon_tf.config import settings
from atcon_tf.config import starting_run
from atcon_tf.config.objective_settings import probe_settings
from atcon_tf.config.objective_settings.registry import OBJECTIVES
from atcon_tf.config.objective_settings.registry import SETTINGS

# Fields that may hold a path.
PATHS = ("data_dir", "train_list", "val_list", "test_list", "class_list",
         "table", "annotations", "val_annotations", "test_annotations",
         "unlabeled_dir", "splits", "model", "weights", "warm_start",
         "class_prior", "feature_cache", "cache_dir", "clip_cache")


@dataclasses.dataclass(frozen=True)
class Config(settings.Evaluation, *reversed(SETTINGS), settings.Training,
             probe_settings.Probe, settings.Model, clip_settings.Clips,
             settings.Data):
  """The settings of one run.

  `resolve` fills in a field that is empty or 0, unless nothing uses it.
  """

  def resolve(self, explicit=()):
    """Checks every value and fills in what depends on the model.

    Args:
      explicit: names of the fields that the user set by hand. Such a field
        is refused where nothing uses it, even if it holds the default.
    Returns:
      a `Config` with a value for every field that is used, except for the
      image size and the input range of a model's file, which the file
        holds (`runs.run_classifier.of_file`). Resolving the
      `Config` again changes nothing.
    Raises:
      UserError: a value is impossible, or nothing would use it.
    """
    given = {f.name for f in dataclasses.fields(self)
             if getattr(self, f.name) != f.default} | set(explicit)
    config = dataclasses.replace(self, **{
        name: local_paths.local(name, getattr(self, name))
        for name in PATHS})
    network = starting_run.network_of(config, given)
    config = dataclasses.replace(config, **network)
    config = dataclasses.replace(config, **prepared_folder.framing_of(
        config, given | set(network)))._named()
    checks.check_model(config.model)
    for field in dataclasses.fields(config):
      checks.check_field(config, field, field.name in given)
    checks.check_together(config, given)
    config = config._filled(given)
    OBJECTIVES[config.objective].check(config, given)
    return config

  def _named(self):
    """Fills in the fields on which the other defaults depend.

    These are the model, objective, schedule, start and head.
    """
    model = self.model or (
        "tiny_cnn" if self.dataset in settings.DRAWN else "mobilenet_v2")
    objective = self.objective or defaults.of(model).recipe["objective"]
    row = OBJECTIVES.get(objective)
    schedule = self.schedule or (
        row.schedule if row and row.unlabeled else "")
    start = self.start or (row and row.start) or self._default_start(
        model, row)
    image_sizes.check(self.image_size)
    return dataclasses.replace(
        self, image_size=image_sizes.short(self.image_size),
        model=model, objective=objective, schedule=schedule,
        start=start, head=self.head or (
            "linear" if start == "prior" else "unit"))

  def _default_start(self, model, row):
    """The start of a new head: a probe, unless the features are untrained."""
    from_scratch = defaults.of(model).recipe is defaults.FROM_SCRATCH and (
        not self.weights)
    if from_scratch or self.weights == "none" or self.warm_start or (
        row is None or row.trains_head):
      return "prior"
    return "ranked_probe" if row.unlabeled else "probe"

  def _filled(self, given):
    """Fills in the defaults of the model and of the objective."""
    row, network = OBJECTIVES[self.objective], defaults.of(self.model)
    recipe = network.recipe
    if defaults.is_file(self.model) or row.trains_head or self.warm_start:
      recipe = {**recipe, "weights": "none"}  # the classifier has weights
    filled = {f.name: recipe[f.name] for f in dataclasses.fields(self)
              if f.name in recipe and not getattr(self, f.name)
              and checks.used(self, f)}
    filled |= {name: value for name, value in clip_settings.filled(
        self).items() if checks.used(self, self.__dataclass_fields__[name])}
    if self.split_seed < 0:
      filled["split_seed"] = self.seed
    if not self.image_size and network.image_size:
      filled["image_size"] = network.image_size
    if self.start != "prior" and "head_learning_rate" in filled:
      filled["head_learning_rate"] = defaults.STARTED_HEAD_RATE
    if self.random_labels:  # the validation score is noise
      filled["keep"] = "last"
    filled |= row.fill(self, given, self.steps or recipe["steps"])
    return dataclasses.replace(self, **filled)

  @property
  def trains(self):
    """Whether the network is trained by gradient steps."""
    return OBJECTIVES[self.objective].trains

  def with_objective(self, objective):
    """These settings for another objective.

    A setting that the other objective does not use returns to its default.
    """
    config = dataclasses.replace(self, objective=objective, schedule="",
                                 start="", head="", trained_layers="",
                                 refit="")
    return dataclasses.replace(config, **{
        f.name: f.default for f in dataclasses.fields(config)
        if not checks.used(config, f)}).resolve()

  def public(self):
    """These settings without the folders of this machine.

    An absolute path is replaced by its last name.
    """
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
    """The inverse of `to_json`; keys that are no settings are left out."""
    values = json.loads(text)
    names = {f.name for f in dataclasses.fields(cls)}
    if not defaults.is_file(values.get("model", "")):
      names -= {"input_range"}  # earlier versions stored one for a backbone
    values = {k: tuple(v) if isinstance(v, list) else v
              for k, v in values.items() if k in names}
    return cls(**values)

  def to_flags(self):
    """The text of a flag file that gives these settings again."""
    lines, row = [], OBJECTIVES.get(self.objective)
    # A default is written as well if `fill` would choose another value.
    filled = row.fill(self, (), self.steps) if row else {}
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      silent = value == field.default == filled.get(field.name, value)
      if silent or not checks.used(self, field):
        continue
      if isinstance(value, tuple):
        value = flags.CsvListSerializer(",").serialize(list(value))
      lines.append(f"--{field.name}={value}")
    return "\n".join(lines) + "\n"
