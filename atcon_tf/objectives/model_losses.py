"""ATCON's loss and measure as functions of any Keras model.

    with tf.GradientTape() as tape:
      loss = tf.reduce_mean(at.objectives.atcon_loss(model, images))
    gradients = tape.gradient(loss, model.trainable_variables)

`model` is a functional or Sequential Keras model, nested or not, with ReLU
layers or with ReLUs inside other layers. The functions do not change the
model; its own variables get the gradients. A final softmax or sigmoid is left
out, and BatchNorm layers use their moving statistics.
"""

import concurrent.futures
import functools

import tensorflow as tf

from atcon_tf.attribution import api
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import registry
from atcon_tf.attribution.consistency import MapAgreement

# The number of models whose classifier is kept for the next call.
_KEPT = 8


def atcon_loss(model, images, class_index=None, **agreement):
  """ATCON's loss of each image (arXiv 2210.09705), formulas in `atcon.py`.

  Args:
    model: a Keras model, or a `models.Classifier`.
    images: `[B, H, W, 3]`, or clips `[B, T, H, W, 3]`, in the range that a
      Keras model expects, or in [0, 1] for a `Classifier`.
    class_index: int, or int `[B]`: the class whose maps are compared; None:
      each image's highest logit.
    **agreement: fields of `attribution.consistency.MapAgreement`, such as
      `match="downsample"` or `mask_scale="std"`.
  Returns:
    `[B]`, minus the similarity of the two maps: in [-1, 1] for Pearson, -1 if
    they agree. A `tf.GradientTape` can differentiate the loss, also inside a
    `tf.function`. The gradient runs through both maps and the mask (second
    derivatives of the model).
  Raises:
    UserError: the model is not supported, or has no ReLU for the guided map.

  Example:
    >>> at.objectives.atcon_loss(model, images).shape
    TensorShape([2])
  """
  return -_similarity(model, images, class_index, MapAgreement(**agreement))


def consistency(model, images, class_index=None, **agreement):
  """The agreement of the two maps of each image: a measure, not a loss.

  It is the "consistency of maps" of every table: the Pearson correlation of
  the standardised Grad-CAMs before and after the guided mask, where the guided
  map is divided by its standard deviation before it makes the mask.

  Args:
    model, images, class_index, **agreement: as for `atcon_loss`, but the
      default of `mask_scale` is "std".
  Returns:
    `[B]` in [-1, 1], without a gradient.

  Example:
    >>> at.objectives.consistency(model, images).shape
    TensorShape([2])
  """
  return tf.stop_gradient(_similarity(
      model, images, class_index,
      MapAgreement(**{"mask_scale": "std", **agreement})))


def _similarity(model, images, class_index, agreement):
  classifier = _opened(model, agreement.first_map, agreement.second_map)
  images = tf.cast(images, classifier.maps.input.dtype)
  pass_ = forward_pass.forward(classifier, images)
  if class_index is None:
    class_index = tf.argmax(pass_.logits, -1)
  target = tf.broadcast_to(tf.cast(class_index, tf.int64),
                           tf.shape(pass_.logits)[:1])
  return agreement.compare(pass_, tf.stop_gradient(target))["similarity"]


@functools.lru_cache(maxsize=_KEPT)
def _opened(model, *methods):
  """The classifier around a model, after a check that it supports the methods.

  The check runs the network eagerly and takes gradients. It runs in a separate
  thread, so that neither the graph nor the tape of the caller records it;
  `tf.init_scope` would stop the tape of the check as well.
  """
  def opened():
    classifier = api.as_classifier(model)
    for method in methods:
      registry.check(classifier, method)
    return classifier

  with concurrent.futures.ThreadPoolExecutor(1) as thread:
    return thread.submit(opened).result()
