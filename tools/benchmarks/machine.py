"""Which machine, and which versions, a figure belongs to."""

import datetime
import importlib.metadata
import os
import platform
import re

import tensorflow as tf

from atcon_tf.runs import provenance


def kind():
  """"gpu" or "cpu", by what TensorFlow computes on."""
  return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"


def facts():
  """The machine, the versions and the date, as a dict of texts."""
  gpus = [tf.config.experimental.get_device_details(d).get("device_name", "")
          for d in tf.config.list_physical_devices("GPU")]
  return {
      "machine": ", ".join([*gpus, f"{_processor()}, "
                            f"{len(os.sched_getaffinity(0))} cores"]),
      "load": f"{os.getloadavg()[0]:.1f}",
      "versions": ", ".join(
          [f"Python {platform.python_version()}",
           *(f"{name} {importlib.metadata.version(name)}"
             for name in ("tensorflow", "keras"))]),
      "date": datetime.date.today().isoformat(),
      "commit": provenance.environment()["commit"]}


def _processor():
  """The processor's name."""
  try:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
      found = re.search(r"model name\s*:\s*(.*)", file.read())
  except OSError:
    found = None
  return found[1] if found else platform.processor() or platform.machine()
