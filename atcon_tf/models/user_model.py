"""A user's own Keras model: reads it from a file and checks that it fits."""

import keras

from atcon_tf.config import UserError
from atcon_tf.models import backbones
from atcon_tf.models.graph import functional_of


def load(path, image_size):
  """A user's model and the side of its input.

  Args:
    path: of a .keras file.
    image_size: side of the images; 0: the model's own.
  Raises:
    UserError: the file does not load, or the model does not fit.
  """
  try:
    model = keras.saving.load_model(path, compile=False)
  except Exception as error:  # each layer may raise a class of its own
    why = f"cannot be loaded: {backbones.first_line(error)}"
    raise UserError("model", path, why) from error
  return fitting(model, path, image_size)


def fitting(model, path, image_size):
  """A user's model as a functional one, and the side of its input.

  Args:
    model: a Keras model.
    path: of its file, or its name, for messages.
    image_size: side of the images; 0: the model's own.
  Raises:
    UserError: the model cannot be a classifier of such images.
  """
  model = functional_of(model)
  if len(model.inputs) != 1 or len(model.outputs) != 1:
    raise UserError("model", path,
                    f"has {len(model.inputs)} inputs and {len(model.outputs)} "
                    "outputs; must have one of each")
  shape = model.inputs[0].shape
  if len(shape) != 4 or shape[-1] != 3:
    raise UserError("model", path,
                    f"its input is {shape}; must be one batch of RGB images, "
                    "[None, height, width, 3]")
  sizes = {s for s in shape[1:3] if s} or {image_size}
  if sizes == {0}:
    raise UserError("image_size", None,
                    f"needed, since {path} takes images of any size")
  if len(sizes) > 1 or image_size not in (0, *sizes):
    raise UserError("image_size", image_size,
                    f"{path} takes {shape[1]}x{shape[2]}; must be square and "
                    "the same")
  return model, sizes.pop()


def file_image_size(path):
  """The side of the images that the model in a .keras file takes.

  Raises:
    UserError: the model takes any size, or does not fit.
  """
  return load(path, 0)[1]
