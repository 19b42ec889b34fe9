"""Few-shot vision models whose explanations agree: ATCON in Keras 3.

    import atcon_tf as at
    run = at.runs.load("W/photos")

The rooms and names below are loaded when they are first used, so that
`import atcon_tf` costs no TensorFlow.
"""

import importlib
import os

# TensorFlow reads it when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_ROOMS = ("attribution", "config", "data", "evaluation", "models",
          "objectives", "reports", "runs", "serving", "studies", "training")
__all__ = [*_ROOMS, "Config", "UserError", "__version__"]


def __getattr__(name):
  if name in _ROOMS:
    if name != "config":  # the others import Keras
      importlib.import_module("atcon_tf.config.keras_settings").check()
    quiet = importlib.import_module("atcon_tf.config.quiet")
    with quiet.loading():
      return importlib.import_module(f"atcon_tf.{name}")
  if name in ("Config", "UserError"):
    return getattr(importlib.import_module("atcon_tf.config"), name)
  if name == "__version__":
    return importlib.import_module("importlib.metadata").version("atcon_tf")
  raise AttributeError(f"module 'atcon_tf' has no attribute '{name}'")


def __dir__():
  return __all__
