"""Maps from what the classifier says about changed images.

No gradient is needed. Each method is `fn(pass_, class_index, ...,
batch_size)`; it looks at many versions of each image, `batch_size` at once.
Masks multiply the normalised image: 0 there is the mean colour (grey for most
networks), not black. y_c is the class's "probability" (softmax) unless
`output` says "logit" or "sigmoid".
"""

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.attribution import variations
from atcon_tf.config import UserError
from atcon_tf.models import geometry


def _masked_score(pass_, class_index, image, mask, output):
  """y_c of images `[n]` under masks `[n, H, W]`."""
  return forward_pass.score(
      pass_.classifier, tf.gather(pass_.normalized, image) * mask[
          ..., tf.newaxis], tf.gather(class_index, image), output)


def _at_least_one(**options):
  for name, value in options.items():
    if value < 1:
      raise UserError(name, value, "must be at least 1")


def score_cam(pass_, class_index, layer=-1, channels=0, weighting="softmax",
              output="probability", alignment=None, batch_size=32):
  """Score-CAM (Wang et al., arXiv 1910.01279), before its ReLU.

  `C = sum_k w_k A_k`, `w = softmax_k(y_c(x * H_k) - y_c(0))`, H_k the feature
  map A_k enlarged to the image and scaled to [0, 1].

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    layer: which of the classifier's cam_layers.
    channels: only the so many channels of the largest standard deviation in
      each image (Faster Score-CAM); 0: all.
    weighting: "softmax", or "score": `w_k = y_c(x * H_k)`, as in the
      authors' code and tf-keras-vis.
    output: see the module.
    alignment: of the enlarged maps, see `geometry.resize`; None: where their
      cells are on the image.
    batch_size: images at once.
  Returns:
    `[B, h, w]`.

  Example:
    >>> attribution.explain(classifier, images, "score_cam", channels=8).shape
    TensorShape([2, 4, 4])
  """
  forward_pass.check("weighting", weighting, ("softmax", "score"))
  features = pass_.features[layer]
  a = tf.transpose(features, [0, 3, 1, 2])
  if channels:
    kept = tf.math.top_k(tf.math.reduce_std(a, [2, 3]),
                         min(channels, a.shape[1])).indices
    a = tf.gather(a, kept, batch_dims=1)
  size = pass_.normalized.shape[1:3]
  alignment = (alignment or pass_.classifier.geometry[layer]
               or geometry.HALF_PIXEL)

  def score(image, sample):
    one = tf.gather_nd(a, tf.stack([image, sample], 1))
    return _masked_score(
        pass_, class_index, image,
        maps.min_max(geometry.resize(one, size, alignment)), output)

  weights = variations.scores(score, pass_.logits, a.shape[1], batch_size)
  if weighting == "softmax":
    # y_c of the empty image is the same for every k: a softmax drops it.
    weights = tf.nn.softmax(weights)
  return tf.einsum("bk,bkhw->bhw", tf.cast(weights, a.dtype), a)


def ablation_cam(pass_, class_index, layer=-1, output="logit", batch_size=32):
  """Ablation-CAM (Desai and Ramaswamy, WACV 2020), before its ReLU.

  `C = sum_k w_k A_k`, `w_k = (y_c - y_c^(k)) / y_c`, y_c^(k) the logit when
  channel k is 0. Only the head is run. The divisor is `|y_c|` here: a
  negative logit would turn the map over.

  Returns:
    `[B, h, w]`.
  Raises:
    UserError: the logits depend on more than this layer.

  Example:
    >>> attribution.explain(classifier, images, "ablation_cam").shape
    TensorShape([2, 4, 4])
  """
  features = pass_.features[layer]
  head = pass_.classifier.head_of(layer)
  count = features.shape[-1]

  def score(image, sample):
    kept = 1 - tf.one_hot(sample, count, dtype=features.dtype)
    logits = head(tf.gather(features, image) * kept[:, None, None],
                  training=False)
    return forward_pass.pick(logits, tf.gather(class_index, image), output)

  without = variations.scores(score, pass_.logits, count, batch_size)
  whole = forward_pass.pick(pass_.logits, class_index, output)[:, tf.newaxis]
  weights = tf.math.divide_no_nan(whole - without, tf.abs(whole))
  return tf.einsum("bk,bhwk->bhw", tf.cast(weights, features.dtype), features)


def rise(pass_, class_index, masks=500, cells=8, share=0.5,
         output="probability", seed=0, batch_size=32):
  """RISE (Petsiuk et al., arXiv 1806.07421).

  `S = 1 / (N p) sum_n y_c(x * M_n) M_n`, M_n random masks: a grid of cells,
  each kept with probability p, enlarged bilinearly and shifted at random.

  Args:
    masks: N. The paper takes 4000 to 8000.
    cells: of a mask along each side.
    share: p, in (0, 1).
    seed: of the masks, the same for all images.
  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "rise", masks=20).shape
    TensorShape([2, 32, 32])
  """
  _at_least_one(masks=masks, cells=cells)
  if not 0 < share < 1:
    raise UserError("share", share, "must be between 0 and 1")
  size, dtype = pass_.normalized.shape[1:3], tf.float32
  grids = tf.cast(tf.random.stateless_uniform(
      [masks, cells + 2, cells + 2], [seed, 0], alg=variations.RANDOM) < share,
                  dtype)
  shifts = tf.random.stateless_uniform([masks, 2], [seed, 1], dtype=dtype,
                                       alg=variations.RANDOM)

  def axis(length, shift):
    """Interpolation matrices `[n, length, cells + 2]`."""
    position = tf.range(length, dtype=dtype) * (cells / length)
    position = position + shift[:, tf.newaxis]
    distance = position[..., tf.newaxis] - tf.range(cells + 2, dtype=dtype)
    return tf.nn.relu(1 - tf.abs(distance))

  def part(image, sample):
    shift = tf.gather(shifts, sample)
    mask = tf.einsum(
        "nyh,nhw,nxw->nyx", axis(size[0], shift[:, 0]),
        tf.gather(grids, sample), axis(size[1], shift[:, 1]))
    mask = tf.cast(mask, pass_.normalized.dtype)
    value = _masked_score(pass_, class_index, image, mask, output)
    return [tf.cast(value, like.dtype)[:, None, None] * tf.cast(
        mask, like.dtype)]

  like = tf.cast(pass_.normalized[..., 0], pass_.logits.dtype)
  return variations.total(part, [like], masks, batch_size)[0] / (masks * share)


def occlusion(pass_, class_index, window=0, stride=0, output="probability",
              batch_size=32):
  """Occlusion (Zeiler and Fergus, arXiv 1311.2901).

  A square of the mean colour slides over the image; a pixel's value is the
  mean drop of y_c over the squares that cover it.

  Args:
    window: side of the square in pixels; 0: a fifth of the image's.
    stride: its steps in pixels; 0: half of the window.
  Returns:
    `[B, H, W]`, of any sign.

  Example:
    >>> attribution.explain(classifier, images, "occlusion", window=8).shape
    TensorShape([2, 32, 32])
  """
  height, width = pass_.normalized.shape[1:3]
  window, stride = _sliding(height, width, window, stride)
  _at_least_one(window=window, stride=stride)
  if window > min(height, width):
    raise UserError("window", window,
                    f"the image is only {height}x{width} pixels")
  rows, columns = (_covered(n, window, stride) for n in (height, width))
  dtype = pass_.logits.dtype
  whole = forward_pass.pick(pass_.logits, class_index, output)

  def part(image, sample):
    square = (tf.gather(tf.constant(rows, dtype),
                        sample // len(columns))[:, :, None]
              * tf.gather(tf.constant(columns, dtype),
                          sample % len(columns))[:, None])
    value = _masked_score(
        pass_, class_index, image,
        tf.cast(1 - square, pass_.normalized.dtype), output)
    return [(tf.gather(whole, image) - value)[:, None, None] * square]

  like = tf.cast(pass_.normalized[..., 0], dtype)
  drops, = variations.total(part, [like], len(rows) * len(columns), batch_size)
  count = rows.sum(0)[:, None] * columns.sum(0)
  return drops / tf.constant(count, dtype)


def _sliding(height, width, window, stride):
  window = window or max(1, min(height, width) // 5)
  return window, stride or max(1, window // 2)


def windows(size, window=0, stride=0):
  """How many squares `occlusion` looks at in an image of (height, width)."""
  window, stride = _sliding(*size, window, stride)
  return int(np.prod([len(_covered(n, window, stride)) for n in size]))


def _covered(length, window, stride):
  """`[positions, length]`, 1 where a window covers a pixel; the last window
  ends at the edge."""
  starts = np.unique(np.minimum(
      np.arange(0, length - window + stride, stride), length - window))
  index = np.arange(length)
  return ((index >= starts[:, None]) & (
      index < starts[:, None] + window)).astype(np.float64)
