"""Flags that several commands share, and the refusal of unused ones."""

import pathlib

from absl import flags

from atcon_tf.config import files
from atcon_tf.config.config import Config
from atcon_tf.config.errors import UserError

# What a run says itself.
_OF_A_MODEL = ("class_names", "input_range", "image_size", "multi_label",
               "weights")
# What a .keras file does not use, and what a stock model does not use.
_NOT_OF_A_FILE = ("weights",)
_NOT_OF_STOCK = ("input_range", "image_size", "multi_label")


def refuse(names, why):
  """Refuses flags that the command line has and the command would ignore.

  Raises:
    UserError: names the first of them, with its value and `why`.
  """
  for name in names:
    if flags.FLAGS[name].present:
      raise UserError(name, flags.FLAGS[name].value, why)


def define_classifier_flags():
  """Defines the flags of a run, a .keras file or a stock model."""
  ranges = Config.__dataclass_fields__["input_range"].metadata["choices"]
  flags.DEFINE_string("workdir", "", "folder of a run")
  flags.DEFINE_string("model", "", "a .keras file or a stock model's name")
  flags.DEFINE_string("weights", "imagenet", "of a stock model")
  flags.DEFINE_enum("input_range", "0..1", sorted(ranges),
                    "what a .keras model expects")
  flags.DEFINE_integer("image_size", 0, "of a .keras model of any size", 0)
  flags.DEFINE_bool("multi_label", False, "a .keras model's classes can be "
                    "present together (so they can where it ends in a "
                    "sigmoid)")
  flags.DEFINE_list("class_names", [], "names, or a file with one a line")


def classifier_from_flags():
  """The arguments of `runs.run.load_classifier` that the flags give, a dict.

  Raises:
    UserError: the command line has a flag that this kind of classifier
      ignores, or the file of --class_names cannot be read.
  """
  values = flags.FLAGS
  if values.workdir:
    refuse(_OF_A_MODEL, "not used with --workdir")
  if values.model:
    refuse(_NOT_OF_A_FILE if values.model.endswith(".keras") else
           _NOT_OF_STOCK, f"not used with --model={values.model}")
  names = values.class_names
  if len(names) == 1 and pathlib.Path(names[0]).is_file():
    names = [line.strip() for line in files.lines("class_names", names[0])
             if line.strip()]
  return {"class_names": names} | {name: values[name].value for name in (
      "workdir", "model", "input_range", "image_size", "multi_label",
      "weights")}
