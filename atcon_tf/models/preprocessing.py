"""The preprocessing with which a user's model begins.

A graph may begin with Rescaling, Normalization or the arithmetic of an
application's `preprocess_input`. Such a model expects other pixels than one
without, and it cannot say so. `find` runs these first operations on a few
values and reads from the result which pixels they were made for.
"""

import dataclasses

import keras
import numpy as np

from atcon_tf.models.graph import functional_of

_LAYERS = keras.layers
# They move or disturb pixels, or are off outside of training, and leave the
# range of the values as it is.
_PASSING = (_LAYERS.InputLayer, _LAYERS.Identity, _LAYERS.Dropout,
            _LAYERS.SpatialDropout2D, _LAYERS.GaussianNoise,
            _LAYERS.ZeroPadding2D, _LAYERS.Cropping2D, _LAYERS.Resizing,
            _LAYERS.CenterCrop)
_VALUES = np.array([0., 1., 255.], np.float32)
_UNKNOWN = object()


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """What a model does to its images first.

  Attributes:
    names: of its operations, in order.
    expects: the range of pixels that they were made for, "0..1", "-1..1" or
      "0..255"; "" if the arithmetic does not show it.
  """

  names: tuple[str, ...]
  expects: str


def find(model):
  """The `Preprocessing` of a functional or Sequential model; None: it has none.

  Args:
    model: a Keras model of one image, `[B, height, width, channels]`.

  Example:
    >>> find(keras.Sequential([keras.Input([8, 8, 3]),
    ...                        keras.layers.Rescaling(1 / 127.5, -1),
    ...                        keras.layers.Conv2D(4, 3)])).expects
    '0..255'
  """
  names, ends = [], []
  channels = model.inputs[0].shape[-1]
  images = np.tile(_VALUES[:, None, None, None], [1, 1, 1, channels])

  def call(operation, *args, **kwargs):
    if not args:
      args = (kwargs.pop(next(iter(kwargs))),)
    tensors = keras.tree.flatten([args, kwargs])
    if not any(x is _UNKNOWN for x in tensors):
      if isinstance(operation, keras.Model):
        return _run(operation, args[0], call)
      if isinstance(operation, _PASSING) or (
          type(operation).__name__.startswith("Random")):
        return args[0]
      if _computes(operation):
        try:
          result = np.asarray(operation(*args, **kwargs))
          if result.size % images.size == 0 or result.size * channels == (
              images.size):
            names.append(operation.name)
            return result
        except Exception:  # not of a picture of one pixel: no arithmetic
          pass
    ends.extend(x for x in tensors if isinstance(x, np.ndarray)
                and x.shape == images.shape)
    return [_UNKNOWN] * 64  # at most as many outputs

  _run(model, images, call)
  if not names or not ends:
    return None
  return Preprocessing(tuple(dict.fromkeys(names)), _expects(ends))


def _run(model, images, call):
  try:
    return functional_of(model)._run_through_graph(images, call_fn=call)
  except Exception:  # a subclassed model inside
    return _UNKNOWN


def _computes(operation):
  """Whether an operation is arithmetic of pixels."""
  return isinstance(operation, (_LAYERS.Rescaling, _LAYERS.Normalization)) or (
      not isinstance(operation, keras.Layer))


def _expects(ends):
  """The range for which `scale * pixel + offset` was made; "": unclear."""
  zero, one, white = np.asarray(ends[0], np.float64).mean((1, 2, 3))
  scale, offset = one - zero, zero
  linear = np.isclose(white, offset + 255 * scale, rtol=1e-3)
  if not linear or scale <= 0 or any(
      not np.allclose(ends[0], e, atol=1e-4) for e in ends[1:]):
    return ""
  black = -offset / scale  # the pixel that becomes 0
  if scale < 0.1 or black > 1.5:  # of a photo, 255 levels or a mean level
    return "0..255"
  if np.isclose(black, -1):
    return "-1..1"
  if 0.05 < black < 0.95 or (black == 0 and scale > 100):
    return "0..1"
  return ""
