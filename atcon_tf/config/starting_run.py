"""The network's settings of the run that --warm_start names.

Weights belong to one network. So a run that starts from another run, and a
head that explains it, take the settings of its network and do not ask for
them again.
"""

import json
import pathlib

from atcon_tf.config import defaults
from atcon_tf.config.errors import UserError

# What the weights depend on, and the layer of the maps.
NETWORK = ("model", "width", "image_size", "input_range", "reflect_padding",
           "resize", "head", "cam_layer", "feature_layer")


def network_of(config, given):
  """The fields of `NETWORK` that a config takes from its starting run.

  Args:
    config: a `Config`; warm_start names the folder of a run, or the weights
      in its checkpoints/.
    given: names of the fields that the user gave.
  Returns:
    `{field: value}`; {} if warm_start names no run.
  Raises:
    UserError: a given field contradicts the run.
  """
  stored = _stored(config.warm_start)
  if not stored.get("cam_layer"):  # that run chose none
    stored.pop("cam_layer", None)
  copy = _copy(config.warm_start) if stored else ""
  for name, value in stored.items():
    own = getattr(config, name)
    if name in given and own != value and not (name == "model" and own == copy):
      shown = ",".join(value) if isinstance(value, tuple) else value
      raise UserError(name, own,
                      f"--warm_start={config.warm_start} has {shown}; without "
                      "the flag the run's own value applies")
  if copy:  # whatever became of the file itself
    stored["model"] = copy
  return {name: value for name, value in stored.items() if name not in given}


def _copy(warm_start):
  """The path of the model's file that the run keeps, or ""."""
  there = [_folder(warm_start) / f"model{e}" for e in defaults.MODEL_FILES]
  return next((str(path) for path in there if path.is_file()), "")


def _folder(warm_start):
  """The folder of the run whose weights --warm_start names."""
  folder = pathlib.Path(warm_start)
  # It may also be RUN/checkpoints/best.weights.h5.
  return folder.parent.parent if folder.is_file() else folder


def _stored(warm_start):
  """The fields of `NETWORK` in the config.json of a run; {} without one."""
  if not warm_start:
    return {}
  path = _folder(warm_start) / "config.json"
  if not path.is_file():
    return {}
  try:
    values = json.loads(path.read_text(encoding="utf-8"))
    return {name: tuple(values[name]) if name == "cam_layer" else values[name]
            for name in NETWORK if name in values}
  except (ValueError, TypeError) as error:
    raise UserError("warm_start", warm_start,
                    f"{path}: not the settings of a run: {error}") from error
