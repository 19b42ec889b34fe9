"""The settings as absl flags: one field, one flag."""

import dataclasses
import types
import typing

from absl import flags

from atcon_tf.config import clip_settings
from atcon_tf.config.config import Config
from atcon_tf.config.config import PATHS
from atcon_tf.config.errors import UserError
from atcon_tf.config import image_sizes
from atcon_tf.config import path_flags
from atcon_tf.config import presets
from atcon_tf.config import settings

# The fields of `Data` that say which of the images a training takes, and how.
_OF_TRAINING = {"objective", "shots", "unlabeled", "single_label_only",
                "random_labels", "splits", "max_bad_images", "cache",
                "cache_dir"}


class _SizeParser(flags.ArgumentParser):
  """Reads a side, or height and width, as `Config` holds them."""

  syntactic_help = "a side in pixels, or HEIGHTxWIDTH"

  def parse(self, argument):
    try:
      return image_sizes.short(argument)
    except (TypeError, ValueError) as error:
      raise ValueError(f"must be {self.syntactic_help}, as 224 or 192x256"
                       ) from error


class _CountParser(flags.IntegerParser):
  """Reads a number, or a word that stands for 0."""

  def __init__(self, zero):
    super().__init__()
    self._zero = zero

  def convert(self, argument):
    if argument == self._zero:
      return 0
    try:
      return super().convert(argument)
    except ValueError as error:
      raise ValueError(f"must be {self._zero} or a number") from error


def define_size(name, default, text, flag_values=flags.FLAGS):
  """Defines a flag of an image size."""
  flags.DEFINE(_SizeParser(), name, default, text, flag_values=flag_values,
               serializer=flags.ArgumentSerializer())


_DEFINE = {str: flags.DEFINE_string, int: flags.DEFINE_integer,
           float: flags.DEFINE_float, bool: flags.DEFINE_bool,
           tuple: flags.DEFINE_list, types.UnionType: define_size}


def define_flags(flag_values=flags.FLAGS):
  """Defines one absl flag for each field of `Config`.

  Args:
    flag_values: the `absl.flags.FlagValues` that receives the flags.
  """
  for field in dataclasses.fields(Config):
    kind = typing.get_origin(field.type) or field.type
    default = list(field.default) if kind is tuple else field.default
    text = field.metadata["help"]
    if field.metadata["choices"]:
      text += " (%s)" % ", ".join(map(str, field.metadata["choices"]))
    define = path_flags.path if field.name in PATHS else _DEFINE[kind]
    if field.metadata["zero"]:
      flags.DEFINE(_CountParser(field.metadata["zero"]), field.name, default,
                   text, flag_values=flag_values,
                   serializer=flags.ArgumentSerializer())
    else:
      define(field.name, default, text, flag_values=flag_values)
    if "default:" in text:  # the text says it, and --help need not
      flag_values[field.name].default_as_str = None


def not_of_data():
  """The names of the flags that a command about data alone does not use."""
  used = {*settings.Data.__annotations__, *clip_settings.Clips.__annotations__,
          } - _OF_TRAINING
  return [f.name for f in dataclasses.fields(Config) if f.name not in used]


def from_flags(flag_values=flags.FLAGS):
  """The resolved `Config` that the parsed flags describe.

  Args:
    flag_values: parsed `absl.flags.FlagValues`.
  Raises:
    UserError: `Config.resolve` refuses a value.
  """
  values, explicit = {}, set()
  for field in dataclasses.fields(Config):
    value = flag_values[field.name].value
    values[field.name] = tuple(value) if isinstance(value, list) else value
    if flag_values[field.name].present:
      explicit.add(field.name)
  return Config(**values).resolve(explicit)


def parse(arguments):
  """The resolved `Config` that a command line of train describes.

  Args:
    arguments: list of the words of the command line after the command.
  Raises:
    UserError: a word is no flag, or a value is refused.
  """
  values = flags.FlagValues()
  define_flags(values)
  flags.DEFINE_string("workdir", "", "", flag_values=values)
  try:
    rest = values(["train", *presets.expand(arguments)])[1:]
  except flags.Error as error:
    raise UserError(str(error)) from error
  if rest:
    raise UserError(f"'{rest[0]}': not a flag; flags begin with --")
  return from_flags(values)
