"""Flags that hold paths: `~` is expanded, addresses are refused.

    path_flags.path("workdir", "W/run", "folder of the run")
    path_flags.paths("images", "files, folders or globs")
"""

from absl import flags

from atcon_tf.config import local_paths
from atcon_tf.config.errors import UserError


class _Path(flags.ArgumentParser):
  """One path; absl prints the reason of a `ValueError` with the flag."""

  syntactic_help = "a path"

  def parse(self, argument):
    try:
      return local_paths.local("", argument)
    except UserError as error:
      raise ValueError(error.why) from error

  def flag_type(self):
    return "string"


class _Paths(_Path):
  """A list of paths, see `local_paths.split`."""

  syntactic_help = "paths separated by commas"

  def parse(self, argument):
    texts = (argument if isinstance(argument, list) else
             local_paths.split(argument))
    return [super(_Paths, self).parse(text) for text in texts]

  def flag_type(self):
    return "comma separated list of paths"


def path(name, default, text, flag_values=flags.FLAGS):
  """Defines a flag that holds a path, as `flags.DEFINE_string`."""
  flags.DEFINE(_Path(), name, default, text, flag_values,
               flags.ArgumentSerializer())


def paths(name, text, flag_values=flags.FLAGS):
  """Defines a flag that holds a list of paths, empty by default."""
  flags.DEFINE(_Paths(), name, [], text, flag_values,
               flags.CsvListSerializer(","))


def multi_path(name, text, flag_values=flags.FLAGS):
  """Defines a flag of one path that may be given several times."""
  flags.DEFINE_multi(_Path(), flags.ArgumentSerializer(), name, [], text,
                     flag_values)
