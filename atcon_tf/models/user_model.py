"""A user's own Keras model: reads it from a file and checks that it fits."""

import re

import keras

from atcon_tf.config import checks
from atcon_tf.config import image_sizes
from atcon_tf.config import UserError
from atcon_tf.models import backbones
from atcon_tf.models.graph import functional_of
from atcon_tf.models import preprocessing

AUTO = "auto"


def load(path, image_size, frames=0):
  """A user's model and the size of its input.

  Args:
    path: of a .keras or .h5 file.
    image_size: a side or height and width; 0: the model's own.
    frames: see `fitting`.
  Raises:
    UserError: the file does not load, or the model does not fit.
  """
  checks.check_model(path)
  try:
    model = keras.saving.load_model(path, compile=False)
  except Exception as error:  # each layer may raise a class of its own
    raise UserError("model", path,
                    f"cannot be loaded: {_why(error)}") from error
  return fitting(model, path, image_size, frames)


def _why(error):
  """What a person can do about a file that Keras does not load."""
  text = str(error)
  unknown = re.search(r"Could not locate (?:class|function) '([^']+)'", text)
  unknown = unknown or re.search(r"Unknown layer: '?(\w+)", text)
  if unknown:
    return (f"{unknown[1]} is not a part of Keras; in Python, register it "
            "(keras.saving.register_keras_serializable) and use "
            "atcon_tf.models.load")
  if "Lambda" in text and "Python lambda" in text:
    return ("it has a Lambda layer, Python code that Keras does not run from "
            "a file; use keras.ops or a layer such as Rescaling instead, and "
            "save it again")
  if "No model config found" in text:
    return ("it holds weights alone; build the network, load them, and write "
            "the whole with model.save('mine.keras')")
  return (f"{backbones.first_line(error)}; if another version of Keras wrote "
          "it, load it there and write it with model.save('mine.keras')")


def fitting(model, path, image_size, frames=None):
  """A user's model as a functional one, and the size of its input.

  Args:
    model: a Keras model.
    path: of its file, or its name, for messages.
    image_size: a side or height and width; 0: the model's own.
    frames: of the clips that it shall take, 0 for images; None: whatever the
      model takes.
  Returns:
    the model, and `(height, width)`, or `(frames, height, width)` of a model
    of clips.
  Raises:
    UserError: the model cannot be a classifier of such images.
  """
  model = functional_of(model)
  if len(model.inputs) != 1 or len(model.outputs) != 1:
    raise UserError("model", path,
                    f"has {len(model.inputs)} inputs and {len(model.outputs)} "
                    "outputs; must have one of each")
  shape = model.inputs[0].shape
  of_clips = len(shape) == 5 and frames != 0
  if not (len(shape) == 4 or of_clips) or shape[-1] not in (1, 3):
    raise UserError("model", path,
                    f"its input is {shape}; must be one batch of RGB or grey "
                    "images, [None, height, width, 3 or 1]")
  length = frames or shape[1]
  if of_clips and (not length or shape[1] not in (None, length)):
    raise UserError("frames", frames, f"{path} takes clips of "
                    f"{shape[1] or 'any number of'} frames; must be "
                    f"{shape[1] or 'at least 1'}")
  wanted = image_sizes.pair(image_size)
  size = tuple(own or side for own, side in zip(shape[-3:-1], wanted))
  if 0 in size:
    raise UserError("image_size", None,
                    f"needed, since {path} takes images of any size")
  if wanted != (0, 0) and size != wanted:
    raise UserError("image_size", image_sizes.short(image_size),
                    f"{path} takes {shape[-3]}x{shape[-2]}; must be the same")
  return model, (length, *size) if of_clips else size


def input_range(model, path, given):
  """The range of pixels that a model expects.

  Args:
    model: a functional Keras model.
    path: of its file, for messages.
    given: a key of `backbones.INPUT_RANGES`, or "auto".
  Returns:
    the key, and a sentence where the model's own preprocessing shows it, or
    "".
  Raises:
    UserError: the model's own preprocessing expects another range.
  """
  first = preprocessing.find(model)
  if first is None or not first.expects:
    return ("0..1" if given == AUTO else given), ""
  what = f"{path} begins with {', '.join(first.names[:4])}"
  if given not in (AUTO, first.expects):
    raise UserError("input_range", given,
                    f"{what}, which expects pixels in {first.expects}; leave "
                    "the flag out")
  return first.expects, f"{what}: it is fed pixels in {first.expects}"


def facts(path, image_size, given_range, frames=0):
  """The size of the images and the range of the pixels of a model's file.

  Args:
    path, image_size, frames: see `load`.
    given_range: see `input_range`.
  Returns:
    the size as a `Config` holds it, and a key of `backbones.INPUT_RANGES`.
  Raises:
    UserError: the model takes any size, or does not fit.
  """
  model, size = load(path, image_size, frames)
  return image_sizes.short(size[-2:]), input_range(model, path, given_range)[0]
