"""Averages over noisy images: `smooth_grad` and `var_grad`."""

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import gradient
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution import variations
from atcon_tf.config import UserError

# Functions `fn(pass_, class_index) -> [B, H, W, 3]`, signed, that `of` names.
ATTRIBUTIONS = {
    "gradient": gradient.gradient_attributions,
    "input_x_gradient": gradient.input_x_gradient_attributions,
    "guided_backprop": gradient.guided_backprop_attributions,
    "integrated_gradients": integrated_gradients.ig_attributions,
}


def smooth_grad(pass_, class_index, squared=False, **options):
  """SmoothGrad (Smilkov et al., arXiv 1706.03825) of a gradient method.

  `sum_channels |1/n sum_s M_c(x + sigma (max x - min x) z_s)|`, M the
  method's signed attributions, z standard normal for every pixel and
  channel, max and min over the image.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    squared: the mean of M^2 instead of M (SmoothGrad squared, Hooker et al.,
      arXiv 1806.10758).
    **options: of `moments`.
  Returns:
    `[B, H, W]`, not negative, differentiable.

  Example:
    >>> attribution.explain(classifier, images, "smooth_grad",
    ...                     of="guided_backprop", samples=5).shape
    TensorShape([2, 32, 32])
  """
  first, second = moments(pass_, class_index, **options)
  return gradient.magnitude(second if squared else first)


def square_grad(pass_, class_index, **options):
  """SmoothGrad squared (Hooker et al., arXiv 1806.10758).

  `sum_channels 1/n sum_s M_s^2`, M_s as in `smooth_grad`.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    **options: of `moments`.
  Returns:
    `[B, H, W]`, not negative, differentiable.

  Example:
    >>> attribution.explain(classifier, images, "square_grad",
    ...                     samples=5).shape
    TensorShape([2, 32, 32])
  """
  return smooth_grad(pass_, class_index, squared=True, **options)


def var_grad(pass_, class_index, **options):
  """VarGrad (Adebayo et al., arXiv 1810.03292): the spread under noise.

  `sum_channels (mean_s M_s^2 - (mean_s M_s)^2)`, M_s as in `smooth_grad`.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    **options: of `moments`.
  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "var_grad", samples=5).shape
    TensorShape([2, 32, 32])
  """
  first, second = moments(pass_, class_index, **options)
  return tf.reduce_sum(tf.nn.relu(second - first * first), -1)


def moments(pass_, class_index, of="gradient", samples=25, sigma=0.15,
            noise=None, first_sample_class=False, seed=0, batch_size=None):
  """Means, over noisy images, of attributions and of their squares.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    of: the method, a key of `ATTRIBUTIONS`.
    samples: n, the number of noisy images for each image.
    sigma: standard deviation of the noise as a share of the image's range.
    noise: z; None: it is drawn. `[B, samples]` (one number for a whole noisy
      image) or `[B, samples, H, W, 3]`.
    first_sample_class: explain the highest logit of the first noisy image
      instead of `class_index`, as ATCON's published code does.
    seed: int, or int `[2]`, of the noise. All images of a batch get the same
      noise, so that a map does not depend on its batch; give another seed at
      each training step.
    batch_size: most images in the network at once; None: all `B * samples`.
  Returns:
    `[mean of M, mean of M^2]`, both `[B, H, W, 3]`.
  Raises:
    UserError: an unknown method, or no sample.
  """
  forward_pass.check("of", of, ATTRIBUTIONS)
  if samples < 1:
    raise UserError("samples", samples, "must be at least 1")
  x = pass_.normalized
  axes = list(range(1, len(x.shape)))
  span = (tf.reduce_max(x, axes, keepdims=True)
          - tf.reduce_min(x, axes, keepdims=True))
  if noise is None:
    z = tf.random.stateless_normal(
        [1, samples, *x.shape[1:]], tf.broadcast_to(seed, [2]),
        alg=variations.RANDOM)
  else:
    z = tf.convert_to_tensor(noise)
    if len(z.shape) == 2:
      z = z[(..., *[tf.newaxis] * len(axes))]
  z = tf.cast(z, x.dtype)

  def noisy(image, sample):
    own = tf.minimum(image, z.shape[0] - 1) if z.shape[0] else image
    shift = tf.gather_nd(z, tf.stack([own, sample], 1))
    return forward_pass.forward_normalized(
        pass_.classifier,
        tf.gather(x, image) + sigma * tf.gather(span, image) * shift)

  if first_sample_class:
    image = tf.range(tf.shape(x)[0])
    class_index = tf.argmax(noisy(image, 0 * image).logits, -1)

  def part(image, sample):
    value = ATTRIBUTIONS[of](
        noisy(image, sample), tf.gather(class_index, image))
    value = tf.cast(value, like.dtype)
    return [value / samples, value * value / samples]

  # Squares and sums are made in the precision of the logits.
  like = tf.cast(x, pass_.logits.dtype)
  return variations.total(part, [like, like], samples, batch_size)
