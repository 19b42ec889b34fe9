"""A classifier with access to its maps, and the layers that can carry them."""

import dataclasses
import math

import keras
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.models import batch_norm_folding
from atcon_tf.models import frames_model
from atcon_tf.models.geometry import HALF_PIXEL
from atcon_tf.models.geometry import resize
from atcon_tf.models.graph import ModelGraph
from atcon_tf.models import pooled_head
from atcon_tf.models import vit


def enlarge(classifier, heat, layer=None):
  """Maps at the size of the image, each cell where it lies on the image.

  Args:
    classifier: a `Classifier`.
    heat: `[B, h, w]`, maps of this classifier, of the size of a cam_layer or
      of the image; of clips `[B, t, h, w]`.
    layer: index of the cam_layer of the maps; None: the last of their size.
  Returns:
    `[B, H, W]`, of clips `[B, T, H, W]`.

  Example:
    >>> heat = attribution.explain(classifier, images, "grad_cam")
    >>> attribution.enlarge(classifier, heat).shape
    TensorShape([2, 32, 32])
  """
  size = classifier.extent
  if tuple(heat.shape[1:]) == size:
    return heat
  if layer is None:
    shapes = map_sizes(classifier)
    own = [i for i, s in enumerate(shapes) if s == tuple(heat.shape[1:])]
    layer = own[-1] if own else None
  place = None if layer is None else classifier.geometry[layer]
  return resize(heat, size, place or HALF_PIXEL)


def map_sizes(classifier):
  """`(rows, columns)` of the map of each cam_layer; of clips with times."""
  sizes = [tuple(t.shape[1:-1]) for t in classifier.maps.outputs[:-1]]
  # Of a layer that runs over a batch of frames.
  return [(classifier.frames, *size) if classifier.frames and len(size) == 2
          else size for size in sizes]


@dataclasses.dataclass(eq=False)
class Classifier:
  """A classifier with access to its maps.

  All its Keras models share their layers. All ReLUs in them follow the guided
  rule where it is asked for (`guided_relu`).

  Attributes:
    name: of the backbone, for messages.
    normalize: images in [0, 1] -> normalised images.
    network: normalised images -> `[features of each cam_layer..., logits]`,
      layer by layer, as weights files hold it.
    maps: the same with batch normalisations folded into convolutions
      (`batch_norm_folding`); every computation runs this one.
    model: images in [0, 1] `[B, *image_shape]` -> logits `[B, classes]`,
      folded.
    head_variables: trainable variables of a new, random head; empty if the
      head came with the model.
    geometry: of each cam_layer, `((offset, stride), (offset, stride))`: cell
      n of an axis is centred on pixel offset + stride n; see
      `geometry.resize`. Of clips the first axis is time, in frames.
    relus: number of ReLUs that follow the guided rule.
    cam_layers: names of the layers that carry the maps.
    graph: the graph that `network` is a part of, with every layer's output.
    attention: an `explanation_head.AttentionMechanism` that is trained to
      explain this classifier; None: there is none.
    binary: whether the two logits are made of the one output of a head.
    notes: what was found in a user's model, or changed, a sentence each.
    temporal_weights: of clips, how the Grad-CAM family averages gradients:
      "per_step", over rows and columns, so that a channel has a weight for
      each time step, as in ATCON's code; or "pooled", over time as well.
    extent: `(H, W)` of an image, `(T, H, W)` of a clip.
    image_size: `(H, W)`.
    frames: T; 0: the classifier is one of images.
    pooled_head: the `PooledHead` on the last map; None: another kind of head.
  """

  name: str
  normalize: keras.Layer
  network: keras.Model
  head_variables: list
  geometry: list
  relus: int
  cam_layers: tuple[str, ...]
  graph: ModelGraph | None = None
  attention: keras.Model | None = None
  binary: bool = False
  notes: tuple[str, ...] = ()
  temporal_weights: str = "per_step"

  def __post_init__(self):
    self.extent = tuple(self.network.input_shape[1:-1])
    self.image_size = self.extent[-2:]
    self.frames = self.extent[0] if len(self.extent) == 3 else 0
    self.num_classes = self.network.outputs[-1].shape[-1]
    self.maps = batch_norm_folding.fold(self.network)
    self.pooled_head = pooled_head.find(self)
    self.model = self._of_images(self.maps)
    self._features, self._folded, self._heads = None, None, {}

  def _of_images(self, network):
    images = keras.Input(self.image_shape, name="images")
    return keras.Model(images, network(self.normalize(images))[-1],
                       name="classifier")

  @property
  def image_shape(self):
    """`(H, W, channels)` of one image that `model` takes; of clips T first.

    A network of grey images is given RGB ones; only `models.wrap` leaves them
    as they are.
    """
    grey = getattr(self.normalize, "grey", False)
    return (*self.extent, 3 if grey else self.network.input_shape[-1])

  @property
  def stored(self):
    """`model` layer by layer, not folded: its weights are what files hold."""
    return self._of_images(self.network)

  @property
  def folded(self):
    """Normalised images -> logits, folded wherever the maps are taken."""
    if self._folded is None:
      self._folded = batch_norm_folding.fold(
          keras.Model(self.network.input, self.network.outputs[-1]))
    return self._folded

  @property
  def logits(self):
    """The symbolic logits, the last output of `maps`."""
    return self.maps.outputs[-1]

  @property
  def features(self):
    """Normalised images -> the feature map of the last cam_layer."""
    if self._features is None:
      self._features = keras.Model(self.maps.input, self.maps.outputs[-2])
    return self._features

  @property
  def head(self):
    """The feature map of the last cam_layer -> logits; see `head_of`."""
    return self.head_of(-1)

  def head_of(self, layer):
    """The feature map of one of the cam_layers -> logits, a Keras model.

    Args:
      layer: index of the cam_layer.
    Raises:
      UserError: the logits depend on more than this map, because of a skip
        connection around it.
    """
    layer %= len(self.cam_layers)
    if layer not in self._heads:
      try:
        self._heads[layer] = self._of_clips(
            keras.Model(self.maps.outputs[layer], self.logits))
      except ValueError as error:
        raise UserError("cam_layer", self.cam_layers[layer],
                        "the logits depend on more than this layer") from error
    return self._heads[layer]

  def _of_clips(self, head):
    """A head that takes `[B, t, h, w, K]` also where frames are a batch."""
    shape = head.input_shape
    if not (self.frames and len(shape) == 4):
      return head
    x = keras.Input([self.frames, *shape[1:]], dtype=head.input.dtype)
    return keras.Model(x, head(frames_model.MergeTime(dtype=x.dtype)(x)))

  def per_clip(self, tensor):
    """A layer's output with one row for each clip.

    In a network of images that runs over frames, a layer's output is
    `[B T, ...]`; the result is `[B, T, ...]`. Any other output stays.
    """
    if not (self.frames and self.graph.merged and len(tensor.shape) == 4):
      return tensor
    return tf.reshape(tensor, [-1, self.frames, *tensor.shape[1:]])

  def per_batch(self, images):
    """How many images, or clips with as many frames, fill a batch."""
    return max(1, images // max(1, self.frames))
  @property
  def is_cut(self):
    """Whether the logits depend on the last cam_layer's map alone."""
    try:
      return bool(self.head)
    except UserError:
      return False

  def with_cam_layers(self, cam_layers, setting="cam_layer"):
    """The same classifier, over the same variables, with maps elsewhere.

    Args:
      cam_layers: names of layers.
      setting: which setting named them, for the error.
    Raises:
      UserError: a layer does not exist or has no spatial extent.
    """
    for layer in cam_layers:
      check_map(self.name, self.graph, layer, setting)
    return self.with_layers(cam_layers)

  def with_layers(self, layers):
    """The same classifier, whose passes hold the outputs of other layers.

    Args:
      layers: names of layers of any kind. The geometry of one whose output is
        no map of the image is None.
    Returns:
      a `Classifier` over the same variables with `layers` as its cam_layers.
    """
    layers = tuple(layers)
    tensors = [self.graph.tensors[n] for n in layers]
    network = keras.Model(self.network.input,
                          [*tensors, self.network.outputs[-1]])
    places = [self.graph.geometry[n] if is_map(self.graph, tensor) else None
              for n, tensor in zip(layers, tensors)]
    return dataclasses.replace(self, cam_layers=layers,
                               network=network, geometry=places)

  def on_normalized(self):
    """The same classifier, for images that are normalised already."""
    return dataclasses.replace(self, normalize=lambda images: images)

  @property
  def last_stage_variables(self):
    """Trainable variables of the backbone at its last map's resolution.

    That is, of every layer whose output has as many cells as the last
    cam_layer, the one that reaches this resolution among them.
    """
    size = self.graph.map_size(self.maps.outputs[-2])
    layers = {id(t._keras_history.operation): t._keras_history.operation
              for t in self.graph.tensors.values()
              if self.graph.map_size(t) == size}
    inside = {id(v) for layer in layers.values() for v in layer.variables}
    return [v for v in self.backbone_variables if id(v) in inside]

  @property
  def backbone_variables(self):
    """Trainable variables that are not in `head_variables`."""
    new = {id(v) for v in self.head_variables}
    return [v for v in self.model.trainable_variables if id(v) not in new]


def map_layers(graph):
  """Names of the layers that can carry a map, in order of execution."""
  return [name for name, tensor in graph.tensors.items()
          if is_map(graph, tensor)]


def is_map(graph, tensor):
  """Whether a layer's output in a graph is a map of more than one cell."""
  size = graph.map_size(tensor)
  if not size or isinstance(tensor._keras_history.operation, (
      vit.Attention, frames_model.MergeTime)):
    return False  # the four axes of an attention are not those of a map
  return None not in (*size, tensor.shape[-1]) and math.prod(size) > 1


def last_map(name, graph):
  """The name of the last layer that can carry a map.

  Args:
    name: of the model, for the message.
    graph: its `ModelGraph`.
  Raises:
    UserError: there is none.
  """
  layers = map_layers(graph)
  if not layers:
    raise UserError("model", name,
                    "has no layer with a spatial map of more than 1x1 cells "
                    "at this image size")
  return layers[-1]


def check_map(name, graph, layer, setting="cam_layer"):
  """Refuses a layer that cannot carry a map.

  Args:
    name: of the model, for the message.
    graph: its `ModelGraph`.
    layer: name of the layer.
    setting: which setting named the layer, for the message.
  Raises:
    UserError: the layer does not exist or has no spatial extent.
  """
  tensor = graph.tensors.get(layer)
  if tensor is None or not is_map(graph, tensor):
    problem = "no such layer" if tensor is None else (
        f"its output {tensor.shape} has no spatial extent")
    raise UserError(setting, layer,
                    f"{problem} in {name}; the last that can carry a map: "
                    f"{', '.join(map_layers(graph)[-6:])}")


def halves(classifier):
  """A classifier cut before the dense layer that gives its logits.

  Args:
    classifier: a `models.Classifier`.
  Returns:
    two Keras models over its layers: normalised images -> `[B, features]`,
    and `[B, features]` -> logits.
  Raises:
    UserError: the logits do not come from a dense layer on a vector.
  """
  logits = classifier.logits
  if classifier.binary:
    raise UserError("model", classifier.name,
                    "its head has one output; here one for each class is "
                    "needed")
  operation, node, _ = logits._keras_history
  features = operation._inbound_nodes[node].input_tensors[0]
  if not isinstance(operation, keras.layers.Dense) or len(features.shape) != 2:
    raise UserError("model", classifier.name,
                    "the vector that a last dense layer reads is needed; here "
                    f"the logits come from {operation.name}")
  return (keras.Model(classifier.maps.input, features),
          keras.Model(features, logits))
