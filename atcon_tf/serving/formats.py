"""The classifier without maps, as a .keras, TFLite or ONNX file.

`keras_only` builds it from Keras's own layers and operations, so that a host
loads the file with `keras` alone. It shares the weights of the classifier.
"""

import contextlib
import io

import keras
import tensorflow as tf

from atcon_tf.models import backbones
from atcon_tf.models.edge_padding import EdgePadding
from atcon_tf.models.edge_padding import ReflectionPadding
from atcon_tf.models.feature_norm import FeatureNorm
from atcon_tf.models.frames_model import MergeTime
from atcon_tf.models.frames_model import SplitTime
from atcon_tf.models import guided_relu
from atcon_tf.models.token_grid import GridTokens


def keras_only(classifier, multi_label):
  """Images or clips in [0, 1] -> probabilities `[B, classes]`.

  Args:
    classifier: a `models.Classifier`.
    multi_label: whether a probability is a sigmoid or a softmax.
  Returns:
    a functional Keras model that shares the classifier's variables. It has
    ReLU layers instead of guided ones, a Rescaling instead of the
    normalisation, and a padding operation instead of the reflection.
  """
  images = keras.Input(classifier.image_shape, name="images")
  tensor = _normalized(classifier.normalize, images)
  *_, tensor = classifier.network._run_through_graph(tensor, call_fn=_call)
  kind = "sigmoid" if multi_label else "softmax"
  tensor = keras.layers.Activation(kind, name="probabilities",
                                   dtype="float32")(tensor)
  return keras.Model(images, tensor, name="classifier")


def _normalized(normalize, images):
  if not isinstance(normalize, backbones.Normalize):
    return normalize(images)
  if normalize.grey:
    images = keras.ops.sum(keras.layers.Rescaling(
        list(backbones.LUMINANCE), name="luminance")(images), -1,
        keepdims=True)
  if normalize.reverse:
    images = keras.ops.flip(images, -1)
  return keras.layers.Rescaling(
      list(normalize.scale), list(normalize.offset), name="normalize")(images)


def _call(operation, *args, **kwargs):
  """Calls an operation of the network, or Keras's own in its place."""
  if isinstance(operation, guided_relu.GuidedReLU):
    operation = keras.layers.ReLU(operation.max_value, name=operation.name,
                                  dtype=operation.dtype_policy)
  elif isinstance(operation, FeatureNorm):
    return keras.layers.Rescaling(operation.length)(
        keras.layers.UnitNormalization(name=operation.name)(*args))
  elif isinstance(operation, ReflectionPadding):
    amounts = [[0, 0], *operation.amounts, [0, 0]]
    return keras.ops.pad(args[0], amounts, mode="reflect")
  elif isinstance(operation, (MergeTime, SplitTime, EdgePadding)):
    return operation.call(*args)  # operations of Keras alone
  elif isinstance(operation, GridTokens):
    return args[0]  # the same tokens
  return operation(*args, **kwargs)


def save_keras(model, path):
  """Writes the .keras file."""
  model.save(path)


def save_tflite(model, path):
  """Writes a TFLite file, float32."""
  with contextlib.redirect_stdout(io.StringIO()):  # it prints its steps
    path.write_bytes(
        tf.lite.TFLiteConverter.from_keras_model(model).convert())


def save_onnx(model, path):
  """Writes an ONNX file; its batch is free."""
  import tf2onnx  # an optional package

  spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, "images")
  function = tf.function(
      lambda images: {"probabilities": model(images, training=False)},
      input_signature=[spec], autograph=False)
  tf2onnx.convert.from_function(function, [spec], output_path=str(path))


# Ending of a file -> how it is written.
FORMATS = {"keras": save_keras, "tflite": save_tflite, "onnx": save_onnx}
