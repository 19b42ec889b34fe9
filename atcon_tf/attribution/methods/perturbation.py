"""Maps from the classifier's output for changed images, without gradients.

Each method runs many versions of each image through the network.

    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    output: what y_c is: the "probability" of the class (a softmax), its
      "sigmoid" or its "logit".
    batch_size: most images in the network at once.

Masks multiply the normalised image, in which 0 is the mean colour (grey for
most networks), not black. The masks of a clip are of space and time.
"""

import functools

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution import variations
from atcon_tf.config import UserError
from atcon_tf.models import geometry


def masked_score(pass_, class_index, image, mask, output):
  """y_c of images `[n]` under masks `[n, (T,) H, W]`."""
  return forward_pass.score(
      pass_.classifier, tf.gather(pass_.normalized, image) * mask[
          ..., tf.newaxis], tf.gather(class_index, image), output)


def at_least_one(**options):
  """Refuses options below 1."""
  for name, value in options.items():
    if value < 1:
      raise UserError(name, value, "must be at least 1")


def score_cam(pass_, class_index, layer=-1, channels=0, weighting="softmax",
              output="probability", alignment=None, batch_size=32):
  """Score-CAM (Wang et al., arXiv 1910.01279), before its ReLU.

  `C = sum_k w_k A_k`, `w = softmax_k(y_c(x * H_k) - y_c(0))`, H_k the feature
  map A_k enlarged to the image and scaled to [0, 1].

  Args:
    pass_, class_index, output, batch_size: see the top of this file.
    layer: index of one of the classifier's cam_layers.
    channels: how many channels are used, those of the largest standard
      deviation in each image (Faster Score-CAM); 0: all.
    weighting: "softmax"; or "score", which is `w_k = y_c(x * H_k)`, as in the
      authors' code and tf-keras-vis.
    alignment: of H_k, see `geometry.resize`; None: the classifier's geometry.
  Returns:
    `[B, h, w]`.

  Example:
    >>> attribution.explain(classifier, images, "score_cam", channels=8).shape
    TensorShape([2, 4, 4])
  """
  forward_pass.check("weighting", weighting, ("softmax", "score"))
  features = pass_.features[layer]
  axes = range(1, len(features.shape) - 1)
  a = tf.transpose(features, [0, len(features.shape) - 1, *axes])
  if channels:
    kept = tf.math.top_k(tf.math.reduce_std(a, [n + 1 for n in axes]),
                         min(channels, a.shape[1])).indices
    a = tf.gather(a, kept, batch_dims=1)
  size = pass_.normalized.shape[1:-1]
  alignment = (alignment or pass_.classifier.geometry[layer]
               or geometry.HALF_PIXEL)

  def score(image, sample):
    one = tf.gather_nd(a, tf.stack([image, sample], 1))
    return masked_score(
        pass_, class_index, image,
        maps.min_max(geometry.resize(one, size, alignment)), output)

  weights = variations.scores(score, pass_.logits, a.shape[1], batch_size)
  if weighting == "softmax":
    # y_c(0) is the same for every k, so it does not change the softmax.
    weights = tf.nn.softmax(weights)
  return tf.einsum("bk,bk...->b...", tf.cast(weights, a.dtype), a)


def ablation_cam(pass_, class_index, layer=-1, output="logit", batch_size=32):
  """Ablation-CAM (Desai and Ramaswamy, WACV 2020), before its ReLU.

  `C = sum_k w_k A_k`, `w_k = (y_c - y_c^(k)) / |y_c|`, y_c^(k) the logit when
  channel k is 0. Only the head is run. The paper divides by y_c, with which a
  negative logit would reverse the sign of the map.

  Args:
    pass_, class_index, output, batch_size: see the top of this file.
    layer: index of one of the classifier's cam_layers.
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
    own = tf.gather(features, image)
    kept = tf.reshape(kept, [-1, *[1] * (len(own.shape) - 2), count])
    logits = head(own * kept, training=False)
    return forward_pass.pick(logits, tf.gather(class_index, image), output)

  without = variations.scores(score, pass_.logits, count, batch_size)
  whole = forward_pass.pick(pass_.logits, class_index, output)[:, tf.newaxis]
  weights = tf.math.divide_no_nan(whole - without, tf.abs(whole))
  return tf.einsum("bk,b...k->b...", tf.cast(weights, features.dtype),
                   features)


def rise(pass_, class_index, masks=500, cells=8, share=0.5,
         output="probability", seed=0, batch_size=32):
  """RISE (Petsiuk et al., arXiv 1806.07421).

  `S = 1 / (N p) sum_n y_c(x * M_n) M_n`. M_n is a random mask: a grid of
  cells, each of them 1 with probability p and otherwise 0, enlarged
  bilinearly and shifted at random.

  Args:
    pass_, class_index, output, batch_size: see the top of this file.
    masks: N. The paper takes 4000 to 8000.
    cells: number of cells of a mask along each side, and along time, where
      it has at most one a frame.
    share: p, in (0, 1).
    seed: of the masks, the same for all images.
  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "rise", masks=20).shape
    TensorShape([2, 32, 32])
  """
  at_least_one(masks=masks, cells=cells)
  if not 0 < share < 1:
    raise UserError("share", share, "must be between 0 and 1")
  size, dtype = pass_.normalized.shape[1:-1], tf.float32
  counts = [*(min(cells, n) for n in size[:-2]), cells, cells]
  grids = tf.cast(tf.random.stateless_uniform(
      [masks, *(n + 2 for n in counts)], [seed, 0],
      alg=variations.RANDOM) < share, dtype)
  shifts = tf.random.stateless_uniform([masks, len(size)], [seed, 1],
                                       dtype=dtype, alg=variations.RANDOM)

  def axis(length, count, shift):
    """Interpolation matrices `[n, length, count + 2]`."""
    position = tf.range(length, dtype=dtype) * (count / length)
    position = position + shift[:, tf.newaxis]
    distance = position[..., tf.newaxis] - tf.range(count + 2, dtype=dtype)
    return tf.nn.relu(1 - tf.abs(distance))

  def part(image, sample):
    *times, rows, columns = map(
        axis, size, counts, tf.unstack(tf.gather(shifts, sample), axis=1))
    mask = tf.gather(grids, sample)
    if times:
      mask = tf.einsum("nst,nthw->nshw", *times, mask)
    mask = tf.einsum("nyh,n...hw,nxw->n...yx", rows, mask, columns)
    mask = tf.cast(mask, pass_.normalized.dtype)
    value = masked_score(pass_, class_index, image, mask, output)
    value = integrated_gradients.column(value, mask)
    return [tf.cast(value, like.dtype) * tf.cast(mask, like.dtype)]

  like = tf.cast(pass_.normalized[..., 0], pass_.logits.dtype)
  return variations.total(part, [like], masks, batch_size)[0] / (masks * share)


def occlusion(pass_, class_index, window=0, stride=0, output="probability",
              batch_size=32, window_frames=0):
  """Occlusion (Zeiler and Fergus, arXiv 1311.2901).

  A square of the mean colour is moved over the image; in a clip it lasts some
  frames and is moved over time as well. The value of a pixel is the mean drop
  of y_c over the squares that cover it.

  Args:
    pass_, class_index, output, batch_size: see the top of this file.
    window: side of the square in pixels; 0: a fifth of the image's side.
    stride: distance of two squares in pixels; 0: half of the window.
    window_frames: frames that a square lasts; 0: a quarter of the clip. Two
      of them begin half of that apart.
  Returns:
    `[B, H, W]`, of any sign.

  Example:
    >>> attribution.explain(classifier, images, "occlusion", window=8).shape
    TensorShape([2, 32, 32])
  """
  size = pass_.normalized.shape[1:-1]
  window, stride = _sliding(size, window, stride)
  at_least_one(window=window, stride=stride)
  if window > min(size[-2:]):
    raise UserError("window", window, "the image is only "
                    f"{size[-2]}x{size[-1]} pixels")
  axes = _windows(size, window, stride, window_frames)
  steps = np.cumprod([1, *(len(axis) for axis in axes[:0:-1])])[::-1]
  dtype = pass_.logits.dtype
  whole = forward_pass.pick(pass_.logits, class_index, output)

  def part(image, sample):
    square = 1
    for i, (axis, step) in enumerate(zip(axes, steps)):
      one = tf.gather(tf.constant(axis, dtype),
                      sample // int(step) % len(axis))
      square *= tf.reshape(one, [-1, *(
          n if i == j else 1 for j, n in enumerate(size))])
    value = masked_score(
        pass_, class_index, image,
        tf.cast(1 - square, pass_.normalized.dtype), output)
    return [integrated_gradients.column(tf.gather(whole, image) - value,
                                        square) * square]

  like = tf.cast(pass_.normalized[..., 0], dtype)
  drops, = variations.total(part, [like], int(steps[0]) * len(axes[0]),
                            batch_size)
  count = functools.reduce(np.multiply.outer, [axis.sum(0) for axis in axes])
  return drops / tf.constant(count, dtype)


def _sliding(size, window, stride):
  """The window and the stride, with their defaults for this size."""
  window = window or max(1, min(size[-2:]) // 5)
  return window, stride or max(1, window // 2)


def _windows(size, window, stride, window_frames):
  """`_covered` of each axis of an image or a clip."""
  frames = [(n, min(n, window_frames or max(1, n // 4))) for n in size[:-2]]
  return [*(_covered(n, long, max(1, long // 2)) for n, long in frames),
          *(_covered(n, window, stride) for n in size[-2:])]


def windows(size, window=0, stride=0, window_frames=0):
  """How many squares `occlusion` has.

  Args:
    size: (height, width) of an image, or (frames, height, width) of a clip.
    window, stride, window_frames: of `occlusion`.
  """
  window, stride = _sliding(size, window, stride)
  return int(np.prod([len(axis) for axis in _windows(
      size, window, stride, window_frames)]))


def _covered(length, window, stride):
  """`[positions, length]`, 1 where a window covers a pixel.

  The last window ends at the edge.
  """
  starts = np.unique(np.minimum(
      np.arange(0, length - window + stride, stride), length - window))
  index = np.arange(length)
  return ((index >= starts[:, None]) & (
      index < starts[:, None] + window)).astype(np.float64)
