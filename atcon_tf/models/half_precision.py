"""A classifier whose convolutions compute in half precision.

    fast = half_precision.of(classifier, "mixed_bfloat16")

The two share every variable, which stays float32. In half precision are the
convolutions, and what stands between them; the head, and so the logits, are
float32. `forward_pass.Pass` gives feature maps and gradients in float32, so
attribution maps, similarities, masks and losses are computed in float32, too.
"""

import keras

from atcon_tf.config import UserError
from atcon_tf.models.edge_padding import ReflectionPadding
from atcon_tf.models import stand_ins
from atcon_tf.models.guided_relu import altered
from atcon_tf.models.guided_relu import GuidedReLU

_LAYERS = keras.layers
_CONVOLUTIONS = (_LAYERS.Conv2D, _LAYERS.DepthwiseConv2D,
                 _LAYERS.SeparableConv2D)
# Kinds of layers that compute in half precision.
HALVED = (
    *_CONVOLUTIONS, _LAYERS.Activation, _LAYERS.Add, _LAYERS.AveragePooling2D,
    _LAYERS.BatchNormalization, _LAYERS.Concatenate, _LAYERS.Cropping2D,
    _LAYERS.Dropout, _LAYERS.MaxPooling2D, _LAYERS.Multiply, _LAYERS.ReLU,
    _LAYERS.UpSampling2D, _LAYERS.ZeroPadding2D, GuidedReLU,
    ReflectionPadding)


def of(classifier, policy):
  """The classifier in a precision, over the same variables.

  Args:
    classifier: a `models.Classifier`.
    policy: "mixed_bfloat16" or "mixed_float16"; or "float32", which returns
      the classifier.
  Raises:
    UserError: the network has no convolution, or sees clips.
  """
  if policy == "float32":
    return classifier
  if classifier.frames:
    raise UserError("precision", policy, "not used with clips")
  if not any(isinstance(layer, _CONVOLUTIONS)
             for layer in classifier.network.layers):
    raise UserError("precision", policy,
                    f"not used with --model={classifier.name}, which has no "
                    "convolution")
  half = keras.dtype_policies.DTypePolicy(policy)
  return stand_ins.of(classifier, lambda layer: altered(
      layer, _dtype_policy=half) if isinstance(layer, HALVED) else None)
