"""Integrated gradients: the gradient along a path from a baseline."""

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward
from atcon_tf.attribution import gradient
from atcon_tf.attribution import samples
from atcon_tf.config import UserError

BASELINES = ("zero", "black", "blur", "random")


def integrated_gradients(pass_, class_index, **options):
  """Integrated gradients (Sundararajan et al., arXiv 1703.01365).

  `IG = (x - x') * int_0^1 df_c(x' + a (x - x')) / da da`, x the normalised
  image and x' the baseline; the map is `sum_channels |IG|`. Completeness: the
  sum of IG over pixels and channels is `f_c(x) - f_c(x')`.

  Args:
    pass_: a `forward.Pass`.
    class_index: int `[B]`.
    **options: of `ig_attributions`.
  Returns:
    `[B, H, W]`, not negative, differentiable.
  """
  return gradient.magnitude(ig_attributions(pass_, class_index, **options))


def ig_attributions(pass_, class_index, steps=32, baseline="zero",
                    output="logit", rule="trapezoid", seed=0,
                    batch_size=None):
  """Integrated gradients, signed and per channel.

  Args:
    pass_: a `forward.Pass`.
    class_index: int `[B]`.
    steps: m; the gradient is taken at the m + 1 points `a = s / m`.
    baseline: "zero" (0 in normalised space: grey for most networks),
      "black", "blur" (a Gaussian blur of each image, sigma an eighth of its
      side) or "random" (uniform noise in [0, 1], the same for all images).
    output: f is the "logit", the softmax "probability" or the "sigmoid".
    rule: "trapezoid" (both ends count half), or "mean": the plain mean of
      all m + 1 points, as some published code has it.
    seed: of the random baseline.
    batch_size: images at once; None: all `B * (steps + 1)`.
  Returns:
    `[B, H, W, 3]`, signed, differentiable.
  Raises:
    UserError: an option that is not as above.
  """
  forward.check("baseline", baseline, BASELINES)
  forward.check("rule", rule, ("trapezoid", "mean"))
  if steps < 1:
    raise UserError(f"steps={steps}: must be at least 1")
  x = pass_.normalized
  start = baseline_images(pass_, baseline, seed)
  weights = np.full(steps + 1, 1 / (steps + 1))
  if rule == "trapezoid":
    weights = np.full(steps + 1, 1 / steps)
    weights[[0, -1]] /= 2
  weights = tf.constant(weights, x.dtype)
  position = tf.constant(np.arange(steps + 1) / steps, x.dtype)

  def part(image, sample):
    a = _column(tf.gather(position, sample))
    here, there = tf.gather(start, image), tf.gather(x, image)
    point = forward.forward_normalized(
        pass_.classifier, here + a * (there - here))
    slope = point.gradient(tf.gather(class_index, image), point.normalized,
                           output)
    return [_column(tf.gather(weights, sample)) * slope]

  # Half precision is too coarse to add up in.
  like = tf.cast(x, pass_.logits.dtype)
  mean, = samples.total(part, [like], steps + 1, batch_size)
  return tf.cast(x - start, like.dtype) * mean


def _column(values):
  return values[:, tf.newaxis, tf.newaxis, tf.newaxis]


def baseline_images(pass_, baseline, seed=0):
  """The images at which a path begins, normalised, `[B, H, W, 3]`."""
  x, normalize = pass_.normalized, pass_.classifier.normalize
  if baseline == "zero":
    return tf.zeros_like(x)
  if baseline == "black":
    return tf.cast(normalize(tf.zeros_like(x)), x.dtype)
  if baseline == "blur":
    return blur(x, x.shape[1] / 8)
  noise = tf.random.stateless_uniform(
      [1, *x.shape[1:]], [seed, 0], dtype=tf.float32, alg=samples.RANDOM)
  return tf.zeros_like(x) + tf.cast(normalize(noise), x.dtype)


def blur(images, sigma):
  """Gaussian blur of `[B, H, W, C]` that keeps a constant image constant.

  Two products with fixed matrices whose rows sum to 1: differentiable, and
  free of dark edges.
  """
  rows, columns = (_blur_matrix(n, sigma) for n in images.shape[1:3])
  return tf.einsum("yh,bhwc,xw->byxc", tf.constant(rows, images.dtype),
                   images, tf.constant(columns, images.dtype))


def _blur_matrix(size, sigma):
  index = np.arange(size)
  weight = np.exp(-((index[:, None] - index) / sigma)**2 / 2)
  return weight / weight.sum(1, keepdims=True)
