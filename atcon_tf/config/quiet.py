"""Keeps the standard error for what is wrong.

TensorFlow's libraries write a few lines while they are loaded, before they
read TF_CPP_MIN_LOG_LEVEL: that no driver for a GPU is there, and which
instructions of the CPU they use. Such a line would come before every outcome
of a command. With TF_CPP_MIN_LOG_LEVEL=0 in the environment nothing is left
out.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile

from absl import logging as absl_logging

# The heading of the lines that are written too early, and every line that
# only informs.
_NOISE = re.compile(rb"WARNING: All log messages before absl::InitializeLog"
                    rb"|I\d{4} \d\d:\d\d:\d\d")
# Not worth a line on a machine without an NVIDIA driver.
_NO_GPU = b"failed call to cuInit"
_DRIVER = "/proc/driver/nvidia"


def only_warnings():
  """Lets Python's logs of TensorFlow and others through from warnings on."""
  absl_logging.set_verbosity(absl_logging.WARNING)
  # It reports each rewritten graph as a warning.
  logging.getLogger("tf2onnx").setLevel(logging.ERROR)


@contextlib.contextmanager
def without_warnings():
  """A context manager in which TensorFlow's warnings are known and left out."""
  before = absl_logging.get_verbosity()
  absl_logging.set_verbosity(absl_logging.ERROR)
  try:
    yield
  finally:
    absl_logging.set_verbosity(before)


@contextlib.contextmanager
def loading():
  """A context manager in which TensorFlow may be imported.

  The standard error is held back in the block; afterwards the lines that say
  more than how TensorFlow was built are written.
  """
  if "tensorflow" in sys.modules or (
      os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0"):
    yield
    return
  try:
    own = os.dup(2)
  except OSError:  # the standard error is closed
    yield
    return
  with tempfile.TemporaryFile() as held:
    sys.stderr.flush()
    os.dup2(held.fileno(), 2)
    try:
      yield
      if "tensorflow" in sys.modules:  # it looks for devices, which is told too
        sys.modules["tensorflow"].config.list_physical_devices()
    finally:
      sys.stderr.flush()
      os.dup2(own, 2)
      os.close(own)
      held.seek(0)
      os.write(2, matters(held.read()))


def matters(text):
  """What is left of TensorFlow's lines, bytes, without the noise."""
  driver = os.path.exists(_DRIVER)
  return b"".join(
      line for line in text.splitlines(keepends=True)
      if not _NOISE.match(line) and (driver or _NO_GPU not in line))
