"""How Keras is set up for this user, as far as this package depends on it.

Keras reads KERAS_BACKEND and ~/.keras/keras.json when it is first imported.
This package needs the TensorFlow backend, images with the channels last, and
float32; `check` refuses another setting in one line, before any import of
Keras fails somewhere else.
"""

import json
import os
import pathlib

from atcon_tf.config.errors import UserError

# The settings of Keras that this package needs.
NEEDED = {"backend": "tensorflow", "image_data_format": "channels_last",
          "floatx": "float32"}


def check():
  """Refuses a Keras that is set up otherwise.

  Raises:
    UserError: names KERAS_BACKEND, or the setting and its file.
  """
  backend = os.environ.get("KERAS_BACKEND", "")
  if backend not in ("", NEEDED["backend"]):
    raise UserError(f"KERAS_BACKEND={backend}: must be {NEEDED['backend']}, "
                    "or not set; atcon_tf has no other backend")
  path = _folder() / "keras.json"
  try:
    stored = json.loads(path.read_text())
  except (OSError, ValueError):  # Keras has its defaults then
    return
  for name, needed in NEEDED.items():
    value = stored.get(name, needed)
    if value != needed and not (name == "backend" and backend):
      raise UserError(f"{path}: {name} is {value}; must be {needed}, or set "
                      "KERAS_HOME to a folder without this file")


def check_format(image_data_format):
  """Refuses channels_first, which a program may also set later.

  Raises:
    UserError: it is not channels_last.
  """
  if image_data_format != NEEDED["image_data_format"]:
    raise UserError(f"Keras: image_data_format is {image_data_format}; must "
                    f"be {NEEDED['image_data_format']}")


def _folder():
  """The folder of keras.json, as Keras finds it."""
  if "KERAS_HOME" in os.environ:
    return pathlib.Path(os.environ["KERAS_HOME"]).expanduser()
  home = pathlib.Path.home()
  return (home if os.access(home, os.W_OK) else pathlib.Path("/tmp")) / ".keras"
