"""Integrated gradients: the gradient along a path from a baseline."""

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import gradient
from atcon_tf.attribution import variations
from atcon_tf.config import UserError

BASELINES = ("zero", "black", "blur", "random")
RULES = ("trapezoid", "graded", "mean")


def integrated_gradients(pass_, class_index, **options):
  """Integrated gradients (Sundararajan et al., arXiv 1703.01365).

  `IG = (x - x') * int_0^1 df_c(x' + a (x - x')) / da da`, x the normalised
  image and x' the baseline; the map is `sum_channels |IG|`. Completeness: the
  sum of IG over pixels and channels is `f_c(x) - f_c(x')`.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    **options: of `ig_attributions`.
  Returns:
    `[B, H, W]`, not negative, differentiable.

  Example:
    >>> attribution.explain(classifier, images, "integrated_gradients",
    ...                     baseline="blur", steps=8).shape
    TensorShape([2, 32, 32])
  """
  return gradient.magnitude(ig_attributions(pass_, class_index, **options))


def ig_attributions(pass_, class_index, steps=32, baseline="zero",
                    output="logit", rule="trapezoid", seed=0,
                    batch_size=None):
  """Integrated gradients, signed and per channel.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    steps: m; the gradient is taken at m + 1 points, `a = s / m` by default.
    baseline: "zero" (0 in normalised space: grey for most networks),
      "black", "blur" (a Gaussian blur of each image, sigma an eighth of its
      side) or "random" (uniform noise in [0, 1], the same for all images).
    output: what f is, the "logit", the softmax "probability" or the
      "sigmoid".
    rule: "trapezoid"; "graded", which is "trapezoid" with the points at
      `(s / m)^2`; or "mean", the mean of all m + 1 points, as in some
      published code. Close to a flat baseline the ReLUs of a deep network
      switch, and the gradient changes most. "graded" has more points there
      and needs far fewer steps.
    seed: of the random baseline.
    batch_size: most images in the network at once; None: all
      `B * (steps + 1)`.
  Returns:
    `[B, H, W, 3]`, signed, differentiable.
  Raises:
    UserError: an option has none of these values.
  """
  forward_pass.check("baseline", baseline, BASELINES)
  forward_pass.check("rule", rule, RULES)
  if steps < 1:
    raise UserError("steps", steps, "must be at least 1")
  x = pass_.normalized
  start = baseline_images(pass_, baseline, seed)
  position, weights = (tf.constant(values, x.dtype)
                       for values in quadrature(steps, rule))

  def part(image, sample):
    here, there = tf.gather(start, image), tf.gather(x, image)
    a = column(tf.gather(position, sample), there)
    point = forward_pass.forward_normalized(
        pass_.classifier, here + a * (there - here))
    slope = point.gradient(tf.gather(class_index, image), point.normalized,
                           output)
    return [column(tf.gather(weights, sample), slope) * slope]

  # The sum is made in the precision of the logits.
  like = tf.cast(x, pass_.logits.dtype)
  mean, = variations.total(part, [like], steps + 1, batch_size)
  return tf.cast(x - start, like.dtype) * mean


def quadrature(steps, rule="trapezoid"):
  """Points of an integral from 0 to 1, and their weights.

  Args:
    steps: number of intervals.
    rule: one of `RULES`, see `ig_attributions`.
  Returns:
    points and weights, `[steps + 1]` each.

  Example:
    >>> integrated_gradients.quadrature(2, "graded")
    (array([0.  , 0.25, 1.  ]), array([0.125, 0.5  , 0.375]))
  """
  points = np.arange(steps + 1) / steps
  if rule == "mean":
    return points, np.full(steps + 1, 1 / (steps + 1))
  points = points**2 if rule == "graded" else points
  halves = np.diff(points) / 2
  return points, np.append(halves, 0) + np.insert(halves, 0, 0)


def column(values, like):
  """`[n]` -> `[n, 1, ...]`, with as many axes as `like`."""
  return tf.reshape(values, [-1, *[1] * (len(like.shape) - 1)])


def baseline_images(pass_, baseline, seed=0):
  """The images x' at which the path begins, normalised, `[B, H, W, 3]`.

  Args:
    pass_: a `forward_pass.Pass`.
    baseline: one of `BASELINES`, see `ig_attributions`.
    seed: of the random baseline.
  """
  x, normalize = pass_.normalized, pass_.classifier.normalize
  if baseline == "zero":
    return tf.zeros_like(x)
  if baseline == "black":
    return tf.cast(normalize(tf.zeros_like(x)), x.dtype)
  if baseline == "blur":
    return blur(x, x.shape[-3] / 8)
  noise = tf.random.stateless_uniform(
      [1, *x.shape[1:]], [seed, 0], dtype=tf.float32, alg=variations.RANDOM)
  return tf.zeros_like(x) + tf.cast(normalize(noise), x.dtype)


def blur(images, sigma):
  """Gaussian blur of `[..., H, W, C]` that keeps a constant image constant.

  It is two products with fixed matrices whose rows sum to 1, so it is
  differentiable and does not darken the edges.

  Args:
    images: `[B, H, W, C]`; the frames of clips are blurred one by one.
    sigma: standard deviation in pixels.
  """
  rows, columns = (blur_matrix(n, sigma) for n in images.shape[-3:-1])
  return tf.einsum("yh,...hwc,xw->...yxc", tf.constant(rows, images.dtype),
                   images, tf.constant(columns, images.dtype))


def blur_matrix(size, sigma):
  """The blur of one axis, `[size, size]`; of a sigma of 0, the identity."""
  if not sigma:
    return np.eye(size)
  index = np.arange(size)
  weight = np.exp(-((index[:, None] - index) / sigma)**2 / 2)
  return weight / weight.sum(1, keepdims=True)
