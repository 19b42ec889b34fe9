"""Maps from the gradient of a logit with respect to the image.

Each method is `fn(pass_, class_index) -> [B, H, W]`, raw and differentiable.
The gradient is taken in normalised space, as in the papers' code.
"""

import tensorflow as tf

from atcon_tf import guided


def gradient(pass_, class_index):
  """Saliency (Simonyan et al., arXiv 1312.6034): `sum_channels |dy_c/dx|`.

  Returns:
    `[B, H, W]`, not negative.
  """
  return tf.reduce_sum(
      tf.abs(pass_.gradient(class_index, pass_.normalized)), -1)


def guided_backprop(pass_, class_index):
  """Guided backpropagation (Springenberg et al., arXiv 1412.6806).

  `sum_channels |g|`, g the gradient of the logit with respect to the image
  when every ReLU passes `dy` only where `y > 0` and `dy > 0`.

  Returns:
    `[B, H, W]`, not negative.
  """
  with guided.guided_rule():
    g = pass_.gradient(class_index, pass_.normalized)
  return tf.reduce_sum(tf.abs(g), -1)
