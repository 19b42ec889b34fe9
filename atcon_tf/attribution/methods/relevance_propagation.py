"""Layer-wise relevance propagation (LRP): the logit, handed down by layers.

The relevance of the logit is the logit itself. Each linear layer with inputs
x, kernel w, bias b and outputs `z_j = sum_i x_i w_ij + b_j` hands the
relevance R_j of its outputs down to its inputs (Bach et al., PLOS ONE 2015;
Montavon et al., "Layer-wise relevance propagation: an overview", 2019):

    epsilon     R_i = sum_j x_i w_ij / (z_j + epsilon sign(z_j)) R_j
    gamma       R_i = sum_j (x_i w_ij + gamma (x_i w_ij)^s)
                            / (z_j + gamma z_j^s) R_j,    s the sign of z_j
    alpha_beta  R_i = sum_j (alpha (x_i w_ij)^+ / z_j^+
                             - beta (x_i w_ij)^- / z_j^-) R_j
    z_plus      alpha_beta with alpha 1 and beta 0

`^+` is the positive and `^-` the negative part, z^+ and z^- are the sums of
these parts over i, the bias's own among them. All of these rules conserve:
`sum_i R_i = sum_j R_j`, but for the share that the bias takes, for epsilon,
and for the beta share of an output without a negative part.

An activation hands its relevance down unchanged. Sums, average pooling and a
normalisation that is not folded follow the epsilon rule with epsilon 0, and
max pooling gives all to the maximum. Of a product the factor that is
broadcast (the gate of squeeze and excitation) is a constant; otherwise both
factors get half. In a Vision Transformer the attention and the standard
deviation of a layer normalisation are constants (Ali et al., arXiv
2202.07304).

Here the relevance is `R = x m`, m the gradient of the logit through a network
whose layers have the gradients of the rules: `z_j q_j`, where q_j is R_j's
factor and held constant. So one backward pass does it.

A map is the signed sum of R over the colours. Without biases it sums to the
logit. x is the normalised image, so a pixel of the mean colour has none.

    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
"""

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import propagation
from atcon_tf.config import UserError
from atcon_tf.models import feature_norm
from atcon_tf.models import guided_relu

RULES = ("epsilon", "gamma", "alpha_beta", "z_plus")
KINDS = ("activation", "max_pool", "product", "unit", "layer_norm",
         "attention")


def lrp(pass_, class_index, **options):
  """LRP with a rule for each kind of layer ("epsilon-plus").

  By default dense layers have the epsilon rule, which stays close to the
  network's function, and convolutions the z-plus rule, whose maps are less
  noisy (Kohlbrenner et al., arXiv 1910.09840). See the top of this file.

  Args:
    pass_, class_index: see the top of this file.
    **options: of `lrp_attributions`.
  Returns:
    `[B, H, W]`, of any sign.

  Example:
    >>> heat = attribution.explain(classifier, images, "lrp",
    ...                            convolution="gamma", gamma=0.1)
    >>> heat.shape
    TensorShape([2, 32, 32])
  """
  return tf.reduce_sum(lrp_attributions(pass_, class_index, **options), -1)


def lrp_epsilon(pass_, class_index, epsilon=1e-6):
  """LRP with the epsilon rule in all layers; see the top of this file.

  With epsilon 0 it is input times gradient in a network of ReLUs.

  Returns:
    `[B, H, W]`, of any sign.

  Example:
    >>> heat = attribution.explain(classifier, images, "lrp_epsilon", 0,
    ...                            epsilon=1e-9)
    >>> logit = classifier.model(images)[:, 0]      # there are no biases
    >>> np.allclose(tf.reduce_sum(heat, [1, 2]), logit, atol=1e-3)
    True
  """
  return lrp(pass_, class_index, dense="epsilon", convolution="epsilon",
             epsilon=epsilon)


def lrp_gamma(pass_, class_index, gamma=0.25):
  """LRP with the gamma rule in all layers; see the top of this file.

  Returns:
    `[B, H, W]`, of any sign.

  Example:
    >>> attribution.explain(classifier, images, "lrp_gamma", gamma=1.0).shape
    TensorShape([2, 32, 32])
  """
  return lrp(pass_, class_index, dense="gamma", convolution="gamma",
             gamma=gamma)


def lrp_alpha_beta(pass_, class_index, alpha=2.0):
  """LRP with the alpha-beta rule in all layers, beta = alpha - 1.

  See the top of this file.

  Returns:
    `[B, H, W]`, of any sign.

  Example:
    >>> attribution.explain(classifier, images, "lrp_alpha_beta").shape
    TensorShape([2, 32, 32])
  """
  return lrp(pass_, class_index, dense="alpha_beta",
             convolution="alpha_beta", alpha=alpha)


def lrp_z_plus(pass_, class_index):
  """LRP with the z-plus rule in all layers; see the top of this file.

  It is the deep Taylor decomposition of a network of ReLUs (Montavon et al.,
  arXiv 1512.02479), and excitation backprop (Zhang et al., arXiv 1608.00507)
  but for the sign of the logit, which all of the map has.

  Returns:
    `[B, H, W]`, of the sign of the logit.

  Example:
    >>> attribution.explain(classifier, images, "lrp_z_plus").shape
    TensorShape([2, 32, 32])
  """
  return lrp(pass_, class_index, dense="z_plus", convolution="z_plus")


def lrp_attributions(pass_, class_index, dense="epsilon",
                     convolution="z_plus", epsilon=1e-6, gamma=0.25,
                     alpha=2.0):
  """The relevance R of each colour of each pixel.

  Args:
    pass_, class_index: see the top of this file.
    dense: the rule of dense layers, one of `RULES`.
    convolution: the rule of convolutions.
    epsilon: of the epsilon rule, not negative.
    gamma: of the gamma rule, not negative.
    alpha: of the alpha-beta rule, at least 1; beta is `alpha - 1`.
  Returns:
    `[B, H, W, 3]`, signed.
  Raises:
    UserError: an option has none of these values.
  """
  for name, rule in (("dense", dense), ("convolution", convolution)):
    forward_pass.check(name, rule, RULES)
  for name, value, least in (("epsilon", epsilon, 0), ("gamma", gamma, 0),
                             ("alpha", alpha, 1)):
    if not value >= least:
      raise UserError(name, value, f"must be at least {least}")

  def linear(layer, x):
    rule = dense if layer.dense else convolution
    y = layer(x)
    if rule == "epsilon":
      return propagation.with_value(y * _share(y, y, epsilon), y)
    plus = _part(layer, x, 1)
    if rule == "z_plus" or rule == "alpha_beta" and alpha == 1:
      return propagation.with_value(plus * _share(y, plus), y)
    minus = _part(layer, x, -1)
    if rule == "alpha_beta":
      q = alpha * plus * _share(y, plus) - (
          (alpha - 1) * minus * _share(y, minus))
    else:
      own = y + gamma * tf.where(y > 0, plus, minus)
      q = own * _share(y, own)
    return propagation.with_value(q, y)

  x = pass_.normalized
  rules = {**_RULES_OF_KINDS, "linear": linear}
  with tf.GradientTape() as tape:
    tape.watch(x)
    logits = propagation.run(pass_.classifier, x, rules)
    score = forward_pass.pick(tf.cast(logits, pass_.logits.dtype),
                              class_index)
  with feature_norm.constant_length():
    return x * tape.gradient(score, x)


def _share(y, z, epsilon=0.0):
  """`y / (z + epsilon sign(z))` as a constant; 0 where z is 0."""
  return tf.stop_gradient(tf.math.divide_no_nan(
      y, z + epsilon * tf.sign(z)))


def _part(layer, x, sign):
  """The sum of the positive (sign 1) or negative (-1) parts of x w and b."""
  def part(t, sign):
    return None if t is None else sign * tf.nn.relu(sign * t)

  y = layer(tf.nn.relu(x), part(layer.kernel, sign), part(layer.bias, sign))
  if layer.positive:
    return y
  return y + layer(part(x, -1), part(layer.kernel, -sign))


def _activation(function, x):
  """Relevance goes through: `x m' = y m`."""
  if isinstance(function, guided_relu.GuidedReLU) and not function.max_value:
    return function(x)  # the gradient of a ReLU does so already
  y = function(x)
  return propagation.with_value(x * _share(y, x), y)


def _product(a, b):
  """A factor that is broadcast is a gate; others get half of the relevance."""
  y = a * b
  sizes = [tensor.shape[1:].num_elements() for tensor in (a, b)]
  if sizes[0] == sizes[1]:
    return propagation.with_value(y / 2, y)
  return a * tf.stop_gradient(b) if sizes[0] > sizes[1] else (
      tf.stop_gradient(a) * b)


def _layer_norm(layer, x):
  """The normalisation by a standard deviation that is a constant."""
  y = layer(x)
  wide = tf.cast(x, y.dtype)
  centred = wide - tf.reduce_mean(wide, -1, keepdims=True)
  deviation = tf.sqrt(tf.reduce_mean(
      tf.square(centred), -1, keepdims=True) + layer.epsilon)
  scale = tf.cast(layer.gamma, y.dtype) if layer.scale else 1
  return propagation.with_value(
      scale * centred / tf.stop_gradient(deviation), y)


_RULES_OF_KINDS = {
    "activation": _activation, "product": _product, "layer_norm": _layer_norm,
    "attention": lambda layer, *inputs: tf.stop_gradient(layer(*inputs))}
