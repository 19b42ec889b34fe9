"""The origin of a stored result: versions, commit, command."""

import os
import pathlib
import platform
import shlex
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

from atcon_tf.config import image_sizes


def about(run, split, voc_year=0, other=""):
  """The `environment` and a line on the model and the images of scores.

  Args:
    run: a `runs.Run`.
    split: part of the data that was scored.
    voc_year: year of the VOC data that were scored; 0: that of the run.
    other: file of other data that were scored; empty: those of the run.
  Returns:
    the dict of `environment` with the line as "about".
  """
  config = run.config
  data = f"{config.dataset}{voc_year or config.voc_year}" if (
      config.dataset == "voc") else config.dataset
  data = os.path.basename(other) or data
  return environment() | {"about": (
      f"{config.model} at {image_sizes.short(run.classifier.image_size)} px, "
      f"{config.objective}, {config.shots or 'all'} labelled images a class; "
      f"{split} images of {data}, none of which it was trained on.")}


def environment():
  """The dict of this process with "versions", "commit" and "command"."""
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
      "command": _command(),
  }


def _command():
  """The command line of this process, without the folders of this machine.

  It is `python -m MODULE ...`, or the file name of a console script, of a
  notebook's kernel or of a Python file.
  """
  spec = getattr(sys.modules["__main__"], "__spec__", None)
  words = [os.path.basename(sys.argv[0])]
  if spec:
    words = [os.path.basename(sys.executable), "-m",
             spec.name.removesuffix(".__main__")]
  return shlex.join([*words, *map(_base_name, sys.argv[1:])])


def _base_name(argument):
  """A flag without the folders of this machine in an absolute path."""
  flag, equals, value = argument.partition("=")
  if equals and os.path.isabs(value):
    value = os.path.basename(os.path.normpath(value))
  return flag + equals + value
