"""Attention consistency between two layers, after ICASC.

Wang, Sharma, Srivastava, Sminchisescu et al., "Sharpen Focus: Learning with
Attention Separability and Consistency", ICCV 2019 (arXiv 1811.07484), in the
form with which ATCON's authors compare. A_t is the Grad-CAM of class c at the
outer (last) layer, A_i that at an inner layer of the same size, and A_n that
of the most confusing other class at the outer layer:

    S(a) = (a - min a + e) / (max a - min a + e)      of the rectified maps
    M    = e + sigmoid(k (S(A_t) - 0.55 max A_t))
    dice:      - 2 (sum(S(A_i) M) + e) / (sum S(A_i) + sum M + e)
    inclusion:  theta - (sum(S(A_i) M) + e) / (sum S(A_i) + e),  theta = 0.8
    separation: 2 (sum(min(A_t, A_n) M) + e) / (sum(A_n + A_t) + e)

Minima and maxima are constants; everything else is differentiated, including
the CAM weights. As published, the threshold in M uses the maximum of the raw
map, although S(A_t) is scaled to [0, 1].
"""

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import cam
from atcon_tf.config import UserError
from atcon_tf.models.classifier import map_sizes
from atcon_tf.objectives import base

EPSILON = 1.1920928955078125e-07  # of float32
SIGMA_FACTOR = 0.55
THETA = 0.8


class LayerConsistency(base.Objective):
  """The maps of two layers should agree, and those of two classes differ.

  Term: "consistency", the consistency and, with `separation`, the separation.
  The classifier's cam_layers are (inner, outer), of equal size. The class is
  the highest logit among the image's labels; without labels among all classes.
  """

  def __init__(self, classifier, form="dice", separation=True,
               mask_intensity=8.0, weight=1.0):
    """Prepares the loss.

    Args:
      classifier: a `models.Classifier` with two cam_layers of the same
        spatial size.
      form: "dice" or "inclusion".
      separation: whether to add the separation of the two classes.
      mask_intensity: k of the mask.
      weight: weight of the term in the loss.
    Raises:
      UserError: there are not two layers, or their sizes differ.
    """
    super().__init__(classifier, consistency=weight)
    shapes = map_sizes(classifier)
    if len(shapes) != 2 or shapes[0] != shapes[1]:
      sizes = ", ".join(f"{n} {'x'.join(map(str, s))}" for n, s in
                        zip(classifier.cam_layers, shapes))
      raise UserError("cam_layer", classifier.cam_layers,
                      "layer_consistency needs two layers, INNER,OUTER, of "
                      f"the same size; here {sizes}")
    self.form, self.separation = form, separation
    self.mask_intensity = mask_intensity

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    del task, twin
    return cls(classifier, config.layer_loss, config.separation,
               weight=config.consistency_weight)

  def call(self, batch, training=False):
    pass_ = forward_pass.forward(self.classifier, batch["image"])
    explained = explain(pass_, batch.get("label"), self.mask_intensity)
    value = (dice if self.form == "dice" else inclusion)(explained)
    if self.separation:
      value += separation(explained)
    return {"consistency": (value, tf.ones_like(value))}


def explain(pass_, label=None, mask_intensity=8.0):
  """The maps and the mask from which the losses are computed.

  Args:
    pass_: a `forward_pass.Pass` of a classifier with two cam_layers.
    label: `[B, classes]`, 0 or 1; None: unknown.
    mask_intensity: k of the mask.
  Returns:
    dict: "class_index" and "other_index" `[B]`; "outer", "inner" and
    "other" `[B, h, w]`, raw Grad-CAMs; "scaled_outer", "scaled_inner" and
    "mask" `[B, h, w]`.
  """
  logits = tf.stop_gradient(pass_.logits)
  if label is None:
    own = tf.one_hot(tf.argmax(logits, -1), logits.shape[-1], True, False)
    other = ~own
  else:
    known = tf.cast(label, tf.bool)
    # An image without a label is explained for its highest logit.
    own = known | ~tf.reduce_any(known, -1, keepdims=True)
    other = ~known
  target = _highest(logits, own)
  # An image of every class has no confusing class; `_highest` gives class 0.
  confused = _highest(logits, other & ~tf.one_hot(
      target, logits.shape[-1], True, False))
  outer = cam.grad_cam(pass_, target)
  inner = cam.grad_cam(pass_, target, layer=0)
  scaled_outer, scaled_inner = _scale(outer), _scale(inner)
  top = tf.stop_gradient(tf.reduce_max(
      tf.nn.relu(outer), _cells(outer), keepdims=True))
  mask = EPSILON + tf.sigmoid(
      mask_intensity * (scaled_outer - SIGMA_FACTOR * top))
  return {"class_index": target, "other_index": confused, "outer": outer,
          "inner": inner, "other": cam.grad_cam(pass_, confused),
          "scaled_outer": scaled_outer, "scaled_inner": scaled_inner,
          "mask": mask}


def _highest(logits, among):
  """The class of the highest logit among some classes, `[B]`."""
  lowest = tf.fill(tf.shape(logits), logits.dtype.min)
  return tf.argmax(tf.where(among, logits, lowest), -1)


def _scale(raw):
  """S of the formulas: the rectified maps, scaled to [0, 1]."""
  a = tf.nn.relu(raw)
  low = tf.stop_gradient(tf.reduce_min(a, _cells(a), keepdims=True))
  high = tf.stop_gradient(tf.reduce_max(a, _cells(a), keepdims=True))
  return (a - low + EPSILON) / (high - low + EPSILON)


def _cells(m):
  return list(range(1, len(m.shape)))


def _sum(m):
  return tf.reduce_sum(m, _cells(m))


def dice(explained):
  """Minus the Dice overlap of inner map and mask, `[B]` in [-1, 0]."""
  inner, mask = explained["scaled_inner"], explained["mask"]
  return -2 * (_sum(inner * mask) + EPSILON) / (
      _sum(inner) + _sum(mask) + EPSILON)


def inclusion(explained):
  """Theta minus the share of the inner map inside the mask, `[B]`."""
  inner, mask = explained["scaled_inner"], explained["mask"]
  return THETA - (_sum(inner * mask) + EPSILON) / (_sum(inner) + EPSILON)


def separation(explained):
  """Overlap of the maps of the class and of the confusing one, `[B]`."""
  outer, other = explained["outer"], explained["other"]
  overlap = _sum(tf.minimum(outer, other) * explained["mask"])
  return 2 * (overlap + EPSILON) / (_sum(other + outer) + EPSILON)
