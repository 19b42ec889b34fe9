"""Blur integrated gradients: the path from a blurred image to the image."""

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import gradient
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution import variations
from atcon_tf.config import UserError


def blur_integrated_gradients(pass_, class_index, **options):
  """Blur integrated gradients (Xu et al., CVPR 2020, arXiv 2004.03383).

  Integrated gradients along the path of images that are blurred less and
  less: `int dy_c/dx (x_s) dx_s`, x_s the image blurred by a Gaussian of
  sigma `s`, from the largest sigma to 0. It needs no baseline of another
  colour. The map is the sum of absolute values over the colours. The frames
  of a clip are blurred one by one.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    **options: of `blur_attributions`.
  Returns:
    `[B, H, W]`, not negative, differentiable.

  Example:
    >>> attribution.explain(classifier, images, "blur_integrated_gradients",
    ...                     steps=8).shape
    TensorShape([2, 32, 32])
  """
  return gradient.magnitude(blur_attributions(pass_, class_index, **options))


def blur_attributions(pass_, class_index, steps=32, sigma=0.0,
                      output="logit", batch_size=None):
  """The integral over each colour of each pixel, signed.

  It is the sum, over intervals of the path, of the image's change times the
  mean of the gradients at both ends. It sums to about `y_c(x) - y_c(x_sigma)`,
  the better the more steps.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    steps: number of intervals, equal in sigma.
    sigma: the largest, in pixels; 0: a quarter of the image's side.
    output: what y_c is, the "logit", the softmax "probability" or the
      "sigmoid".
    batch_size: most images in the network at once; None: all
      `B * (steps + 1)`.
  Returns:
    `[B, H, W, 3]`, differentiable.
  Raises:
    UserError: no step, or a negative sigma.
  """
  if steps < 1:
    raise UserError("steps", steps, "must be at least 1")
  if sigma < 0:
    raise UserError("sigma", sigma, "must not be negative")
  x = pass_.normalized
  sigmas = np.linspace(sigma or min(x.shape[-3:-1]) / 4, 0, steps + 1)
  blurs = [tf.constant(np.stack([
      integrated_gradients.blur_matrix(n, s) for s in sigmas]), x.dtype)
           for n in x.shape[-3:-1]]

  def blurred(image, sample):
    rows, columns = (tf.gather(blur, sample) for blur in blurs)
    return tf.einsum("nyh,n...hwc,nxw->n...yxc", rows, image, columns)

  def part(image, sample):
    own = tf.gather(x, image)
    here = blurred(own, sample)
    # Half of the way from the point before and half of that to the next.
    change = (blurred(own, tf.minimum(sample + 1, steps))
              - blurred(own, tf.maximum(sample - 1, 0))) / 2
    point = forward_pass.forward_normalized(pass_.classifier, here)
    slope = point.gradient(tf.gather(class_index, image), point.normalized,
                           output)
    return [change * slope]

  like = tf.cast(x, pass_.logits.dtype)
  return variations.total(part, [like], steps + 1, batch_size)[0]
