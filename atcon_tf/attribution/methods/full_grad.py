"""FullGrad: the gradients of the image and of all biases."""

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.attribution import propagation
from atcon_tf.models import feature_norm
from atcon_tf.models import geometry

KINDS = ("activation", "max_pool", "product", "unit", "layer_norm",
         "attention")


def full_grad(pass_, class_index):
  """FullGrad (Srinivas and Fleuret, arXiv 1905.00780).

  A network of ReLUs is `y_c = sum x dy_c/dx + sum_l sum b_l dy_c/dz_l`, b_l
  the bias of layer l and z_l its output. The map is `psi(x dy_c/dx) + sum_l
  psi(b_l dy_c/dz_l)` over the convolutions l. psi scales the absolute values
  of an image's tensor to [0, 1], as the authors' code does, adds up the
  channels and enlarges bilinearly. A batch normalisation that is folded is
  part of its convolution and of its bias; another one is left out.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "full_grad").shape
    TensorShape([2, 32, 32])
  """
  x = pass_.normalized
  slope, terms = bias_attributions(pass_, class_index)
  size, classifier = x.shape[1:-1], pass_.classifier
  heat = _scaled(x * slope)
  for term in map(classifier.per_clip, terms):
    if len(term.shape) == len(x.shape) and np.prod(term.shape[1:-1]) > 1:
      heat += tf.cast(geometry.resize(_scaled(term), size), heat.dtype)
  return heat


def _scaled(term):
  """`[B, h, w, K]` -> `[B, h, w]`, absolute values of [0, 1] added up."""
  return tf.reduce_sum(maps.min_max(tf.abs(term)), -1)


def bias_attributions(pass_, class_index):
  """The gradient of the image, and the share of each layer's bias.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
  Returns:
    `dy_c/dx` `[B, H, W, 3]` and a list of `b_l dy_c/dz_l`, each of the shape
    of the layer's output. In a network of ReLUs the sums of `x dy_c/dx` and
    of all of them add up to the logit.
  """
  x = pass_.normalized
  outputs, biases = [], []

  def linear(layer, x):
    y = layer(x)
    if layer.bias is not None:
      outputs.append(y)
      biases.append(layer.bias)
    return y

  with tf.GradientTape() as tape:
    tape.watch(x)
    logits = propagation.run(pass_.classifier, x, {"linear": linear})
    score = forward_pass.pick(tf.cast(logits, pass_.logits.dtype),
                              class_index)
  with feature_norm.constant_length():
    slope, *slopes = tape.gradient(score, [x, *outputs])
  return slope, [g * b for g, b in zip(slopes, biases)]
