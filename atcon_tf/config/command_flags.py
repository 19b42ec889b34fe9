"""Flags that several commands share, and the refusal of unused ones."""

import os

from absl import flags

from atcon_tf.config import files
from atcon_tf.config import local_paths
from atcon_tf.config import path_flags
from atcon_tf.config.config import Config
from atcon_tf.config import config_flags
from atcon_tf.config import defaults
from atcon_tf.config.errors import UserError
from atcon_tf.config.settings import RESIZES

# The flags that a run answers from its own settings.
_OF_A_MODEL = ("class_names", "input_range", "image_size", "multi_label",
               "resize", "weights")
# The flags that a model's file, and those that a stock model, does not use.
_NOT_OF_A_FILE = ("weights",)
_NOT_OF_STOCK = ("input_range", "image_size", "multi_label")


def refuse(names, why):
  """Refuses flags that the command would ignore.

  Args:
    names: of the flags.
    why: the reason, for the error.
  Raises:
    UserError: the command line gives one of the flags.
  """
  for name in names:
    if flags.FLAGS[name].present:
      raise UserError(name, flags.FLAGS[name].value, why)


def define_classifier_flags():
  """Defines the flags that name a classifier.

  The classifier is that of a run, of a model's file or a stock Keras model.
  """
  ranges = Config.__dataclass_fields__["input_range"].metadata["choices"]
  path_flags.path("workdir", "", "folder of a run")
  path_flags.path("model", "", "a .keras or .h5 file, or the name of a stock "
                  "Keras model")
  path_flags.path("weights", "imagenet", "weights of a stock model: "
                  "imagenet, none or a file")
  flags.DEFINE_enum("input_range", "auto", sorted(ranges),
                    "range of the pixel values that the model in a file "
                    "expects; auto: see `train`")
  config_flags.define_size(
      "image_size", 0, "side of the input in pixels, or HEIGHTxWIDTH, of a "
      "model in a file that accepts any size")
  flags.DEFINE_enum("resize", "squeeze", RESIZES, "how pictures get the shape "
                    "of a model's input; a run knows it")
  flags.DEFINE_bool("multi_label", False, "an image can show several of the "
                    "classes of the model in a file; always true if it ends "
                    "in several sigmoids")
  flags.DEFINE_list("class_names", [], "class names, or a text file with one "
                    "name a line; default: the classes' numbers")


def classifier_from_flags():
  """The arguments of `runs.run.load_classifier` that the flags give.

  Returns:
    `{argument: value}`.
  Raises:
    UserError: the command line names no classifier, or has a flag that this
      kind of classifier ignores, or the file of --class_names cannot be
      read.
  """
  values = flags.FLAGS
  if bool(values.workdir) == bool(values.model):
    raise UserError("workdir", None,
                    "give either --workdir=RUN or --model=FILE.keras")
  if values.workdir:
    refuse(_OF_A_MODEL, "not used with --workdir")
  if values.model:
    refuse(_NOT_OF_A_FILE if defaults.is_file(values.model) else
           _NOT_OF_STOCK, f"not used with --model={values.model}")
  names = values.class_names
  path = local_paths.local("class_names", ",".join(names))
  if os.path.isfile(path):
    names = [line.strip() for line in files.lines("class_names", path)
             if line.strip()]
  return {"class_names": names} | {name: values[name].value for name in (
      "workdir", "model", "input_range", "image_size", "multi_label",
      "weights")}
