"""Attribution methods: which pixels speak for a class.

`METHODS[name](classifier, **options)` builds `fn(images, class_index) ->
[B, h, w]`, raw and batched; `DIFFERENTIABLE` holds those that a loss can be
trained through, as functions of a shared forward pass.
"""

import functools

import numpy as np
import tensorflow as tf

from atcon_tf import guided
from atcon_tf.attribution import cam
from atcon_tf.attribution import forward as forward_lib
from atcon_tf.attribution import gradient
from atcon_tf.attribution import noise
from atcon_tf.attribution import path
from atcon_tf.config import UserError

DIFFERENTIABLE = {
    "grad_cam": cam.grad_cam,
    "gradient": gradient.gradient,
    "guided_backprop": gradient.guided_backprop,
    "integrated_gradients": path.integrated_gradients,
    "smooth_grad": noise.smooth_grad,
}

# Methods that need the guided rule, and so a network with ReLUs.
GUIDED = frozenset(["guided_backprop"])


def _on_one_pass(name):
  def build(classifier, **options):
    check(classifier, name)
    method = DIFFERENTIABLE[name]
    return lambda images, class_index: method(
        forward_lib.forward(classifier, images), class_index, **options)
  return build


METHODS = {name: _on_one_pass(name) for name in DIFFERENTIABLE}


def check(classifier, name):
  """Refuses a guided map where it would silently be the plain gradient.

  Raises:
    UserError: the network has no ReLU, or (a self-test on one random image)
      its guided gradient equals its plain gradient.
  """
  if name not in GUIDED:
    return
  if not classifier.relus:
    raise UserError(
        f"{name}: {classifier.name} has no ReLU, so guided backpropagation "
        "has no meaning for it; use gradient instead")
  shape = [1, *classifier.image_size, 3]
  pixels = np.random.default_rng(0).uniform(size=shape)
  pass_ = forward_lib.forward(
      classifier, tf.constant(pixels, classifier.maps.input.dtype))
  target = tf.one_hot(tf.argmax(pass_.logits, -1), classifier.num_classes,
                      dtype=pass_.logits.dtype)
  # A ReLU that only positive gradients reach does the same by both rules;
  # then only negative ones reach it from minus the logit.
  up, down = (functools.partial(
      pass_.tape.gradient, pass_.logits, pass_.normalized,
      output_gradients=sign * target) for sign in (1, -1))
  plain = up()
  with guided.guided_rule():
    same = tf.reduce_all((up() == plain) & (down() == -plain))
  if bool(same):
    raise UserError(
        f"{name}: the guided gradient of {classifier.name} equals its plain "
        "gradient; its ReLUs are hidden from the guided rule (inside a "
        "tf.function or a custom layer), or all are inactive")


def explain(classifier, images, method="grad_cam", class_index=None,
            **options):
  """Attribution maps of a batch of images.

  Args:
    classifier: a `models.Classifier`.
    images: `[B, H, W, 3]` in [0, 1].
    method: a key of `METHODS`.
    class_index: int, or int `[B]`; None: each image's highest logit.
    **options: the method's own.
  Returns:
    `[B, h, w]`, raw.
  Raises:
    UserError: an unknown method, or a class index out of range or not one
      for each image.

  Example:
    maps = attribution.explain(classifier, images, "guided_backprop")
  """
  if method not in METHODS:
    raise UserError(f"unknown method '{method}'; one of: "
                    f"{', '.join(sorted(METHODS))}")
  images = tf.convert_to_tensor(images, classifier.maps.input.dtype)
  if class_index is None:
    class_index = tf.argmax(classifier.model(images, training=False), -1)
  class_index = tf.convert_to_tensor(class_index)
  if class_index.shape not in ([], [len(images)]):
    raise UserError(f"class index of shape {class_index.shape}: must be one "
                    f"number, or one for each of {len(images)} images")
  class_index = tf.broadcast_to(class_index, [len(images)])
  low, high = int(tf.reduce_min(class_index)), int(
      tf.reduce_max(class_index))
  if low < 0 or high >= classifier.num_classes:
    raise UserError(f"class index {high if low >= 0 else low}: must be 0 to "
                    f"{classifier.num_classes - 1}")
  return METHODS[method](classifier, **options)(images, class_index)
