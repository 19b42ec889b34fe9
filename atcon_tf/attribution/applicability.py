"""For which networks has a method's map a meaning? Self-tests that refuse.

The row of a method in `registry.py` names its check, `fn(classifier, name)`,
which raises a UserError.
"""

import functools

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.config import UserError
from atcon_tf.models import guided_relu


def _random_pass(classifier):
  """A pass of one random image, and its highest logit."""
  shape = [1, *classifier.image_shape]
  pixels = np.random.default_rng(0).uniform(size=shape)
  pass_ = forward_pass.forward(
      classifier, tf.constant(pixels, classifier.maps.input.dtype))
  return pass_, tf.argmax(pass_.logits, -1)


def check_guided(classifier, name):
  """Refuses a network for which guided backpropagation has no meaning."""
  if not classifier.relus:
    raise UserError(
        f"{name}: {classifier.name} has no ReLU, so guided backpropagation "
        "has no meaning for it; use gradient instead")
  pass_, target = _random_pass(classifier)
  target = tf.one_hot(target, classifier.num_classes,
                      dtype=pass_.logits.dtype)
  # Where only positive gradients arrive, the guided and the plain rule agree.
  # So the check runs on the logit and on minus the logit: one of the two must
  # differ if the guided rule is in force.
  up, down = (functools.partial(
      pass_.tape.gradient, pass_.logits, pass_.normalized,
      output_gradients=sign * target) for sign in (1, -1))
  plain = up()
  with guided_relu.guided_rule():
    same = tf.reduce_all((up() == plain) & (down() == -plain))
  if bool(same):
    raise UserError(
        f"{name}: the guided gradient of {classifier.name} equals its plain "
        "gradient; its ReLUs are hidden from the guided rule (inside a "
        "tf.function or a custom layer), or all are inactive")


def check_head(classifier, name):
  """Refuses a classifier whose logits depend on more than a cam_layer."""
  del name
  for layer in range(len(classifier.cam_layers)):
    classifier.head_of(layer)


def check_linear_head(classifier, name):
  """Refuses a head other than global average pooling and one dense layer.

  With such a head the gradient is the same in every cell and for every image.
  """
  first, target = _random_pass(classifier)
  second = forward_pass.forward_normalized(classifier, 0.5 * first.normalized)
  for i, layer in enumerate(classifier.cam_layers):
    g = first.gradient(target, first.features[i])
    mean = tf.reduce_mean(g, list(range(1, len(g.shape) - 1)), keepdims=True)
    error = max(float(tf.reduce_max(tf.abs(other - mean))) for other in (
        g, second.gradient(target, second.features[i])))
    if error > 1e-2 * float(tf.reduce_max(tf.abs(g))):
      raise UserError(
          f"{name}: the logits of {classifier.name} are not a global average "
          f"of the layer {layer} and one dense layer; use grad_cam instead")


def check_images(classifier, name):
  """Refuses a classifier of clips, for a method that has none of them."""
  if classifier.frames:
    raise UserError(
        f"{name}: it is defined for images, and {classifier.name} sees clips; "
        "use grad_cam, integrated_gradients, rise or occlusion instead")
