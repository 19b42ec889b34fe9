"""The named backbones: what makes each, and the images that it expects.

    base = backbones.make("mobilenet_v2", "imagenet", size=225)
    normalize = backbones.Normalize(**backbones.INPUT_RANGES["-1..1"])
"""

import warnings

import keras
import numpy as np

from atcon_tf.config import image_sizes
from atcon_tf.config import keras_settings
from atcon_tf.config import UserError
from atcon_tf.models import residual_3d

_IMAGENET = dict(scale=(1 / .229, 1 / .224, 1 / .225),
                 offset=(-.485 / .229, -.456 / .224, -.406 / .225))
# What each kind of network expects, as scale * image + offset of an image in
# [0, 1]. "caffe" networks read BGR in [0, 255] minus the mean colour.
INPUT_RANGES = {
    "0..1": dict(scale=(1., 1., 1.), offset=(0., 0., 0.)),
    "-1..1": dict(scale=(2., 2., 2.), offset=(-1., -1., -1.)),
    "0..255": dict(scale=(255., 255., 255.), offset=(0., 0., 0.)),
    "imagenet": _IMAGENET,
    "kinetics": dict(scale=(1 / .22803, 1 / .22145, 1 / .216989),
                     offset=(-.43216 / .22803, -.394666 / .22145,
                             -.37645 / .216989)),
    "caffe": dict(scale=(255., 255., 255.),
                  offset=(-103.939, -116.779, -123.68), reverse=True),
}

# The luminance of red, green and blue (ITU-R BT.601), as PIL and JPEG have it.
LUMINANCE = (0.299, 0.587, 0.114)

_APPLICATIONS = keras.applications
# The function of Keras that makes each, and the input range of its training.
BACKBONES = {
    "mobilenet_v2": (_APPLICATIONS.MobileNetV2, "-1..1"),
    "mobilenet": (_APPLICATIONS.MobileNet, "-1..1"),
    "resnet50": (_APPLICATIONS.ResNet50, "caffe"),
    "resnet101": (_APPLICATIONS.ResNet101, "caffe"),
    "densenet121": (_APPLICATIONS.DenseNet121, "imagenet"),
    "inception_v3": (_APPLICATIONS.InceptionV3, "-1..1"),
    "vgg16": (_APPLICATIONS.VGG16, "caffe"),
    "vgg19": (_APPLICATIONS.VGG19, "caffe"),
    "efficientnet_b0": (_APPLICATIONS.EfficientNetB0, "imagenet"),
}


@keras.saving.register_keras_serializable("atcon_tf")
class Normalize(keras.layers.Layer):
  """RGB images in [0, 1] -> the range in which a network was trained.

  Attributes:
    scale, offset: of each channel.
    reverse: whether the network reads BGR.
    grey: whether the network reads the luminance, one channel.
  """

  def __init__(self, scale, offset, reverse=False, grey=False, **kwargs):
    super().__init__(**kwargs)
    self.scale, self.offset, self.reverse = scale, offset, reverse
    self.grey = grey

  def call(self, images):
    if self.grey:
      images = keras.ops.sum(images * keras.ops.convert_to_tensor(
          LUMINANCE, images.dtype), -1, keepdims=True)
    if self.reverse:
      images = images[..., ::-1]
    return images * keras.ops.convert_to_tensor(self.scale, images.dtype) + (
        keras.ops.convert_to_tensor(self.offset, images.dtype))

  def undo(self, normalized):
    """Normalised images -> images `[..., 3]` in [0, 1]."""
    images = (normalized - np.array(self.offset)) / np.array(self.scale)
    if self.grey:
      return np.repeat(images, 3, -1)
    return images[..., ::-1] if self.reverse else images

  def compute_output_shape(self, input_shape):
    return (*input_shape[:-1], len(self.scale))

  def get_config(self):
    return {**super().get_config(), "scale": self.scale,
            "offset": self.offset, "reverse": self.reverse,
            "grey": self.grey}


def normalization(name, key, channels=3, grey=False):
  """The `Normalize` layer of an input range.

  Args:
    name: of the network, for messages.
    key: of `INPUT_RANGES`.
    channels: of the network, 3 or 1.
    grey: whether a network with one channel is given RGB images.
  Raises:
    UserError: the range is one of colours, and the network sees none.
  """
  settings = INPUT_RANGES[key]
  if channels == 1:
    if len(set(settings["scale"])) > 1 or "reverse" in settings:
      raise UserError("input_range", key,
                      f"is one of colours, and {name} sees one channel")
    settings = {"scale": settings["scale"][:1],
                "offset": settings["offset"][:1], "grey": grey}
  return Normalize(**settings, name="normalize", dtype=keras.config.floatx())


def tiny_cnn(size):
  """Four convolutions, no BatchNorm: for tests and the embedded data."""
  x = images = keras.Input([*image_sizes.pair(size), 3])
  for block, channels in enumerate([24, 48, 96, 96]):
    x = keras.layers.Conv2D(channels, 3, padding="same",
                            kernel_initializer="he_normal",
                            name=f"conv{block + 1}")(x)
    x = keras.layers.ReLU(name=f"relu{block + 1}")(x)
    if block < 3:
      x = keras.layers.MaxPooling2D(name=f"pool{block + 1}")(x)
  return keras.Model(images, x, name="tiny_cnn")


def input_range(name):
  """The key of `INPUT_RANGES` of the images that a backbone expects."""
  if name in residual_3d.NAMES:
    return "kinetics"
  return "-1..1" if name == "tiny_cnn" else BACKBONES[name][1]


def make(name, weights, size, width=1.0, frames=0):
  """A backbone without its head, `[height, width, 3]` -> features.

  A network of clips is `[frames, height, width, 3]` -> features.

  Args:
    name: one of `settings.MODELS`.
    weights: "imagenet", "none", or the path of a weights file.
    size: height and width of the input, or its side.
    width: width multiplier of mobilenet, mobilenet_v2 and of the networks of
      clips.
    frames: of a clip; for a network of clips alone.
  Raises:
    UserError: the size or the weights do not fit, or the download fails.
  """
  keras_settings.check_format(keras.config.image_data_format())
  if name in residual_3d.NAMES:
    if not frames:
      raise UserError("model", name, "is a network of clips, not of images")
    base = residual_3d.make(name, frames, image_sizes.pair(size), width)
  elif name == "tiny_cnn":
    base = tiny_cnn(size)
  else:
    options = {"alpha": width} if "mobilenet" in name else {}
    try:
      with warnings.catch_warnings():
        # Convolutions do not depend on the size that Keras warns of.
        warnings.filterwarnings("ignore", ".*input_shape")
        base = BACKBONES[name][0](
            include_top=False, input_shape=(*image_sizes.pair(size), 3),
            weights="imagenet" if weights == "imagenet" else None, **options)
    except ValueError as error:
      raise UserError("image_size", image_sizes.short(size),
                      f"--model={name}: {first_line(error)}") from error
    except Exception as error:  # urllib's, OSError: no network
      raise UserError("weights", "imagenet",
                      f"cannot download {name} ({error}); pass "
                      "--weights=FILE, the backbone's .weights.h5 without its "
                      "head, or --weights=none") from error
  if name in residual_3d.NAMES and weights.endswith((".pth", ".pt")):
    residual_3d.load_state_dict(base, weights)
  elif weights not in ("imagenet", "none"):
    load_weights(base, weights, name, ("weights", weights))
  if name == "efficientnet_b0":
    # Keras's model starts with a preprocessing that differs with `weights`.
    # It is cut off, so that a weights file always means the same network.
    base = keras.Model(base.get_layer("stem_conv_pad").input, base.output)
  return base


def load_weights(model, path, name, given):
  """Loads a weights file.

  Args:
    model: a Keras model.
    path: of the file.
    name: of the network, for messages.
    given: the setting that named the file, and its value.
  Raises:
    UserError: the file does not exist or does not fit the model.
  """
  try:
    model.load_weights(path)
  except FileNotFoundError as error:
    raise UserError(*given, "no such file") from error
  except Exception as error:  # of Keras, h5py, zipfile
    raise UserError(*given, f"not weights of {name}: {first_line(error)}"
                    ) from error


def first_line(error):
  """The first line of an error's text, at most 160 characters."""
  text = str(error).strip() or type(error).__name__
  return text.splitlines()[0][:160]
