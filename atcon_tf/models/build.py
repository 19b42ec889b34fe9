"""Makes a `Classifier` from a backbone's name, a file or a Keras model.

    classifier = models.build("mobilenet_v2", 20, weights="imagenet",
                              image_size=225, prior=label.mean(axis=0))
    logits = classifier.model(images)            # images [B, H, W, 3] in [0, 1]

With `frames` it is a classifier of clips, `[B, T, H, W, 3]`: a network of
clips as it is, a network of images over the frames (`frames_model.py`).
"""

import keras
import numpy as np

from atcon_tf.config import defaults
from atcon_tf.config import image_sizes
from atcon_tf.config import keras_settings
from atcon_tf.config import UserError
from atcon_tf.models import backbones
from atcon_tf.models import classifier
from atcon_tf.models import endings
from atcon_tf.models.feature_norm import FeatureNorm
from atcon_tf.models import frames_model
from atcon_tf.models.graph import ModelGraph
from atcon_tf.models import residual_3d
from atcon_tf.models import user_model


def build(name, num_classes, weights="none", *, image_size=0, width=1.0,
          prior=None, multi_label=True, cam_layer=(), reflect_padding=False,
          input_range="auto", head="linear", feature_layer="", frames=0):
  """Builds a classifier.

  Args:
    name: one of `settings.MODELS`; or the path of a .keras or .h5 file, a
      functional or Sequential model. Its final softmax or sigmoid is removed.
      Its head is kept if it has `num_classes` outputs, or one for the second
      of two classes; otherwise a new head replaces it.
    num_classes: number of logits.
    weights: "imagenet", "none", or the path of a weights file of the
      backbone without its head.
    image_size: side of the input, or its height and width; 0: that of the
      file, or the usual one of the backbone.
    width: width multiplier of mobilenet, mobilenet_v2 and of the networks of
      clips.
    prior: `[classes]` share of images that show each class; the head's bias
      starts at `-log((1 - p) / p)` (log p for softmax), so that the first
      logits predict the prior; None: the bias starts at 0. In few-shot
      training from 0 every weight becomes negative, and Grad-CAM has the
      opposite sign.
    multi_label: the prior is one of sigmoids; otherwise of a softmax.
    cam_layer: names of layers that carry the maps, "nested/layer" inside a
      nested model; empty: the last layer with a spatial extent.
    reflect_padding: every convolution of the backbone pads by reflection;
      those of a network of clips repeat the edge.
    input_range: what the model in a file expects, a key of
      `backbones.INPUT_RANGES`; "auto": what its own preprocessing shows, or
      "0..1".
    head: what a new head is: "linear", a dense layer on the pooled features;
      "unit", on the pooled features scaled to one length (`feature_norm.py`).
    feature_layer: name of the layer, with a map or a vector, whose output a
      new head reads; what comes after it is left out, the head of a model in
      a file too. Empty: the last layer with a spatial extent, or the output
      of a backbone.
    frames: of a clip; 0: the classifier is one of images.
  Returns:
    a `Classifier`.
  Raises:
    UserError: the arguments do not fit together.
  """
  if defaults.is_file(name):
    base, size = user_model.load(name, image_size, frames)
    input_range, note = user_model.input_range(base, name, input_range)
    normalize, own_head = _normalize(name, base, input_range), True
    if frames and len(size) == 2:
      base, own_head = _up_to(name, base, size, feature_layer), False
      note = "; ".join(filter(None, [note, f"{name} is a network of images: "
                                     "a new head over its maps of all frames "
                                     "replaces its own"]))
  else:
    size = image_sizes.pair(image_size or defaults.of(name).image_size)
    base = backbones.make(name, weights, size, width, frames)
    normalize, own_head, note = backbones.normalization(
        name, backbones.input_range(name)), False, ""
    if name in residual_3d.NAMES:
      size = (frames, *size)
    elif frames and feature_layer:
      base = _up_to(name, base, size, feature_layer)
  if frames and len(size) == 2:
    base, size, feature_layer = (
        frames_model.over_frames(base, frames), (frames, *size), "")
  return _assemble(
      name, base, size, normalize, own_head, num_classes,
      own_head and not multi_label and num_classes == 2, prior, multi_label,
      cam_layer, reflect_padding, head, note, feature_layer)


def _up_to(name, base, size, feature_layer):
  """A network of images up to a layer, or to its last map."""
  images = keras.Input([*size, base.inputs[0].shape[-1]])
  graph = ModelGraph(base, images, name=name)
  output = _cut(name, graph, images, feature_layer) if feature_layer else (
      graph.tensors[classifier.last_map(name, graph)])
  return keras.Model(images, output, name=base.name)


def wrap(model, input_range="0..1", image_size=0, cam_layer=(), binary=False):
  """A classifier around a Keras model.

  Args:
    model: functional or Sequential, one batch of images (or of clips) ->
      logits or probabilities (a final softmax or sigmoid is removed). The
      model is not changed; its variables are shared.
    input_range: of the images that the model expects, a key of
      `backbones.INPUT_RANGES`; "0..1" leaves images as they are.
    image_size: side of the images, or height and width; 0: the model's own.
      A model that takes any size needs it.
    cam_layer: see `build`.
    binary: a single output is that of the second of two classes, and the
      classifier has two logits.
  Raises:
    UserError: the model does not fit.
  """
  name = model.name
  base, size = user_model.fitting(model, name, image_size)
  normalize = backbones.normalization(name, input_range,
                                      base.inputs[0].shape[-1])
  return _assemble(name, base, size, normalize, True, _classes(name, base),
                   binary, cam_layer=cam_layer)


def load(path, input_range="auto", image_size=0, cam_layer=(), binary=None):
  """A classifier around the model in a file, for RGB images in [0, 1].

  Args:
    path: of a .keras or .h5 file.
    input_range, image_size, cam_layer: see `build`.
    binary: see `wrap`; None: true if the single output is a sigmoid.
  Raises:
    UserError: the file does not load, or the model does not fit.
  """
  base, size = user_model.load(path, image_size)
  input_range, note = user_model.input_range(base, path, input_range)
  return _assemble(path, base, size, _normalize(path, base, input_range), True,
                   _classes(path, base), binary, cam_layer=cam_layer,
                   note=note)


def _normalize(name, base, input_range):
  """What makes RGB images in [0, 1] the images that a model expects."""
  return backbones.normalization(name, input_range, base.inputs[0].shape[-1],
                                 grey=True)


def _classes(name, base):
  """The number of classes of a model that keeps its head."""
  shape = base.outputs[0].shape
  if len(shape) != 2 or not shape[1]:
    raise UserError("model", name,
                    f"its output is {shape}; must be a number for each class, "
                    "[None, classes]")
  return shape[1]


def stock(name, weights="imagenet"):
  """A Keras application with its own 1000 ImageNet classes.

  Args:
    name: one of `settings.MODELS` but tiny_cnn.
    weights: "imagenet" (downloaded), "none", or a file of the whole model.
  """
  if name not in backbones.BACKBONES:
    raise UserError("model", name,
                    "must be a .keras or .h5 file, or one of "
                    f"{', '.join(backbones.BACKBONES)}")
  make, input_range = backbones.BACKBONES[name]
  try:
    model = make(weights="imagenet" if weights == "imagenet" else None)
  except Exception as error:  # urllib's, OSError: no network
    raise UserError("weights", "imagenet",
                    f"cannot download {name} ({error}); pass --weights=FILE "
                    "or --weights=none") from error
  if weights not in ("imagenet", "none"):
    backbones.load_weights(model, weights, name, ("weights", weights))
  if name == "efficientnet_b0":  # this model normalises its images
    input_range = "0..255"
  return wrap(model, input_range)


def _assemble(name, base, size, normalize, own_head, num_classes, binary,
              prior=None, multi_label=True, cam_layer=(),
              reflect_padding=False, head="linear", note="",
              feature_layer=""):
  """The classifier over a base model, with its own head or a new one."""
  keras_settings.check_format(keras.config.image_data_format())
  normalized = keras.Input([*size, len(normalize.scale)], name="normalized")
  try:
    graph = ModelGraph(base, normalized, reflect_padding, logits=own_head,
                       name=name)
  except UserError:
    raise
  except ValueError as error:  # of a layer that does not take this size
    raise UserError(
        "image_size", image_sizes.short(size[-2:]),
        f"--model={name}: {backbones.first_line(error)}") from error
  (output,) = keras.tree.flatten(graph.outputs)
  if feature_layer:
    output, own_head = _cut(name, graph, normalized, feature_layer), False
  notes = [note] if note else []
  if graph.half:
    notes.append(f"{name} is of {graph.half}: it is run in float32")
  binary = output.shape[1:] == (1,) and (
      graph.left_out == "sigmoid" if binary is None else binary)
  if own_head and binary:
    # softmax(-z/2, z/2) = sigmoid(-z), sigmoid(z): either can be explained.
    output = keras.ops.concatenate([-0.5 * output, 0.5 * output], -1)
    notes.append(f"the head of {name} has one output: it is kept, as the "
                 "logit of the second of two classes")
  elif own_head and output.shape[1:] != (num_classes,):
    outputs = " x ".join(map(str, output.shape[1:]))
    notes.append(f"the head of {name} has {outputs} outputs, the data have "
                 f"{num_classes} classes: a new head replaces it")
    output, own_head = graph.tensors[classifier.last_map(name, graph)], False
  elif own_head:
    output, more = endings.logits_of(name, graph, normalized, output)
    notes += more
  head_variables = []
  if not own_head:
    output, head_variables = _new_head(graph, output, num_classes, prior,
                                       multi_label, head)
  layers = cam_layer or (classifier.last_map(name, graph),)
  for layer in layers:
    classifier.check_map(name, graph, layer)
  network = keras.Model(normalized,
                        [*(graph.tensors[n] for n in layers), output])
  built = classifier.Classifier(
      name, normalize, network, head_variables,
      [graph.geometry[n] for n in layers], graph.guided_relus, tuple(layers),
      graph, binary=binary, notes=tuple(notes))
  if own_head and not cam_layer and not built.is_cut:
    built.notes += (
        f"the logits of {name} depend on more than its last map, that of "
        f"{layers[-1]}: maps show what this part adds", )
  return built


def _cut(name, graph, normalized, layer):
  """The output of a layer, in a graph that ends there."""
  output = graph.tensors.get(layer)
  shape = () if output is None else output.shape
  if not (len(shape) == 2 or graph.map_size(output)) or None in shape[1:]:
    problem = "no such layer" if output is None else f"its output is {shape}"
    raise UserError("feature_layer", layer,
                    f"{problem} in {name}; a map or a vector is needed, as "
                    f"of {', '.join(classifier.map_layers(graph)[-4:])}")
  graph.end_at(normalized, output)
  return output


def _new_head(graph, features, num_classes, prior, multi_label, head):
  """Global average pooling and a dense layer whose bias is the prior."""
  dtype = keras.config.floatx()  # also under a policy of half precision
  poolings = {4: keras.layers.GlobalAveragePooling2D,
              5: keras.layers.GlobalAveragePooling3D}
  if graph.merged:  # a vector of each frame
    poolings[3] = keras.layers.GlobalAveragePooling1D
  if len(features.shape) in poolings:
    features = poolings[len(features.shape)](
        name=graph.unique("pool"), dtype=dtype)(features)
  if head == "unit":
    features = FeatureNorm(name=graph.unique("unit"), dtype=dtype)(features)
  bias = np.zeros([num_classes])
  if prior is not None:
    p = np.clip(np.asarray(prior, np.float64), 1e-3, 1 - 1e-3)
    bias = np.log(p) - np.log1p(-p) if multi_label else np.log(p)
  dense = keras.layers.Dense(
      num_classes, name=graph.unique("logits"), dtype=dtype,
      bias_initializer=keras.initializers.Constant(bias))
  return dense(features), dense.trainable_variables
