"""Attribution maps of images by the name of a method.

    from atcon_tf import attribution
    heat = attribution.explain(model, images, "grad_cam")

Every method is a function of one shared forward pass, `fn(pass_, class_index,
**options) -> [B, h, w]`, raw and batched. `METHODS[name](classifier,
**options)` makes it `fn(images, class_index)`, which a `tf.function` can
compile; a loss calls `registry.of_pass(name)`.

In the examples of this room `classifier` is a small network for images of 32
pixels, and `images` are two of them.
"""

import keras
import numpy as np
import tensorflow as tf

from atcon_tf.attribution.methods import tf_keras_vis_methods
from atcon_tf.attribution import registry
from atcon_tf.config import UserError
from atcon_tf import models


def as_classifier(model, **options):
  """A `models.Classifier` around a Keras model.

  Args:
    model: a `keras.Model`; or a `models.Classifier`, which is returned.
    **options: of `models.wrap`.
  Raises:
    UserError: `model` is neither, or `models.wrap` refuses it.
  """
  if isinstance(model, models.Classifier):
    return model
  if isinstance(model, keras.Model):
    return models.wrap(model, **options)
  raise UserError("model", None, "must be a Classifier or a Keras model, not a "
                  f"{type(model).__name__}")


def build(model, method, **options):
  """A method for one model, as a function of images.

  Args:
    model: a `models.Classifier` or a `keras.Model`.
    method: a key of `METHODS` or of `tf_keras_vis_methods.METHODS`.
    **options: of the method.
  Returns:
    `fn(images, class_index) -> [B, h, w]`.
  Raises:
    UserError: an unknown method, or one that has no meaning for this model.

  Example:
    >>> fn = attribution.build(classifier, "occlusion", window=8)
    >>> fn(images, class_index=[0, 2]).shape
    TensorShape([2, 32, 32])
  """
  make = registry.METHODS.get(method) or (
      tf_keras_vis_methods.METHODS.get(method))
  if make is None:
    raise UserError(f"unknown method '{method}'; one of: "
                    f"{', '.join(sorted(registry.METHODS))}")
  return make(as_classifier(model), **options)


def check_class_index(class_index, count, num_classes):
  """One class for each image, `[B]`.

  Args:
    class_index: an int, or one for each image.
    count: B, the number of images.
    num_classes: of the classifier.
  Raises:
    UserError: a class index out of range, or not as many as images.
  """
  class_index = np.asarray(class_index)
  if class_index.shape not in ((), (count,)):
    raise UserError(f"class index of shape {class_index.shape}: must be one "
                    f"number, or one for each of {count} images")
  wrong = class_index[(class_index < 0) | (class_index >= num_classes)]
  if wrong.size:
    raise UserError(f"class index {wrong.flat[0]}: must be 0 to "
                    f"{num_classes - 1}")
  return np.broadcast_to(class_index, [count])


def explain(model, images, method="grad_cam", class_index=None,
            batch_size=None, **options):
  """Attribution maps of a batch of images.

  Args:
    model: a `models.Classifier`, whose images are in [0, 1], or a functional
      or Sequential `keras.Model`, whose images are what it expects.
    images: `[B, H, W, 3]`; of a classifier of clips `[B, T, H, W, 3]`.
    method: a key of `METHODS`; or, to compare, one of
      `tf_keras_vis_methods.METHODS`.
    class_index: int, or int `[B]`; None: each image's highest logit.
    batch_size: most images, or frames of clips, in the network at once; None:
      32, and of a method with many variations of an image as many as
      `variations.at_once` says.
    **options: of the method.
  Returns:
    `[B, h, w]`, raw: of the method's own size, of any sign and scale; of
    clips `[B, t, h, w]`. `enlarge` gives maps of the image's size.
  Raises:
    UserError: an unknown method, images of another shape, a class index out
      of range, or a map that is not finite.

  Example:
    >>> heat = attribution.explain(classifier, images, "guided_backprop")
    >>> heat.shape
    TensorShape([2, 32, 32])
  """
  classifier = as_classifier(model)
  row = registry.METHODS.get(method)
  if batch_size and row and row.many:
    options = {**options, "batch_size": classifier.per_batch(batch_size)}
  batch_size = classifier.per_batch(batch_size or registry.BATCH_SIZE)
  function = build(classifier, method, **options)
  images = tf.convert_to_tensor(images)
  wanted = classifier.image_shape
  if tuple(images.shape[1:]) != wanted:
    raise UserError(f"images: {classifier.name} takes [B, "
                    f"{', '.join(map(str, wanted))}], not "
                    f"{list(images.shape)}")
  images = tf.cast(images, classifier.maps.input.dtype)
  if class_index is not None:
    class_index = check_class_index(class_index, len(images),
                                    classifier.num_classes)
  out = []
  for first in range(0, len(images), batch_size):
    part = slice(first, first + batch_size)
    target = class_index[part] if class_index is not None else tf.argmax(
        classifier.model(images[part], training=False), -1)
    out.append(function(images[part], tf.constant(target)))
  heat = tf.concat(out, 0)
  broken = np.flatnonzero(~np.isfinite(heat.numpy()).reshape(
      len(heat), -1).all(1))
  if broken.size:
    raise UserError(f"{method}: the map of image {broken[0]} is not finite; "
                    "the image, or the network's weights, are not")
  return heat
