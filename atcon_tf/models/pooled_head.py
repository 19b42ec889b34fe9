"""The gradient of a pooled head in closed form.

    head = pooled_head.find(classifier)         # None: another kind of head
    weights = head.weights(features, one_hot)   # [B, K]

With global average pooling, an optional `FeatureNorm` and one dense layer,

    y_c = sum_k W_kc s mean_ij(A_ijk) + b_c,   s = 1, or L / |mean_ij A_ij|

so `d y_c / d A_ijk = s W_kc / cells` is the same in every cell; s is a constant
where a map's gradient is taken (`feature_norm.constant_length`). No gradient
has to be taken, and the result is differentiable in A and W as that gradient
is.
"""

import dataclasses

import keras
import tensorflow as tf

from atcon_tf.models import guided_relu
from atcon_tf.models.feature_norm import FeatureNorm


@dataclasses.dataclass(frozen=True, eq=False)
class PooledHead:
  """Global average pooling and one dense layer.

  Attributes:
    dense: the dense layer.
    norm: the `FeatureNorm` between the two; None: there is none.
  """

  dense: keras.layers.Dense
  norm: FeatureNorm | None

  def weights(self, features, class_weights):
    """`d (sum_c w_c y_c) / d A_ijk`, the same for every cell ij.

    Args:
      features: A, `[B, h, w, K]`.
      class_weights: w, `[B, classes]`, or `[B, n, classes]` for n such sums.
    Returns:
      `[B, K]` or `[B, n, K]`.
    """
    kernel = tf.cast(tf.convert_to_tensor(self.dense.kernel), features.dtype)
    weights = tf.matmul(tf.cast(class_weights, features.dtype), kernel,
                        transpose_b=True)
    if self.norm is not None:
      factor = self.norm.factor(tf.reduce_mean(features, [1, 2]))
      weights *= factor if len(weights.shape) == 2 else factor[:, tf.newaxis]
    return weights / (features.shape[1] * features.shape[2])


def find(classifier):
  """The `PooledHead` on the last cam_layer; None: the head is another one.

  Args:
    classifier: a `models.Classifier`.
  """
  if classifier.frames:
    return None
  features, logits = classifier.maps.outputs[-2:]
  dense, source = _before(logits)
  if type(dense) is not keras.layers.Dense or (
      dense.activation is not keras.activations.linear):
    return None
  operation, source = _before(source)
  norm = None
  if type(operation) is FeatureNorm:
    norm = operation
    operation, source = _before(source)
  pools = guided_relu.is_keras(operation, "GlobalAveragePooling2D") and (
      not operation.keepdims and operation.data_format == "channels_last")
  return PooledHead(dense, norm) if pools and source is features else None


def _before(tensor):
  """The operation that makes a tensor, and its one input (None: several)."""
  operation, node, _ = tensor._keras_history
  sources = operation._inbound_nodes[node].input_tensors
  return operation, sources[0] if len(sources) == 1 else tensor
