"""LIME and KernelSHAP: a linear model of what superpixels do to the output.

Both switch random sets of an image's superpixels off (they become the mean
colour, 0 of the normalised image), ask the classifier, and fit a linear model
to its answers, by weighted least squares. A pixel's value is the coefficient
of its superpixel.

The sets are the same for all images, so the fit is one product with a matrix
that depends on no image.

    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    samples: number of sets.
    parts: about how many superpixels an image has.
    output: what y_c is: the "probability" of the class (a softmax), its
      "sigmoid" or its "logit".
    seed: of the sets.
    batch_size: most images in the network at once.
"""

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import superpixels
from atcon_tf.attribution import variations
from atcon_tf.config import UserError


def lime(pass_, class_index, samples=500, parts=49, kernel_width=0.25,
         ridge=1.0, output="probability", seed=0, batch_size=32):
  """LIME (Ribeiro et al., arXiv 1602.04938) of superpixels.

  `w = argmin sum_s k_s (y_c(s) - w_0 - w z_s)^2 + ridge |w|^2`, z_s in
  {0, 1}^K which of the K superpixels are on (each with probability 1/2),
  y_c(s) the output of that image, and `k_s = exp(-d^2 / kernel_width^2)`, d
  the cosine distance of z_s from 1. The authors' code has the same kernel,
  width and ridge. All coefficients are kept, not the largest alone.

  Args:
    pass_, class_index, samples, parts, output, seed, batch_size: see the top
      of this file.
    kernel_width, ridge: see above.
  Returns:
    `[B, H, W]`, of any sign.

  Example:
    >>> attribution.explain(classifier, images, "lime", samples=20,
    ...                     parts=9).shape
    TensorShape([2, 32, 32])
  """
  part, count = _parts(pass_, samples, parts)
  sets = np.random.default_rng(seed).integers(0, 2, [samples, count])
  sets[0] = 1  # the image itself
  distance = 1 - np.sqrt(sets.mean(1))  # of 0 and 1 the cosine is this
  weights = np.exp(-(distance / kernel_width)**2)
  centred = sets - weights @ sets / weights.sum()
  fit = np.linalg.solve(
      centred.T * weights @ centred + ridge * np.eye(count),
      centred.T * weights)
  answers = _answers(pass_, class_index, part, sets, output, batch_size)
  return _paint(part, answers @ tf.constant(fit.T, answers.dtype))


def kernel_shap(pass_, class_index, samples=500, parts=49,
                output="probability", seed=0, batch_size=32):
  """KernelSHAP (Lundberg and Lee, arXiv 1705.07874) of superpixels.

  The Shapley values of the K superpixels as players, by weighted least
  squares: sets of m players are drawn with probability proportional to
  `(K - 1) / (m (K - m))`, each with its complement. The values sum to
  `y_c(x) - y_c(0)`, 0 the image with all superpixels off.

  Args:
    pass_, class_index, samples, parts, output, seed, batch_size: see the top
      of this file.
  Returns:
    `[B, H, W]`, of any sign.

  Example:
    >>> attribution.explain(classifier, images, "kernel_shap", samples=20,
    ...                     parts=9).shape
    TensorShape([2, 32, 32])
  """
  part, count = _parts(pass_, samples, parts)
  if count < 2:
    raise UserError("parts", parts, "must give at least 2 superpixels")
  random = np.random.default_rng(seed)
  sizes = np.arange(1, count)
  chance = 1 / (sizes * (count - sizes))
  sets = []
  for size in random.choice(sizes, -(-samples // 2),
                            p=chance / chance.sum()):
    chosen = random.permutation(count) < size
    sets += [chosen, ~chosen]
  sets = np.array(sets[:samples], np.float64)
  # Least squares of y(s) - y(0) = z_s v, where the v sum to y(x) - y(0); the
  # small ridge is for fewer samples than players.
  inverse = np.linalg.inv(sets.T @ sets / samples + 1e-6 * np.eye(count))
  fit = inverse @ sets.T / samples
  even = inverse.sum(1) / inverse.sum()
  fit -= np.outer(even, fit.sum(0))
  ends = np.stack([np.zeros(count), np.ones(count)])
  answers = _answers(pass_, class_index, part,
                     np.concatenate([ends, sets]), output, batch_size)
  nothing, whole, answers = answers[:, :1], answers[:, 1:2], answers[:, 2:]
  values = (answers - nothing) @ tf.constant(fit.T, answers.dtype) + (
      (whole - nothing) * tf.constant(even, answers.dtype))
  return _paint(part, values)


def _parts(pass_, samples, parts):
  """The superpixels `[B, H, W]`, and how many numbers they have."""
  for name, value in (("samples", samples), ("parts", parts)):
    if value < 1:
      raise UserError(name, value, "must be at least 1")
  x = pass_.normalized
  count = int(np.prod(superpixels.grid(x.shape[1:3], parts)))
  return superpixels.slic(x, parts), count


def _answers(pass_, class_index, part, sets, output, batch_size):
  """y_c of each image with each set of superpixels on, `[B, S]`."""
  x = pass_.normalized
  table = tf.constant(sets, x.dtype)

  def score(image, sample):
    on = tf.gather(tf.gather(table, sample), tf.reshape(
        tf.gather(part, image), [-1, np.prod(x.shape[1:3])]), batch_dims=1)
    mask = tf.reshape(on, [-1, *x.shape[1:3], 1])
    return forward_pass.score(pass_.classifier, tf.gather(x, image) * mask,
                              tf.gather(class_index, image), output)

  return variations.scores(score, pass_.logits, len(sets), batch_size)


def _paint(part, values):
  """Values `[B, K]` of superpixels on their pixels, `[B, H, W]`."""
  flat = tf.reshape(part, [-1, part.shape[1] * part.shape[2]])
  return tf.reshape(tf.gather(values, flat, batch_dims=1),
                    [-1, *part.shape[1:]])
