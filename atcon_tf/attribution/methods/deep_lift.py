"""DeepLIFT and DeepSHAP: differences from a baseline, handed down by layers.

DeepLIFT (Shrikumar et al., arXiv 1704.02685) with the rescale rule compares
the image x with a baseline x'. In place of the derivative of each activation
f it takes the slope between the two:

    m = (f(z) - f(z')) / (z - z'),      f'(z) where z is close to z'

The attribution is `(x - x') M`, M the product of these multipliers and of the
linear layers' weights, as in a backward pass. Its sum over pixels and colours
is the difference of the logits, `y_c(x) - y_c(x')` (summation to delta).

Max pooling of a window hands the difference to the maximum of x where the
output grew, and to that of x' where it fell, as SHAP and captum do. A product
`a b - a' b'` is `(a - a') (b + b') / 2 + (b - b') (a + a') / 2`.

    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
"""

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution import propagation
from atcon_tf.attribution import variations
from atcon_tf.config import UserError

KINDS = ("activation", "max_pool", "product", "unit")
# The grey levels that stand for a data set where no baselines are given.
GREYS = (0.0, 0.25, 0.5, 0.75, 1.0)


def deep_lift(pass_, class_index, baseline="zero", seed=0):
  """DeepLIFT with the rescale rule; see the top of this file.

  Args:
    pass_, class_index: see the top of this file.
    baseline: x', one of `integrated_gradients.BASELINES`.
    seed: of the random baseline.
  Returns:
    `[B, H, W]`, the signed sum over the colours; it sums to the difference of
    the logits of x and x'.

  Example:
    >>> heat = attribution.explain(classifier, images, "deep_lift", 1,
    ...                            baseline="black")
    >>> gain = classifier.model(images) - classifier.model(0 * images)
    >>> np.allclose(tf.reduce_sum(heat, [1, 2]), gain[:, 1], atol=1e-3)
    True
  """
  forward_pass.check("baseline", baseline, integrated_gradients.BASELINES)
  start = integrated_gradients.baseline_images(pass_, baseline, seed)
  return tf.reduce_sum(attributions(
      pass_.classifier, pass_.normalized, start, class_index), -1)


def deep_shap(pass_, class_index, baselines=None, batch_size=None):
  """DeepSHAP (Lundberg and Lee, arXiv 1705.07874): the mean of DeepLIFTs.

  It is the mean of the DeepLIFT attributions over several baselines, and
  approximates SHAP values. It sums to the logit less the baselines' mean
  logit.

  Args:
    pass_, class_index: see the top of this file.
    baselines: `[N, H, W, 3]` in [0, 1], a sample of the data, as raw as the
      images that are explained; None: five grey images, from black to white.
    batch_size: most images in the network at once, baselines apart; None:
      all `B * N`.
  Returns:
    `[B, H, W]`, the signed sum over the colours.
  Raises:
    UserError: baselines of another shape.

  Example:
    >>> attribution.explain(classifier, images, "deep_shap",
    ...                     baselines=images[:1]).shape
    TensorShape([2, 32, 32])
  """
  starts = background(pass_, baselines)
  x, count = pass_.normalized, starts.shape[0]

  def part(image, sample):
    found = attributions(pass_.classifier, tf.gather(x, image),
                         tf.gather(starts, sample),
                         tf.gather(class_index, image))
    return [tf.reduce_sum(found, -1) / count]

  like = tf.cast(x[..., 0], pass_.logits.dtype)
  return variations.total(part, [like], count, batch_size)[0]


def background(pass_, baselines=None):
  """Baselines, normalised.

  Args:
    pass_: a `forward_pass.Pass`.
    baselines: `[N, H, W, 3]` as raw as the images; None: `GREYS`.
  Returns:
    `[N, H, W, 3]`.
  Raises:
    UserError: another shape.
  """
  x = pass_.normalized
  shape = tuple(x.shape[1:])
  if baselines is None:
    baselines = np.multiply.outer(GREYS, np.ones(shape))
  given = np.shape(baselines)
  if tuple(given[1:]) != shape or not given[0]:
    raise UserError(f"baselines of shape {given}: must be [N, "
                    f"{', '.join(map(str, shape))}], N at least 1")
  return tf.cast(pass_.classifier.normalize(tf.cast(baselines, x.dtype)),
                 x.dtype)


def attributions(classifier, x, start, class_index):
  """DeepLIFT's attributions `(x - x') M`, signed and per channel.

  Args:
    classifier: a `models.Classifier`.
    x: normalised images `[B, H, W, 3]`.
    start: x', of the same shape.
    class_index: int `[B]`.
  Returns:
    `[B, H, W, 3]`.
  """
  with tf.GradientTape() as tape:
    tape.watch(x)
    logits = propagation.run(classifier, tf.concat([x, start], 0), _RULES)
    score = forward_pass.pick(tf.split(logits, 2)[0], class_index)
  return (x - start) * tape.gradient(score, x)


def _with_slope(y, *terms):
  """A tensor y of images and baselines whose images have other gradients.

  Args:
    y: `[2 B, ...]`, the images and then the baselines.
    *terms: pairs of a tensor `[2 B, ...]` and of its slope `[B, ...]`.
  """
  q = sum(tf.split(z, 2)[0] * tf.stop_gradient(slope) for z, slope in terms)
  own, start = tf.split(y, 2)
  return tf.concat([propagation.with_value(q, own),
                    tf.stop_gradient(start)], 0)


def _delta(z):
  """The difference of images and baselines, `[2 B, ...]` -> `[B, ...]`."""
  own, start = tf.split(z, 2)
  return own - start


def _activation(function, z):
  y = function(z)
  delta = _delta(z)
  # A slope over less than this is lost in rounding.
  near = tf.abs(delta) < {tf.float64: 1e-10, tf.float32: 1e-6}.get(
      z.dtype, 1e-2)
  slope = _delta(y) / tf.where(near, tf.ones_like(delta), delta)
  steep = _with_slope(y, (z, slope))
  return tf.where(tf.concat([near, near], 0), y, steep)


def _product(a, b):
  means = [tf.add_n(tf.split(t, 2)) / 2 for t in (a, b)]
  return _with_slope(a * b, (a, means[1]), (b, means[0]))


def _unit(layer, x):
  """`x g`, g a function of the sum of x x: products and one activation."""
  square = tf.reduce_sum(_product(x, x), -1, keepdims=True)
  scale = _activation(lambda s: layer.length * tf.math.rsqrt(
      tf.where(s > 0, s, tf.ones_like(s))), square)
  return _product(x, scale)


def _max_pool(operation, z):
  @tf.custom_gradient
  def pool(z):
    y = operation(z)

    def backward(dy):
      with tf.GradientTape() as tape:
        tape.watch(z)
        again = operation(z)
      own, start = tf.split(y, 2)
      top, dy_own = tf.maximum(own, start), tf.split(dy, 2)[0]
      handed = tape.gradient(again, z, output_gradients=tf.concat(
          [dy_own * (top - start), dy_own * (own - top)], 0))
      slope = tf.math.divide_no_nan(tf.add_n(tf.split(handed, 2)), _delta(z))
      return tf.concat([slope, tf.zeros_like(slope)], 0)

    return y, backward

  return pool(z)


_RULES = {"activation": _activation, "product": _product, "unit": _unit,
          "max_pool": _max_pool}
