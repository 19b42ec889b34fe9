"""Agreement of a student's map with a teacher's under augmentation.

For an image with the pseudo-class c, S is Grad-CAM of c in the strong view and
T that of a teacher in the plain view, to which the same augmentation is
applied. T is constant:

    similarity:  loss_i = - sim(S_i, T_i)
    info_nce:    loss_i = - log( exp(sim(S_i, T_i) / t)
                                 / sum_j exp(sim(S_i, T_j) / t) )

The maps T_j of the other images in the batch are the negatives, as in CGC
(Pillai, Koohpayegani, Ouligian, Fong, Pirsiavash, CVPR 2022,
arXiv 2110.00527). `sim` is one of

    pearson        Pearson correlation of sigmoid(z(S)) and sigmoid(z(T))
    cosine         cosine of the rectified maps
    soft_spearman  Pearson correlation of soft ranks, after PEAR
                   (arXiv 2303.13299): the soft rank of a cell with the value
                   z_i is sum_j sigmoid((z_i - z_j) / 0.1)

The teacher is the network that ranked the pool, whose maps are stored with
the pseudo-labels, or moving averages of the weights. First-order. The nearest
relative is "Good Teachers Explain" (arXiv 2402.03119).
"""

import tensorflow as tf

from atcon_tf.attribution import maps
from atcon_tf.data import augment
from atcon_tf.models import geometry

# Width of the sigmoid of the soft ranks, in standard deviations of a map.
SOFTNESS = 0.1


def agreement_loss(student, teacher, similarity="pearson", loss="info_nce",
                   temperature=0.1):
  """The loss of each image, `[B]`; formulas at the top of the file.

  Args:
    student, teacher: maps `[B, h, w]`, or `[B, t, h, w]` of clips; the
      teacher's get no gradient.
    similarity: a key of `SIMILARITIES`.
    loss: "similarity" or "info_nce".
    temperature: t of `info_nce`.

  Example:
    >>> m = tf.eye(4)[tf.newaxis]
    >>> float(agreement_loss(m, m, loss="similarity"))
    -1.0
  """
  count = tf.shape(student)[0]
  first, second = (SIMILARITIES[similarity](m) for m in (
      student, tf.stop_gradient(teacher)))
  every = tf.matmul(first, second, transpose_b=True)
  own = tf.linalg.diag_part(every)
  if loss == "similarity":
    return -own
  return tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=tf.range(count), logits=every / temperature)


def moved(classifier, heat, transform, size):
  """Applies the augmentation of the strong view to maps of the plain view.

  Args:
    classifier: a `models.Classifier`; its geometry places the maps' cells.
    heat: `[B, h, w]`, the teacher's maps.
    transform: `[B, 8]` of the augmentation; see `augment.warp`.
    size: size of the maps with which the result is compared.
  Returns:
    `[B, *size]`.
  """
  large = geometry.resize(heat, classifier.extent, classifier.geometry[-1])
  large = augment.warp(large[..., tf.newaxis], transform)[..., 0]
  return maps.pool(large, size)


def _unit(m):
  """Maps as rows `[B, cells]` of length 1; a map of zeros becomes zeros."""
  flat = tf.reshape(m, [tf.shape(m)[0], -1])
  return tf.math.l2_normalize(flat, -1, epsilon=1e-12)


def _centred(m):
  return m - tf.reduce_mean(m, list(range(1, len(m.shape))), keepdims=True)


def _pearson(m):
  return _unit(_centred(tf.sigmoid(maps.standardize(m))))


def _cosine(m):
  return _unit(tf.nn.relu(m))


def _soft_spearman(m):
  z = maps.standardize(m)
  flat = tf.reshape(z, [tf.shape(m)[0], -1])
  rank = tf.reduce_sum(tf.sigmoid(
      (flat[:, :, tf.newaxis] - flat[:, tf.newaxis]) / SOFTNESS), -1)
  return _unit(_centred(tf.reshape(rank, tf.shape(m))))


# Each function makes rows of length 1, so that the product of two rows is the
# similarity of their maps.
SIMILARITIES = {"pearson": _pearson, "cosine": _cosine,
                "soft_spearman": _soft_spearman}
