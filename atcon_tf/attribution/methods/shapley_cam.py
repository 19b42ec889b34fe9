"""Shapley-CAM: Grad-CAM with the second term of a Taylor expansion."""

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import cam
from atcon_tf.models import feature_norm

# What joins the logits z in the utility, by the option `output`.
_LOGARITHMS = {"probability": tf.nn.log_softmax,
               "sigmoid": tf.math.log_sigmoid, "logit": tf.zeros_like}


def shapley_cam(pass_, class_index, layer=-1, output="probability",
                temporal_weights=None):
  """Shapley-CAM (Cai, arXiv 2501.06261), before its ReLU.

  `C = sum_k w_k A_k`, `w_k = mean_ij (g - H A / 2)_ijk`, g and H the gradient
  and the Hessian of the utility `u = y_c + log p_c` with respect to the map A:
  its Shapley values to second order. The probability p_c lets u depend on the
  other classes. Only the head is run, once more.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    layer: index of one of the classifier's cam_layers.
    output: what p is, the softmax "probability" or the "sigmoid"; or "logit",
      for `u = y_c`. With a linear head, that is Grad-CAM.
    temporal_weights: of clips, see the top of `cam.py`.
  Returns:
    `[B, h, w]`, of any sign.
  Raises:
    UserError: the logits depend on more than this layer.

  Example:
    >>> attribution.explain(classifier, images, "shapley_cam").shape
    TensorShape([2, 4, 4])
  """
  forward_pass.check("output", output, _LOGARITHMS)
  features = pass_.features[layer]
  head = pass_.classifier.head_of(layer)
  with tf.GradientTape() as outer:
    outer.watch(features)
    with tf.GradientTape() as inner:
      inner.watch(features)
      logits = head(features, training=False)
      utility = forward_pass.pick(logits + _LOGARITHMS[output](logits),
                                  class_index)
    with feature_norm.constant_length():
      g = inner.gradient(utility, features)
    along = tf.reduce_sum(g * tf.stop_gradient(features))
  with feature_norm.constant_length():
    curved = outer.gradient(
        along, features, unconnected_gradients=tf.UnconnectedGradients.ZERO)
  axes = cam.cells(features, temporal_weights or (
      pass_.classifier.temporal_weights))
  weights = tf.reduce_mean(g - curved / 2, axes, keepdims=True)
  return tf.reduce_sum(weights * features, -1)
