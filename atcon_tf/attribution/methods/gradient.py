"""Maps from the gradient of a logit with respect to the image.

Each method has two functions: its attributions, signed and per channel
`[B, H, W, 3]`, which `smooth_grad` averages, and its map `sum_channels
|attributions|`, `[B, H, W]`, raw and differentiable.

    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.

The gradient is taken with respect to the normalised image, as in the papers'
code.
"""

import tensorflow as tf

from atcon_tf.models import guided_relu


def magnitude(attributions):
  """`sum_channels |a|`: `[B, H, W, 3]` -> `[B, H, W]`, not negative."""
  return tf.reduce_sum(tf.abs(attributions), -1)


def gradient_attributions(pass_, class_index):
  """`dy_c / dx`, `[B, H, W, 3]`."""
  return pass_.gradient(class_index, pass_.normalized)


def gradient(pass_, class_index):
  """Saliency (Simonyan et al., arXiv 1312.6034): `sum_channels |dy_c/dx|`.

  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "gradient",
    ...                     class_index=[0, 2]).shape
    TensorShape([2, 32, 32])
  """
  return magnitude(gradient_attributions(pass_, class_index))


def input_x_gradient_attributions(pass_, class_index):
  """`x * dy_c / dx`, `[B, H, W, 3]`, x the normalised image."""
  return pass_.normalized * gradient_attributions(pass_, class_index)


def input_x_gradient(pass_, class_index):
  """Input times gradient (Shrikumar et al., arXiv 1605.01713).

  `sum_channels |x * dy_c/dx|`, x the normalised image. For a network of
  ReLUs without biases `sum x * dy_c/dx` is the logit itself.

  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "input_x_gradient").shape
    TensorShape([2, 32, 32])
  """
  return magnitude(input_x_gradient_attributions(pass_, class_index))


def guided_backprop_attributions(pass_, class_index):
  """The guided gradient, `[B, H, W, 3]`; see `guided_backprop`."""
  with guided_relu.guided_rule():
    return pass_.gradient(class_index, pass_.normalized)


def guided_backprop(pass_, class_index):
  """Guided backpropagation (Springenberg et al., arXiv 1412.6806).

  `sum_channels |g|`, g the gradient of the logit with respect to the image
  when every ReLU passes `dy` only where `y > 0` and `dy > 0`.

  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "guided_backprop").shape
    TensorShape([2, 32, 32])
  """
  return magnitude(guided_backprop_attributions(pass_, class_index))
