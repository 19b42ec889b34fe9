"""Class activation maps: weighted sums of feature maps.

Each method is `fn(pass_, class_index) -> [B, h, w]`, raw: not resized, not
rectified, not normalised, and differentiable.
"""

import tensorflow as tf


def grad_cam(pass_, class_index, layer=-1):
  """Grad-CAM (Selvaraju et al., arXiv 1610.02391), before its ReLU.

  `C_ij = sum_k alpha_k A_ijk`, `alpha_k = mean_ij d y_c / d A_ijk`, A the
  feature map, y_c the logit of the class. The gradient runs through the head
  alone.

  Args:
    pass_: a `forward.Pass`.
    class_index: int `[B]`.
    layer: which of the classifier's cam_layers.
  Returns:
    `[B, h, w]`, of any sign: where it is positive the class is favoured.
  """
  features = pass_.features[layer]
  gradient = pass_.gradient(class_index, features)
  alpha = tf.reduce_mean(gradient, [1, 2], keepdims=True)
  return tf.reduce_sum(alpha * features, -1)
