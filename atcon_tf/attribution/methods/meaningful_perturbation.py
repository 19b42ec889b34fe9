"""Meaningful perturbation: the smallest deletion that hides the class."""

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution import variations
from atcon_tf.models import geometry

FILLS = ("blur", "constant", "noise")


def meaningful_perturbation(pass_, class_index, fill="blur", steps=150,
                            cells=28, learning_rate=0.1, area=0.01,
                            smoothness=0.2, power=3.0, output="probability",
                            seed=0, batch_size=32):
  """Meaningful perturbation (Fong and Vedaldi, arXiv 1704.03296).

  A mask m in [0, 1] of `cells x cells` is fitted to each image, of a clip one
  with up to as many cells in time:

      min_m  area * mean |1 - m| + smoothness * TV(m) + y_c(x m + x' (1 - m))

  with `TV(m)` the mean of `|difference of neighbours| ^ power` over all
  axes and x' the image that replaces the deleted pixels. Adam minimises it
  from m = 1. The map is `1 - m`, enlarged: it is high where pixels are deleted.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    fill: x' is a "blur" of the image (sigma an eighth of its side), a
      "constant" (0 in normalised space) or "noise" (uniform in [0, 1]).
    steps: of Adam.
    cells: of the mask along each side.
    learning_rate: of Adam.
    area: weight of the deleted area.
    smoothness: weight of TV.
    power: of the differences in TV.
    output: what y_c is, a key of `forward_pass.OUTPUTS`.
    seed: of the noise.
    batch_size: most images in the network at once.
  Returns:
    `[B, H, W]` in [0, 1].

  Example:
    >>> attribution.explain(classifier, images, "meaningful_perturbation",
    ...                     fill="noise", steps=5).shape
    TensorShape([2, 32, 32])
  """
  forward_pass.check("fill", fill, FILLS)
  x = pass_.normalized
  other = integrated_gradients.baseline_images(
      pass_, {"blur": "blur", "constant": "zero", "noise": "random"}[fill],
      seed)
  size, dtype = x.shape[1:-1], pass_.logits.dtype
  grid = [*(min(cells, n) for n in size[:-2]), cells, cells]
  axes = list(range(1, len(size) + 1))

  def slope(m, image):
    """d loss / d m of each image's mask `[n, *grid]`."""
    with tf.GradientTape() as tape:
      tape.watch(m)
      large = tf.cast(geometry.resize(m, size)[..., tf.newaxis], x.dtype)
      mixed = (tf.gather(x, image) * large
               + tf.gather(other, image) * (1 - large))
      value = forward_pass.score(pass_.classifier, mixed,
                                 tf.gather(class_index, image), output)
      rough = sum(tf.reduce_mean(_power(_steps(m, axis), power), axes)
                  for axis in axes if m.shape[axis] > 1)
      loss = (value + area * tf.reduce_mean(1 - m, axes)
              + smoothness * rough)
    return tape.gradient(loss, m)

  def fit(image, sample):
    del sample
    m = tf.ones([tf.shape(image)[0], *grid], dtype)

    def step(i, m, mean, square):
      g = slope(m, image)
      mean, square = .9 * mean + .1 * g, .999 * square + .001 * g * g
      t = tf.cast(i + 1, dtype)
      move = (mean / (1 - .9**t)) / (
          tf.sqrt(square / (1 - .999**t)) + 1e-8)
      return (i + 1, tf.clip_by_value(m - learning_rate * move, 0, 1), mean,
              square)

    zero = tf.zeros_like(m)
    _, m, _, _ = tf.while_loop(
        lambda i, *_: i < steps, step, (0, m, zero, zero),
        maximum_iterations=steps)
    return [1 - geometry.resize(m, size)]

  like = tf.cast(x[..., 0], dtype)
  return variations.total(fit, [like], 1, batch_size)[0]


def _steps(m, axis):
  """The differences of neighbours along an axis."""
  before = (slice(None),) * axis
  return m[(*before, slice(1, None))] - m[(*before, slice(None, -1))]


def _power(difference, power):
  """`|d|^power`, with the derivative 0 at d = 0."""
  zero = difference == 0
  size = tf.abs(tf.where(zero, tf.ones_like(difference), difference))
  return tf.where(zero, tf.zeros_like(size), size**power)
