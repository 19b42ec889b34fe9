"""Starts a command of a checkout and notes when its first step was done.

    python -P run_clock.py OUT.json atcon_tf.train --steps=2 ...

The package is that of PYTHONPATH, so that this file serves other commits, too.
"""

import importlib.util
import json
import pathlib
import runpy
import sys
import time

STARTED = time.time()
# Where the class `Trainer` lies today, and where it lay.
TRAINERS = ("atcon_tf.training.trainer", "atcon_tf.trainer")


class AfterImport:
  """Finds the modules of `TRAINERS`, and wraps their `Trainer`."""

  def __init__(self, out):
    self._out = pathlib.Path(out)

  def find_spec(self, name, path=None, target=None):
    """The specification of a module of `TRAINERS`, see `sys.meta_path`."""
    del path, target
    if name not in TRAINERS:
      return None
    sys.meta_path.remove(self)
    spec = importlib.util.find_spec(name)
    load = spec.loader.exec_module

    def exec_module(module):
      load(module)
      self._watch(module.Trainer)

    spec.loader.exec_module = exec_module
    return spec

  def _watch(self, trainer):
    name = "step" if hasattr(trainer, "step") else "run"
    take = getattr(trainer, name)

    def first(own, batches):
      logs = take(own, batches)
      [float(value) for value in logs.values()]  # until it is done
      self._out.write_text(json.dumps({"first step": time.time() - STARTED}))
      setattr(trainer, name, take)
      return logs

    setattr(trainer, name, first)


if __name__ == "__main__":
  sys.meta_path.insert(0, AfterImport(sys.argv[1]))
  del sys.argv[:2]
  runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
