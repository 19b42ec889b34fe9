"""Explanation heads that are trained for a frozen classifier.

TAME (Ntrougkas, Gkalelis, Mezaris, "TAME: Attention Mechanism Based Feature
Fusion for Generating Explanation Maps of Convolutional Neural Networks", ISM
2022, arXiv 2301.07407). Of the feature maps F_i of several layers:

    B_i = relu(BN(conv1x1(F_i)) + F_i)
    c   = conv1x1(concat_i U(B_i)),   a = sigmoid(c)

U resizes to the size of the largest F_i, at most 56 x 56 cells. c has a
channel, and so a map a in (0, 1), for every class. L-CAM (Gkartzonika,
Gkalelis, Mezaris, ECCV Workshops 2022, arXiv 2209.11189) is the case of one
layer and no branch: a = sigmoid(conv1x1(F)).

One forward pass gives the map of any class. `objectives/tame.py` and
`objectives/l_cam.py` train the head:

    classifier = explanation_head.attach(classifier, "tame", ["conv3", "conv4"])
    maps = attribution.explain(classifier, images, "tame")     # [B, H, W]
"""

import dataclasses

import keras
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.models.classifier import map_layers
from atcon_tf.models.edge_padding import ReflectionPadding
from atcon_tf.models import geometry

# The most cells of the fused map along an axis; the number of fused layers.
CAP = 56
LAYERS = 3


@dataclasses.dataclass(frozen=True)
class Version:
  """The layers of a branch, between a feature map and the fusion.

  Attributes:
    channels: of its convolution: as many as the feature map has ("same"), one
      for each of the "classes", or "none": there is no branch.
    batch_norm: normalise the convolution by BatchNorm.
    skip: add the feature map to the result.
    activation: "relu" or "sigmoid".
  """

  channels: str = "same"
  batch_norm: bool = True
  skip: bool = True
  activation: str = "relu"


# TAME with the versions of its ablation study, and L-CAM.
VERSIONS = {
    "tame": Version(),
    "no_skip": Version("classes", skip=False),
    "no_skip_no_batch_norm": Version(batch_norm=False, skip=False),
    "sigmoid_branch": Version(activation="sigmoid"),
    "l_cam": Version("none"),
}


class Branch(keras.layers.Layer):
  """A feature map `[B, h, w, K]` before the fusion, `[B, h, w, K']`."""

  def __init__(self, version, channels, num_classes):
    super().__init__()
    self.version = version
    self.channels = (num_classes if version.channels == "classes"
                     else channels)
    self.conv = keras.layers.Conv2D(self.channels, 1, name="conv")
    self.conv.build([None, None, None, channels])
    self.norm = None
    if version.batch_norm:
      # PyTorch's constants; statistics of the whole batch, however many
      # replicas share it.
      self.norm = keras.layers.BatchNormalization(
          epsilon=1e-5, momentum=0.9, synchronized=True, name="norm")
      self.norm.build([None, None, None, self.channels])
    self.built = True

  def call(self, features, training=False):
    x = self.conv(features)
    if self.norm is not None:
      x = self.norm(x, training=training)
    if self.version.skip:
      x = x + features
    return keras.activations.get(self.version.activation)(x)


class AttentionMechanism(keras.Model):
  """The head: feature maps -> c of one class for each image.

  The fusing convolution comes before the resize: both are linear, so they
  commute, and only the channel of the wanted class is ever resized.

  Attributes:
    name: a key of `VERSIONS`.
    layers_used: names of the layers of its feature maps.
    size: `(rows, columns)` of its map.
    place: geometry of that map; see `geometry.resize`.
  """

  def __init__(self, classifier, version="tame", cap=CAP, alignment=None):
    """Makes a head with random weights.

    Args:
      classifier: a `models.Classifier`; its cam_layers are the feature maps.
      version: a key of `VERSIONS`.
      cap: the most cells of the head's map along an axis.
      alignment: of every resize, see `geometry.resize`; None: the geometry
        of the classifier. "half_pixel" is that of the authors' code.
    Raises:
      UserError: L-CAM of several layers.
    """
    super().__init__(name=version)
    self.layers_used = classifier.cam_layers
    if version == "l_cam" and len(self.layers_used) != 1:
      raise UserError("feature_layers", self.layers_used,
                      "l_cam looks at one layer")
    shapes = [tuple(t.shape[1:]) for t in classifier.maps.outputs[:-1]]
    largest = max(range(len(shapes)), key=lambda i: shapes[i][0])
    before = shapes[largest][:2]
    self.size = tuple(min(n, cap) for n in before)
    places = classifier.geometry
    if alignment or None in places:
      self.place = alignment or geometry.HALF_PIXEL
      self._onto = [self.place] * len(shapes)
    else:
      self.place = geometry.recut(places[largest], before, self.size)
      self._onto = [geometry.relative(p, self.place) for p in places]
    kind, classes = VERSIONS[version], classifier.num_classes
    self.branches = [] if kind.channels == "none" else [
        Branch(kind, shape[-1], classes) for shape in shapes]
    self._widths = [b.channels for b in self.branches] or [shapes[0][-1]]
    self.kernel = self.add_weight(
        [sum(self._widths), classes], "glorot_uniform", name="kernel")
    self.bias = self.add_weight([classes], "zeros", name="bias")
    self.built = True

  def call(self, features, class_index, training=False):
    """c, before the sigmoid.

    Args:
      features: list of `[B, h, w, K]`, of each of its layers.
      class_index: int `[B]`.
      training: use and update the statistics of the batch.
    Returns:
      `[B, *size]`, of any sign.
    """
    if self.branches:
      features = [branch(f, training=training)
                  for branch, f in zip(self.branches, features)]
    # A product with one-hot rows: the gradient of a gather would be sparse.
    chosen = tf.one_hot(class_index, self.kernel.shape[1],
                        dtype=features[0].dtype)
    kernel = tf.cast(self.kernel, chosen.dtype)
    total = tf.linalg.matvec(chosen, tf.cast(self.bias, chosen.dtype))[
        :, tf.newaxis, tf.newaxis]
    for f, part, place in zip(features, tf.split(kernel, self._widths),
                              self._onto):
      weights = tf.matmul(chosen, part, transpose_b=True)
      one = tf.einsum("bhwc,bc->bhw", f, weights)
      if tuple(one.shape[1:]) != self.size:
        one = geometry.resize(one, self.size, place)
      total += one
    return total

  @property
  def description(self):
    """Its version and layers, for a person to read."""
    return f"{self.name} over {', '.join(self.layers_used)}"

  def enlarge(self, heat, size):
    """Its map `[B, *self.size]` at another size, that of the image."""
    return geometry.resize(heat, size, self.place)


def default_layers(graph, count=LAYERS):
  """The last layer of each of the last `count` resolutions, large to small.

  For ResNets these are the ends of the last stages, as in the paper. The
  output of a padding layer does not count.

  Args:
    graph: a `ModelGraph`.
    count: of the resolutions.
  """
  last = {}
  for name in map_layers(graph):
    operation = graph.tensors[name]._keras_history.operation
    if isinstance(operation, (keras.layers.ZeroPadding2D,
                              ReflectionPadding)):
      continue
    last[graph.tensors[name].shape[1]] = name  # the last of its size stays
  sizes = sorted(last)[:count]
  return tuple(last[size] for size in reversed(sizes))


def attach(classifier, version="tame", layers=(), cap=CAP):
  """The classifier, with an untrained head as its `attention`.

  Args:
    classifier: a `models.Classifier`; its variables are shared.
    version: a key of `VERSIONS`.
    layers: names of the feature maps; empty: `default_layers`, or for l_cam
      the classifier's last cam_layer.
    cap: see `AttentionMechanism`.
  Raises:
    UserError: a layer does not exist or has no spatial extent, or the
      classifier is one of clips.
  """
  if classifier.frames:
    raise UserError("objective", "l_cam" if version == "l_cam" else "tame",
                    f"its head explains images, and {classifier.name} sees "
                    "clips; use grad_cam instead")
  if not layers:
    layers = (classifier.cam_layers[-1:] if version == "l_cam"
              else default_layers(classifier.graph))
  view = classifier.with_cam_layers(layers, "feature_layers")
  return dataclasses.replace(
      classifier, attention=AttentionMechanism(view, version, cap))


def check(classifier, method):
  """Refuses a classifier without the head of a method.

  Args:
    classifier: a `models.Classifier`.
    method: "tame" (any of its versions) or "l_cam".
  Raises:
    UserError: the classifier has no head, or one of the other method.
  """
  head = classifier.attention
  kind = head and ("l_cam" if head.name == "l_cam" else "tame")
  if kind != method:
    found = f"the head of {classifier.name} is {kind}" if head else (
        f"{classifier.name} has no trained head")
    raise UserError(f"{method}: {found}; `python -m atcon_tf.train "
                    f"--objective={method} --warm_start=RUN` trains one")


def with_features(classifier):
  """The classifier, whose passes also hold the feature maps of its head.

  They come before its own cam_layers, so that other methods go on to explain
  the last of these.
  """
  new = [n for n in classifier.attention.layers_used
         if n not in classifier.cam_layers]
  if not new:
    return classifier
  return classifier.with_cam_layers((*new, *classifier.cam_layers))
