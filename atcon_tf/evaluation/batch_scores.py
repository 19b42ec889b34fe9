"""Logits, Grad-CAMs and the agreement of maps of one batch, in one pass.

`predictor.py` traces these functions, and calls them for all records.
"""

import tensorflow as tf

from atcon_tf.attribution.consistency import PUBLISHED
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.attribution.methods import cam
from atcon_tf.attribution.methods import gradient
from atcon_tf.evaluation import class_boxes
from atcon_tf.models import batch_norm_folding
from atcon_tf.models import geometry

# The slope of the soft mask in every score, whatever a run trained with.
INTENSITY = 8.0


def look(classifier, images, classes, with_consistency):
  """Logits, Grad-CAMs and the agreement of maps of a batch.

  Args:
    classifier: a `models.Classifier`.
    images: `[B, H, W, 3]` in [0, 1], or clips `[B, T, H, W, 3]`.
    classes: int `[B, K]`, the classes of the Grad-CAMs.
    with_consistency: whether to compare maps as ATCON does.
  Returns:
    dict of "logits"; "maps" `[B, K, H, W]`, see `class_boxes.evidence`; and
    with consistency "dead", "first" and "second" (see
    `consistency.MapAgreement.compare`), "mask/S", "first_masked/S" and
    "similarity/S" of masks of the scales S, "std" and "none".
  """
  with batch_norm_folding.shared_kernels():
    pass_ = forward_pass.forward(classifier, images)
    result = _of_pass(pass_, classes)
    if with_consistency:
      target = tf.argmax(pass_.logits, -1)
      first = cam.grad_cam(pass_, target)
      result["dead"] = maps.constant(first)
      guided = gradient.guided_backprop(pass_, target)
      result |= {"first": first, "second": guided}
      for scale in ("std", "none"):
        mask = maps.soft_mask(guided, INTENSITY, scale)
        found = PUBLISHED.under(pass_, target, first, mask)
        result |= {f"{name}/{scale}": found[name]
                   for name in ("mask", "first_masked", "similarity")}
  return result


def located(classifier, features, logits, classes):
  """`look` without consistency, of a pooled head's map and its logits."""
  return _of_pass(forward_pass.Pass(None, [features], logits, None, classifier,
                                    [features]), classes)


def _of_pass(pass_, classes):
  """The logits of a pass, and Grad-CAMs at the size of the images."""
  classifier = pass_.classifier
  size, place = classifier.extent, classifier.geometry[-1]
  if classes.shape[1] == 0:
    heat = tf.zeros([tf.shape(classes)[0], 0, *size[-2:]])
  else:
    cams = cam.grad_cams(pass_, classes)
    heat = class_boxes.evidence(geometry.resize(
        tf.reshape(cams, [-1, *cams.shape[2:]]), size, place))
    heat = tf.reshape(heat, tf.concat(
        [tf.shape(cams)[:2], heat.shape[1:]], 0))
  return {"logits": pass_.logits, "maps": heat}
