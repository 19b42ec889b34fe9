"""The manifest of a folder of prepared images, and the settings it fixes.

`atcon_tf.prepare` stores images as one network sees them. So a run on them
takes that size and framing, and does not ask for them again.
"""

import json
import pathlib

from atcon_tf.config.errors import UserError

DATASET = "prepared"
MANIFEST = "manifest.json"
# How the stored images were fitted to a network.
FRAMING = ("image_size", "resize")
_KEYS = ("format", "settings", "classes", "multi_label", "parts", "shards")
_FORMAT = 1


def manifest(folder):
  """The dict of a folder's manifest.json.

  Args:
    folder: the value of --data_dir.
  Raises:
    UserError: the folder has no manifest, or it is of another kind.
  """
  path = pathlib.Path(folder) / MANIFEST
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
  except OSError:
    raise UserError(
        "data_dir", folder, f"no {MANIFEST} there; `python -m atcon_tf.prepare "
        "--out=FOLDER` writes one when it has stored all images (the same "
        "command continues)") from None
  except ValueError as error:
    raise UserError(f"{path}: not JSON: {error}") from None
  if not (isinstance(found, dict) and set(_KEYS) <= set(found)
          and found["format"] == _FORMAT):
    raise UserError(f"{path}: not a manifest of atcon_tf.prepare, format "
                    f"{_FORMAT}")
  return found


def framing_of(config, given):
  """The fields of `FRAMING` that a config takes from its prepared images.

  Args:
    config: a `Config`.
    given: names of the fields that the user gave, or a starting run fixes.
  Returns:
    `{field: value}`; {} if the images are not prepared.
  Raises:
    UserError: a given field contradicts the manifest, or there is none.
  """
  if config.dataset != DATASET:
    return {}
  if not config.data_dir:
    raise UserError("data_dir", None, "needed by --dataset=prepared, the "
                    "folder that atcon_tf.prepare wrote")
  stored = manifest(config.data_dir)["settings"]
  for name in FRAMING:
    own = getattr(config, name)
    if name in given and own != stored[name]:
      raise UserError(
          name, own, f"the images in {config.data_dir} were prepared with "
          f"--{name}={stored[name]}; without the flag it applies")
  return {name: stored[name] for name in FRAMING}
