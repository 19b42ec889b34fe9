"""Class activation maps: weighted sums of feature maps.

Each method is `fn(pass_, class_index, layer=-1) -> [B, h, w]`. Its map is not
resized, not rectified, not normalised, and differentiable.

    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    layer: index of one of the classifier's cam_layers.

In the formulas A is the feature map of the layer, k its channels, (i, j) its
cells, y_c the logit of the class and `g = d y_c / d A`, a gradient through
the layers above A only.

The map of a clip is `[B, t, h, w]`, and a method with weights has the option
`temporal_weights`. "per_step": sums and means over the cells are those of one
time step, and a channel has a weight for each step, as in ATCON's code.
"pooled": they are over time, too. None: as the classifier says. At the last
map of a network that ends in a mean over all cells the gradient is the same
in each of them, and so are the two.
"""

import math

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.config import UserError
from atcon_tf.models import feature_norm

TEMPORAL_WEIGHTS = ("per_step", "pooled")


def cells(features, temporal_weights="pooled"):
  """The axes of a map `[B, (t,) h, w, K]` over which a weight is a mean.

  Args:
    features: the map.
    temporal_weights: one of `TEMPORAL_WEIGHTS`, see the top of this file.
  Raises:
    UserError: it is neither.
  """
  forward_pass.check("temporal_weights", temporal_weights, TEMPORAL_WEIGHTS)
  last = len(features.shape) - 1
  return [last - 2, last - 1] if temporal_weights == "per_step" else (
      list(range(1, last)))


def _cells(pass_, layer, temporal_weights):
  """`cells`, by default as the classifier says."""
  return cells(pass_.features[layer],
               temporal_weights or pass_.classifier.temporal_weights)


def _parts(pass_, class_index, layer):
  """The feature map A and the gradient g, both `[B, (t,) h, w, K]`."""
  features = pass_.features[layer]
  head = _pooled_head(pass_, layer)
  if head:
    g = head.weights(features, _one_hot(pass_, class_index))
    return features, tf.broadcast_to(g[:, tf.newaxis, tf.newaxis],
                                     tf.shape(features))
  with feature_norm.constant_length():
    return features, pass_.gradient(class_index, features)


def _mean_gradient(pass_, class_weights, layer, temporal_weights):
  """`mean_ij d (sum_c w_c y_c) / d A_ijk`, `[B, 1, 1, K]`."""
  features = pass_.features[layer]
  head = _pooled_head(pass_, layer)
  if head:
    weights = head.weights(features, class_weights)
    return weights[:, tf.newaxis, tf.newaxis]
  with feature_norm.constant_length():
    g = pass_.gradient_of(class_weights, features)
  axes = _cells(pass_, layer, temporal_weights)
  return tf.reduce_mean(g, axes, keepdims=True)


def _pooled_head(pass_, layer):
  """The classifier's `PooledHead` if it is on this layer."""
  last = layer in (-1, len(pass_.features) - 1)
  return pass_.classifier.pooled_head if last else None


def _one_hot(pass_, class_index):
  """The weights `[B, classes]` of one class for each image."""
  return tf.one_hot(class_index, pass_.logits.shape[-1],
                    dtype=pass_.logits.dtype)


def _weighted(weights, features):
  """`sum_k w_k A_k`."""
  return tf.reduce_sum(weights * features, -1)


def _divide(a, b):
  """`a / b`, 0 where b is 0, with finite derivatives."""
  return tf.where(b != 0, a / tf.where(b != 0, b, tf.ones_like(b)), 0)


def cam(pass_, class_index, layer=-1):
  """CAM (Zhou et al., arXiv 1512.04150): `sum_k w_kc A_k`.

  It is defined for a head of global average pooling and one dense layer with
  the weights w. Then `w_kc = sum_ij g_ijk`, which is computed here.
  `METHODS["cam"]` refuses any other head.

  Returns:
    `[B, h, w]`, of any sign; its mean is the logit without the bias.

  Example:
    >>> attribution.explain(classifier, images, "cam").shape
    TensorShape([2, 4, 4])
  """
  features, g = _parts(pass_, class_index, layer)
  return _weighted(tf.reduce_sum(g, cells(g), keepdims=True), features)


def grad_cam(pass_, class_index, layer=-1, temporal_weights=None):
  """Grad-CAM (Selvaraju et al., arXiv 1610.02391), before its ReLU.

  `C_ij = sum_k alpha_k A_ijk`, `alpha_k = mean_ij g_ijk`.

  Returns:
    `[B, h, w]`, of any sign; a positive cell raises the logit of the class.

  Example:
    >>> pass_ = forward_pass.forward(classifier, images)
    >>> cam.grad_cam(pass_, tf.argmax(pass_.logits, -1)).shape
    TensorShape([2, 4, 4])
  """
  return _weighted(
      _mean_gradient(pass_, _one_hot(pass_, class_index), layer,
                     temporal_weights), pass_.features[layer])


def grad_cams(pass_, class_index, layer=-1):
  """Grad-CAM of several classes of each image.

  With a `PooledHead` it is one product for all of them.

  Args:
    pass_, layer: see the top of this file.
    class_index: int `[B, K]`.
  Returns:
    `[B, K, h, w]`, or `[B, K, t, h, w]` of clips.

  Example:
    >>> pass_ = forward_pass.forward(classifier, images)
    >>> cam.grad_cams(pass_, tf.constant([[0, 1, 2], [0, 1, 2]])).shape
    TensorShape([2, 3, 4, 4])
  """
  features, head = pass_.features[layer], _pooled_head(pass_, layer)
  if not head:
    return tf.stack([grad_cam(pass_, column, layer) for column in tf.unstack(
        class_index, axis=1)], 1)
  weights = head.weights(features, _one_hot(pass_, class_index))
  return tf.einsum("bhwk,bnk->bnhw", features, weights)


def grad_cam_plus_plus(pass_, class_index, layer=-1, normalize_alpha=False,
                       temporal_weights=None):
  """Grad-CAM++ (Chattopadhay et al., arXiv 1710.11063), before its ReLU.

  `C = sum_k w_k A_k`, `w_k = sum_ij a_ijk relu(g_ijk)`,
  `a_ijk = g_ijk^2 / (2 g_ijk^2 + g_ijk^3 sum_ab A_abk)`. The exponential of
  the score in the paper is one positive factor for each image, left out here.

  Args:
    pass_, class_index, layer, temporal_weights: see the top of this file.
    normalize_alpha: divide a by its sum over the cells. The authors' code and
      tf-keras-vis do so, the paper does not.
  Returns:
    `[B, h, w]`.

  Example:
    >>> attribution.explain(classifier, images, "grad_cam_plus_plus",
    ...                     normalize_alpha=True).shape
    TensorShape([2, 4, 4])
  """
  features, g = _parts(pass_, class_index, layer)
  axes = _cells(pass_, layer, temporal_weights)
  # The common factor g^2 underflows, so numerator and denominator lack it.
  total = tf.reduce_sum(features, axes, keepdims=True)
  alpha = _divide(tf.cast(g != 0, g.dtype), 2 + g * total)
  if normalize_alpha:
    alpha = _divide(alpha, tf.reduce_sum(alpha, axes, keepdims=True))
  weights = tf.reduce_sum(alpha * tf.nn.relu(g), axes, keepdims=True)
  return _weighted(weights, features)


def xgrad_cam(pass_, class_index, layer=-1, temporal_weights=None):
  """XGrad-CAM (Fu et al., arXiv 2008.02312), before its ReLU.

  `C = sum_k w_k A_k`, `w_k = sum_ij g_ijk A_ijk / sum_ij A_ijk`.

  Returns:
    `[B, h, w]`.

  Example:
    >>> attribution.explain(classifier, images, "xgrad_cam").shape
    TensorShape([2, 4, 4])
  """
  features, g = _parts(pass_, class_index, layer)
  axes = _cells(pass_, layer, temporal_weights)
  weights = _divide(tf.reduce_sum(g * features, axes, keepdims=True),
                    tf.reduce_sum(features, axes, keepdims=True))
  return _weighted(weights, features)


def hires_cam(pass_, class_index, layer=-1):
  """HiResCAM (Draelos and Carin, arXiv 2011.08891): `sum_k g_k A_k`.

  The gradient is not averaged over the cells. For a head of one dense layer
  on the flattened map, the sum over the cells is the logit without the bias.

  Returns:
    `[B, h, w]`, of any sign.

  Example:
    >>> attribution.explain(classifier, images, "hires_cam").shape
    TensorShape([2, 4, 4])
  """
  features, g = _parts(pass_, class_index, layer)
  return _weighted(g, features)


def layer_cam(pass_, class_index, layer=-1):
  """LayerCAM (Jiang et al., TIP 2021): `sum_k relu(g_k) A_k`.

  It is meant for early layers, for which one weight for a whole channel is
  too coarse.

  Returns:
    `[B, h, w]`.

  Example:
    >>> early = classifier.with_cam_layers(["relu2", "relu4"])
    >>> attribution.explain(early, images, "layer_cam").shape
    TensorShape([2, 16, 16])
  """
  features, g = _parts(pass_, class_index, layer)
  return _weighted(tf.nn.relu(g), features)


def finer_cam(pass_, class_index, layer=-1, alpha=1.0, references=3,
              temporal_weights=None):
  """Finer-CAM (Zhang et al., arXiv 2501.11309), before its ReLU.

  Grad-CAM of the difference `sum_d p_d (y_c - alpha y_d) / sum_d p_d` to the
  classes d that are most similar to c, those with the nearest logits. p_d is
  their softmax, here a constant. It shows what tells c from them, and leaves
  out what they share.

  Args:
    pass_, class_index, layer, temporal_weights: see the top of this file.
    alpha: strength of the comparison; with 0 it is Grad-CAM.
    references: number of classes d; fewer if there are fewer.
  Returns:
    `[B, h, w]`.
  Raises:
    UserError: there is one class only, or no reference.

  Example:
    >>> attribution.explain(classifier, images, "finer_cam",
    ...                     references=1).shape
    TensorShape([2, 4, 4])
  """
  if references < 1:
    raise UserError("references", references, "must be at least 1")
  logits = pass_.logits
  classes = logits.shape[-1]
  if classes < 2:
    raise UserError("finer_cam: one class only; there is none to compare with")
  own = tf.one_hot(class_index, classes, dtype=logits.dtype)
  distance = tf.abs(logits - tf.gather(
      logits, class_index, batch_dims=1)[:, tf.newaxis])
  far = tf.constant(logits.dtype.max, logits.dtype)
  nearest = tf.math.top_k(-tf.where(own > 0, far, distance),
                          min(references, classes - 1)).indices
  chosen = tf.reduce_sum(tf.one_hot(nearest, classes, dtype=logits.dtype), 1)
  # A softmax over the chosen alone: their ratio is that of the p_d.
  share = tf.nn.softmax(tf.where(chosen > 0, logits, -far))
  weights = _mean_gradient(pass_, tf.stop_gradient(own - alpha * share), layer,
                           temporal_weights)
  return _weighted(weights, pass_.features[layer])


def eigen_cam(pass_, class_index, layer=-1):
  """Eigen-CAM (Muhammad and Yeasin, arXiv 2008.00299): `A v_1`.

  v_1 is the first right singular vector of A as a matrix of cells x channels
  (not centred). It does not depend on the class. Its sign is chosen so that
  the sum of the map is not negative. The map is computed as `S_1 u_1` from
  the cells x cells matrix `A A^T = U S^2 U^T`.

  Returns:
    `[B, h, w]`, the same for every class.

  Example:
    >>> attribution.explain(classifier, images, "eigen_cam").shape
    TensorShape([2, 4, 4])
  """
  del class_index
  features = pass_.features[layer]
  *size, channels = features.shape[1:]
  # TensorFlow has no eigenvectors in half precision.
  dtype = tf.float64 if features.dtype == tf.float64 else tf.float32
  a = tf.reshape(tf.cast(features, dtype), [-1, math.prod(size), channels])
  values, vectors = tf.linalg.eigh(tf.matmul(a, a, transpose_b=True))
  first = vectors[..., -1] * tf.sqrt(tf.nn.relu(values[..., -1:]))
  sign = tf.where(tf.reduce_sum(first, -1, keepdims=True) < 0, -1., 1.)
  return tf.cast(tf.reshape(first * tf.cast(sign, dtype),
                            [-1, *size]), features.dtype)
