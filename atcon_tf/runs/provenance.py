"""What a stored result says of where it is from."""

import os
import pathlib
import platform
import shlex
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf


def about(run, split, voc_year=0):
  """What a file of scores says of where they are from, a dict."""
  config, words = run.config, environment()
  data = f"{config.dataset}{voc_year or config.voc_year}" if (
      config.dataset == "voc") else config.dataset
  words["command"] = words["command"].replace("atcon_tf.train",
                                              "atcon_tf.evaluate")
  return words | {"about": (
      f"{config.model} at {run.classifier.image_size[0]} px, "
      f"{config.objective}, {config.shots or 'all'} labelled images a class; "
      f"{split} images of {data}, none of which it was trained on.")}


def environment():
  """Versions, git commit and command of this process."""
  folder = pathlib.Path(__file__).parent
  try:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
  except (OSError, subprocess.CalledProcessError):
    commit = "unknown"
  return {
      "versions": {"python": platform.python_version(),
                   "tensorflow": tf.__version__, "keras": keras.__version__,
                   "numpy": np.__version__},
      "commit": commit,
      "command": shlex.join([os.path.basename(sys.executable), "-m",
                             "atcon_tf.train",
                             *map(_base_name, sys.argv[1:])]),
  }


def _base_name(argument):
  """A flag without the folders of this machine in an absolute path."""
  flag, equals, value = argument.partition("=")
  if equals and os.path.isabs(value):
    value = os.path.basename(os.path.normpath(value))
  return flag + equals + value
