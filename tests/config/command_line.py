"""Parses a command line and makes temporary files, for tests of settings."""

import dataclasses
import pathlib
import tempfile

from absl import flags
from absl.testing import parameterized

from atcon_tf.config import Config
from atcon_tf.config import define_flags
from atcon_tf.config import from_flags

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def parse(*arguments):
  """The resolved `Config` of a command line."""
  values = flags.FlagValues()
  define_flags(values)
  values(["train", *arguments])
  return from_flags(values)


class Case(parameterized.TestCase):
  """A test case that can write temporary files."""

  def file(self, name, text=""):
    """The path of a new file, which is deleted after the test."""
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    path = pathlib.Path(folder.name) / name
    path.write_text(text)
    return str(path)
