"""Probabilities at the end of a user's model that are no final softmax.

The mean of two softmaxes, or a softmax that is a function inside a layer,
gives probabilities that `ModelGraph` cannot leave out. Taken for logits they
would go through a second softmax, and every probability would be wrong.
"""

import keras
import numpy as np

from atcon_tf.config import UserError

_LAYERS = keras.layers
# They give logits, unless an activation is fused into them.
_LINEAR = (_LAYERS.Dense, _LAYERS.EinsumDense, _LAYERS.Conv2D,
           _LAYERS.Conv3D, _LAYERS.GlobalAveragePooling2D,
           _LAYERS.GlobalMaxPooling2D, _LAYERS.GlobalAveragePooling3D,
           _LAYERS.GlobalMaxPooling3D,
           _LAYERS.Flatten, _LAYERS.BatchNormalization)
# The smallest probability whose logarithm is taken.
LEAST = 1e-7


def logits_of(name, graph, inputs, output):
  """The logits of a graph whose head is kept.

  Args:
    name: of the model, for messages.
    graph: its `ModelGraph`.
    inputs: the symbolic input of the graph.
    output: its symbolic output `[None, classes]`.
  Returns:
    the symbolic logits, and a list of notes.
  Raises:
    UserError: the outputs look like probabilities of several labels.
  """
  linear = isinstance(graph.end, _LINEAR) and getattr(
      graph.end, "activation", None) in (None, keras.activations.linear)
  if graph.left_out or linear or output.shape[-1] < 2:
    return output, []
  shape = (4, *inputs.shape[1:])
  images = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
  values = np.asarray(keras.Model(inputs, output)(
      np.concatenate([images, 255 * images]), training=False))
  if values.min() < 0 or values.max() > 1:
    return output, []
  if np.allclose(values.sum(-1), 1, atol=1e-3):
    logits = keras.ops.log(keras.ops.maximum(output, LEAST))
    return logits, [f"{name} ends in {graph.end.name}, which gives "
                    "probabilities: their logarithms are its logits"]
  raise UserError("model", name,
                  f"ends in {graph.end.name}, whose values lie between 0 and "
                  "1 and do not sum to 1; let it end in logits, or in its "
                  "softmax or sigmoid")
