"""Residual networks of clips: r3d_18, mc3_18 and r2plus1d_18.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action
Recognition" (CVPR 2018, arXiv 1711.11248), with the layers and the padding of
torchvision's networks of these names. Their ReLUs are plain, so guided maps
are defined.

* r3d_18: all convolutions are 3 x 3 x 3; each stage but the first halves the
  frames.
* mc3_18: only the first stage looks at time, and no layer has a stride in
  time: its map has a cell for each frame, which is best for *when*.
* r2plus1d_18: each convolution is one of 1 x 3 x 3 and one of 3 x 1 x 1.

A layer has the name of torchvision's, with "_" for ".", so that
`load_state_dict` needs no table of names.
"""

import keras
import numpy as np

from atcon_tf.config import UserError
from atcon_tf.models import state_dict

_LAYERS = keras.layers
NAMES = ("r3d_18", "mc3_18", "r2plus1d_18")
STAGES = 4
BLOCKS = 2
CHANNELS = 64
# torchvision's.
EPSILON = 1e-5


def make(name, frames, size, width=1.0):
  """A network without its head, `[T, height, width, 3]` -> features.

  Args:
    name: one of `NAMES`.
    frames: T.
    size: (height, width).
    width: factor of the number of channels.
  Returns:
    a Keras model with random weights.

  Example:
    >>> make("mc3_18", 8, (32, 32), width=0.125).output_shape
    (None, 8, 2, 2, 64)
  """
  channels = max(2, round(CHANNELS * width))
  x = clips = keras.Input([frames, *size, 3], name="clips")
  if name == "r2plus1d_18":
    x = _normalized_relu(x, round(45 / 64 * channels), (1, 7, 7), (1, 2, 2),
                         "stem_0", "stem_1")
    x = _normalized_relu(x, channels, (3, 1, 1), (1, 1, 1), "stem_3",
                         "stem_4")
  else:
    x = _normalized_relu(x, channels, (3, 7, 7), (1, 2, 2), "stem_0",
                         "stem_1")
  for stage in range(STAGES):
    for block in range(BLOCKS):
      # Only the first block of a stage but the first has a stride.
      x = _block(x, name, stage, channels << stage,
                 2 if stage and not block else 1, f"layer{stage + 1}_{block}")
  return keras.Model(clips, x, name=name)


def _block(x, name, stage, channels, stride, prefix):
  """Two convolutions and a way around them."""
  before = x.shape[-1]
  over_time = name != "mc3_18" or not stage
  strides = (stride if name != "mc3_18" else 1, stride, stride)
  # As many channels between the two halves of a convolution as give both
  # together the parameters of the whole.
  between = before * channels * 27 // (before * 9 + 3 * channels)
  y = x
  for part, step in (("conv1", strides), ("conv2", (1, 1, 1))):
    last = f"{prefix}_{part}_1"
    if name == "r2plus1d_18":
      y = _normalized_relu(y, between, (1, 3, 3), (1, *step[1:]),
                           f"{prefix}_{part}_0_0", f"{prefix}_{part}_0_1")
      y = _convolution(y, channels, (3, 1, 1), (step[0], 1, 1),
                       f"{prefix}_{part}_0_3")
    else:
      y = _convolution(y, channels, (3 if over_time else 1, 3, 3), step,
                       f"{prefix}_{part}_0")
    y = _batch_norm(y, last)
    if part == "conv1":
      y = _LAYERS.ReLU(name=f"{prefix}_{part}_2")(y)
  if stride > 1 or before != channels:
    x = _batch_norm(_convolution(x, channels, (1, 1, 1), strides,
                                 f"{prefix}_downsample_0"),
                    f"{prefix}_downsample_1")
  x = _LAYERS.Add(name=f"{prefix}_add")([y, x])
  return _LAYERS.ReLU(name=f"{prefix}_relu")(x)


def _normalized_relu(x, channels, kernel, strides, convolution, norm):
  x = _batch_norm(_convolution(x, channels, kernel, strides, convolution),
                  norm)
  return _LAYERS.ReLU(name=f"{norm}_relu")(x)


def _convolution(x, channels, kernel, strides, name):
  """A convolution that is padded on both sides alike, as in PyTorch.

  Keras's "same" does so for a stride of 1 alone.
  """
  padding, edges = "same", [n // 2 for n in kernel]
  if max(strides) > 1:
    padding = "valid"
    if any(edges):
      x = _LAYERS.ZeroPadding3D(edges, name=f"{name}_pad")(x)
  return _LAYERS.Conv3D(
      channels, kernel, strides, padding, use_bias=False, name=name,
      kernel_initializer=keras.initializers.VarianceScaling(
          2.0, "fan_out", "untruncated_normal"))(x)


def _batch_norm(x, name):
  return _LAYERS.BatchNormalization(epsilon=EPSILON, momentum=0.9,
                                    name=name)(x)


def load_state_dict(model, path):
  """Loads torchvision's weights; those of its head, "fc", are left out.

  Args:
    model: from `make`.
    path: of a .pth file; see `state_dict`.
  Raises:
    UserError: the file is no state dict, or one of another network.
  """
  tensors = state_dict.read(path)
  for layer in model.layers:
    if not layer.weights:
      continue
    key = layer.name.replace("_", ".")
    if isinstance(layer, _LAYERS.Conv3D):
      values = [tensors.get(f"{key}.weight")]
    else:
      values = [tensors.get(f"{key}.{part}") for part in (
          "weight", "bias", "running_mean", "running_var")]
    if any(v is None for v in values):
      raise UserError("weights", path, f"not weights of {model.name}: it has "
                      f"no {key}")
    if isinstance(layer, _LAYERS.Conv3D) and values[0].ndim == 5:
      values = [np.transpose(values[0], (2, 3, 4, 1, 0))]
    for variable, value in zip(layer.weights, values):
      if tuple(variable.shape) != value.shape:
        raise UserError(
            "weights", path, f"not weights of {model.name}: {key} has the "
            f"shape {value.shape}, the network {tuple(variable.shape)}")
    layer.set_weights(values)
