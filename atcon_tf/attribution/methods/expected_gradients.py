"""Expected gradients: integrated gradients over many baselines at once."""

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import deep_lift
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution import variations
from atcon_tf.config import UserError


def expected_gradients(pass_, class_index, baselines=None, samples=50,
                       positions=None, output="logit", seed=0,
                       batch_size=None):
  """Expected gradients (Erion et al., arXiv 1906.10670; "gradient SHAP").

  `E_x',a [(x - x') dy_c/dx (x' + a (x - x'))]`, x' a baseline of the data and
  a uniform in [0, 1]: the mean over n samples, of which sample s has baseline
  `s mod N`. It approximates SHAP values; over many samples it sums to the
  logit less the baselines' mean logit.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    baselines: `[N, H, W, 3]` in [0, 1], a sample of the data, as raw as the
      images that are explained; None: five grey images, from black to white.
    samples: n.
    positions: a of each sample, `[samples]`; None: they are drawn.
    output: what y_c is, the "logit", the softmax "probability" or the
      "sigmoid".
    seed: of the positions, which are the same for all images.
    batch_size: most images in the network at once; None: all `B * samples`.
  Returns:
    `[B, H, W]`, the signed sum over the colours, differentiable.
  Raises:
    UserError: baselines of another shape, or no sample.

  Example:
    >>> attribution.explain(classifier, images, "expected_gradients",
    ...                     baselines=images, samples=8).shape
    TensorShape([2, 32, 32])
  """
  if samples < 1:
    raise UserError("samples", samples, "must be at least 1")
  x, starts = pass_.normalized, deep_lift.background(pass_, baselines)
  if positions is None:
    positions = tf.random.stateless_uniform(
        [samples], tf.broadcast_to(seed, [2]), alg=variations.RANDOM)
  positions = tf.cast(positions, x.dtype)

  def part(image, sample):
    start = tf.gather(starts, sample % tf.shape(starts)[0])
    there = tf.gather(x, image)
    a = integrated_gradients.column(tf.gather(positions, sample), there)
    point = forward_pass.forward_normalized(
        pass_.classifier, start + a * (there - start))
    slope = point.gradient(tf.gather(class_index, image), point.normalized,
                           output)
    return [tf.reduce_sum((there - start) * slope, -1) / samples]

  like = tf.cast(x[..., 0], pass_.logits.dtype)
  return variations.total(part, [like], samples, batch_size)[0]
