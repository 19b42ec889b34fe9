"""Classifiers: a backbone or a user's model, split where its map is.

    classifier = models.build("mobilenet_v2", 20, weights="imagenet",
                              image_size=225, prior=label.mean(axis=0))
    logits = classifier.model(images)            # images [B, H, W, 3] in [0, 1]

`normalize`, `features`, `head` and `model` are Keras models over shared
layers; all ReLUs in them know the guided rule, and batch normalisations with
fixed statistics are folded into convolutions (`fold.py`).
"""

import dataclasses
import os

import keras
import numpy as np

from atcon_tf import backbones
from atcon_tf import config
from atcon_tf import fold
from atcon_tf import graph
from atcon_tf import model_file
from atcon_tf import vit
from atcon_tf.config import UserError


@dataclasses.dataclass(eq=False)
class Classifier:
  """A classifier whose maps can be taken.

  Attributes:
    name: of the backbone, for messages.
    normalize: images in [0, 1] -> normalised images.
    network: normalised images -> `[features of each cam_layer..., logits]`,
      layer by layer, as files hold it.
    maps: the same, folded: what is computed.
    model: images in [0, 1] `[B, H, W, 3]` -> logits `[B, classes]`, folded.
    head_variables: trainable variables of layers that are new here.
    geometry: of each cam_layer, `((offset, stride), (offset, stride))`: cell
      n of an axis is centred on pixel offset + stride n; see `maps.resize`.
    relus: number of ReLUs that know the guided rule.
    cam_layers: names of the layers that carry the maps.
    walk: the graph that `network` is a part of, with every layer's output.
    attention: a head that was trained to explain it, an
      `attribution.learned.AttentionMechanism`; None: there is none.
  """

  name: str
  normalize: keras.Layer
  network: keras.Model
  head_variables: list
  geometry: list
  relus: int
  cam_layers: tuple[str, ...]
  walk: graph.Rerun | None = None
  attention: keras.Model | None = None

  def __post_init__(self):
    self.image_size = self.network.input_shape[1:3]
    self.num_classes = self.network.outputs[-1].shape[-1]
    self.maps = fold.fold(self.network)
    self.model = self._of_images(self.maps)
    self._features, self._heads = None, {}

  def _of_images(self, network):
    images = keras.Input([*self.image_size, 3], name="images")
    return keras.Model(images, network(self.normalize(images))[-1],
                       name="classifier")

  @property
  def stored(self):
    """`model` layer by layer: a file of its weights has nothing folded."""
    return self._of_images(self.network)

  @property
  def features(self):
    """Normalised images -> the (last) feature map that carries the CAM."""
    if self._features is None:
      self._features = keras.Model(self.maps.input, self.maps.outputs[-2])
    return self._features

  @property
  def head(self):
    """That feature map -> logits; see `head_of`."""
    return self.head_of(-1)

  def head_of(self, layer):
    """The feature map of one of the cam_layers -> logits.

    Raises:
      UserError: other paths lead around the map (a skip connection), so
        that the logits are no function of it alone.
    """
    layer %= len(self.cam_layers)
    if layer not in self._heads:
      try:
        self._heads[layer] = keras.Model(self.maps.outputs[layer],
                                         self.maps.outputs[-1])
      except ValueError as error:
        raise UserError(f"--cam_layer={self.cam_layers[layer]}: the logits "
                        "depend on more than this layer") from error
    return self._heads[layer]

  def with_cam_layers(self, cam_layers, flag="cam_layer"):
    """The same classifier, over the same variables, with maps elsewhere.

    Args:
      cam_layers: names of layers.
      flag: which flag named them, for the error.
    Raises:
      UserError: no such layers, or without a spatial extent.
    """
    for layer in cam_layers:
      _check_map(self.name, self.walk, layer, flag)
    outputs = [self.walk.tensors[n] for n in cam_layers]
    return dataclasses.replace(
        self, cam_layers=tuple(cam_layers), network=keras.Model(
            self.network.input, [*outputs, self.network.outputs[-1]]),
        geometry=[self.walk.geometry[n] for n in cam_layers])

  @property
  def backbone_variables(self):
    """Trainable variables that are not the head's."""
    new = {id(v) for v in self.head_variables}
    return [v for v in self.model.trainable_variables if id(v) not in new]


def build(name, num_classes, weights="none", *, image_size=0, width=1.0,
          prior=None, multi_label=True, cam_layer=(), reflect_padding=False,
          input_range="0..1"):
  """Builds a classifier.

  Args:
    name: one of `settings.MODELS`, or the path of a .keras file (a functional
      or Sequential model; a final softmax or sigmoid is taken off, its head
      is kept if it has `num_classes` outputs, else replaced).
    num_classes: number of logits.
    weights: "imagenet", "none", or the path of a weights file of the
      backbone without its head.
    image_size: side of the square input; 0: the file's own, or the usual
      one of the backbone.
    width: width multiplier of mobilenet and mobilenet_v2.
    prior: `[classes]` share of images that show each class; the head's bias
      starts at `-log((1 - p) / p)` (log p for softmax), so that the first
      logits predict the prior. With a zero bias a few-shot head pushes every
      weight negative and its Grad-CAM comes out inverted.
    multi_label: sigmoid (True) or softmax (False) reading of the logits.
    cam_layer: names of layers that carry the maps; "nested/layer" finds one
      inside a nested model. Default: the last with a spatial extent.
    reflect_padding: every convolution of the backbone pads by reflection.
    input_range: what a .keras file expects, a key of `backbones.INPUT_RANGES`.
  Returns:
    a `Classifier`.
  Raises:
    UserError: for everything that does not fit together.
  """
  own_head = name.endswith(".keras")
  if own_head:
    base, size = model_file.load(name, image_size)
  else:
    size = image_size or config.IMAGE_SIZE[name]
    base = backbones.make(name, weights, size, width)
    input_range = backbones.input_range(name)
  return _assemble(name, base, size, input_range, own_head, num_classes,
                   prior, multi_label, cam_layer, reflect_padding)


def wrap(model, input_range="0..1", image_size=0, cam_layer=()):
  """A classifier around a Keras model that is there already.

  Args:
    model: functional or Sequential, one batch of square RGB images ->
      logits or probabilities (a final softmax or sigmoid is taken off). It
      is not changed; its variables are shared.
    input_range: what it expects, a key of `backbones.INPUT_RANGES`; "0..1"
      leaves images as they are.
    image_size: needed where the model takes any size.
    cam_layer: see `build`.
  Raises:
    UserError: it does not fit.
  """
  name = model.name
  base, size = model_file.fitting(model, name, image_size)
  return _assemble(name, base, size, input_range, True, _classes(name, base),
                   cam_layer=cam_layer)


def load(path, input_range="0..1", image_size=0, cam_layer=()):
  """A classifier around the model in a .keras file; see `wrap`."""
  if not os.path.isfile(path):
    raise UserError(f"--model={path}: no such file")
  base, size = model_file.load(path, image_size)
  return _assemble(path, base, size, input_range, True, _classes(path, base),
                   cam_layer=cam_layer)


def _classes(name, base):
  """The number of classes of a model that stays as it is."""
  shape = base.outputs[0].shape
  if len(shape) != 2 or not shape[1]:
    raise UserError(f"--model={name}: its output is {shape}; must be a number "
                    "for each class, [None, classes]")
  return shape[1]


def stock(name, weights="imagenet"):
  """A Keras application with its own 1000 ImageNet classes.

  Args:
    name: one of `settings.MODELS` but tiny_cnn.
    weights: "imagenet" (downloaded), "none", or a file of the whole model.
  """
  if name not in backbones.BACKBONES:
    raise UserError(f"--model={name}: must be a .keras file or one of "
                    f"{', '.join(backbones.BACKBONES)}")
  make, input_range = backbones.BACKBONES[name]
  try:
    model = make(weights="imagenet" if weights == "imagenet" else None)
  except Exception as error:  # urllib's, OSError: no network
    raise UserError(f"--weights=imagenet: cannot download {name} ({error}); "
                    "pass --weights=FILE or --weights=none") from error
  if weights not in ("imagenet", "none"):
    backbones.load_weights(model, weights, f"--weights={weights}", name)
  if name == "efficientnet_b0":  # it normalises by itself
    input_range = "0..255"
  return wrap(model, input_range)


def _assemble(name, base, size, input_range, own_head, num_classes,
              prior=None, multi_label=True, cam_layer=(),
              reflect_padding=False):
  """The classifier over a base model, with its own head or a new one."""
  normalize = backbones.Normalize(**backbones.INPUT_RANGES[input_range],
                                  name="normalize")
  normalized = keras.Input([size, size, 3], name="normalized")
  try:
    walk = graph.Rerun(base, normalized, reflect_padding, logits=own_head)
  except UserError:
    raise
  except ValueError as error:  # a layer that cannot take this size
    raise UserError(f"--model={name} --image_size={size}: "
                    f"{backbones.first_line(error)}") from error
  (output,) = keras.tree.flatten(walk.outputs)
  if own_head and output.shape[1:] != (num_classes,):
    output, own_head = walk.tensors[_last_map(name, walk)], False
  head_variables = []
  if not own_head:
    output, head_variables = _new_head(walk, output, num_classes, prior,
                                       multi_label)
  layers = cam_layer or (_last_map(name, walk),)
  for layer in layers:
    _check_map(name, walk, layer)
  network = keras.Model(normalized,
                        [*(walk.tensors[n] for n in layers), output])
  return Classifier(name, normalize, network, head_variables,
                    [walk.geometry[n] for n in layers], walk.swapped,
                    tuple(layers), walk)


def _new_head(walk, features, num_classes, prior, multi_label):
  """Global average pooling and a dense layer whose bias is the prior."""
  if len(features.shape) == 4:
    features = keras.layers.GlobalAveragePooling2D(
        name=walk.unique("pool"))(features)
  bias = np.zeros([num_classes])
  if prior is not None:
    p = np.clip(np.asarray(prior, np.float64), 1e-3, 1 - 1e-3)
    bias = np.log(p) - np.log1p(-p) if multi_label else np.log(p)
  dense = keras.layers.Dense(
      num_classes, name=walk.unique("logits"), dtype=keras.config.floatx(),
      bias_initializer=keras.initializers.Constant(bias))
  return dense(features), dense.trainable_variables


def map_layers(walk):
  """Names of the layers that can carry a map, in order of execution."""
  return [name for name, tensor in walk.tensors.items() if _is_map(tensor)]


def _is_map(tensor):
  shape = getattr(tensor, "shape", ())
  if len(shape) == 4 and isinstance(tensor._keras_history.operation,
                                    vit.Attention):
    return False  # four axes, too, but heads and tokens
  return len(shape) == 4 and None not in shape[1:] and (
      shape[1] * shape[2] > 1)


def _last_map(name, walk):
  layers = map_layers(walk)
  if not layers:
    raise UserError(f"--model={name}: has no layer with a spatial map of "
                    "more than 1x1 cells at this image size")
  return layers[-1]


def _check_map(name, walk, layer, flag="cam_layer"):
  tensor = walk.tensors.get(layer)
  if tensor is None or not _is_map(tensor):
    problem = "no such layer" if tensor is None else (
        f"its output {tensor.shape} has no spatial extent")
    raise UserError(f"--{flag}={layer}: {problem} in {name}; the last "
                    f"that can carry a map: "
                    f"{', '.join(map_layers(walk)[-6:])}")
