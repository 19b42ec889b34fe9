"""Every attribution method by name, and what is true of each."""

import functools
import weakref

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import attention_rollout
from atcon_tf.attribution.methods import cam
from atcon_tf.attribution.methods import combined
from atcon_tf.attribution.methods import gradient
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution.methods import meaningful_perturbation
from atcon_tf.attribution.methods import perturbation
from atcon_tf.attribution.methods import smooth_grad
from atcon_tf.attribution.methods import trained_head
from atcon_tf.config import UserError
from atcon_tf.models import explanation_head
from atcon_tf.models import guided_relu

# Maps of a layer, which can be fused over several layers.
CAMS = {
    "cam": cam.cam,
    "grad_cam": cam.grad_cam,
    "grad_cam_plus_plus": cam.grad_cam_plus_plus,
    "xgrad_cam": cam.xgrad_cam,
    "hires_cam": cam.hires_cam,
    "layer_cam": cam.layer_cam,
    "eigen_cam": cam.eigen_cam,
    "score_cam": perturbation.score_cam,
    "ablation_cam": perturbation.ablation_cam,
}
GRADIENTS = {
    "gradient": gradient.gradient,
    "input_x_gradient": gradient.input_x_gradient,
    "guided_backprop": gradient.guided_backprop,
    "guided_grad_cam": combined.guided_grad_cam,
    "integrated_gradients": integrated_gradients.integrated_gradients,
    "smooth_grad": smooth_grad.smooth_grad,
    "var_grad": smooth_grad.var_grad,
}
ROLLOUTS = {
    "attention_rollout": attention_rollout.attention_rollout,
    "gradient_rollout": attention_rollout.gradient_rollout,
}
# Maps of a head that was trained to explain this very classifier.
LEARNED = {"tame": trained_head.class_map, "l_cam": trained_head.class_map}
PERTURBATIONS = {
    "rise": perturbation.rise,
    "occlusion": perturbation.occlusion,
    "meaningful_perturbation": meaningful_perturbation.meaningful_perturbation,
}

# Fitted or counted, not differentiated.
_FLAT = {"score_cam", "ablation_cam"}
DIFFERENTIABLE = {
    name: method for group in (CAMS, GRADIENTS, ROLLOUTS, LEARNED)
    for name, method in group.items() if name not in _FLAT}

# Methods that need the guided rule, and so a network with ReLUs.
GUIDED = frozenset(["guided_backprop", "guided_grad_cam"])

# Methods that look at many versions of each image, `batch_size` at once.
MANY = frozenset([*PERTURBATIONS, *_FLAT, "integrated_gradients",
                  "smooth_grad", "var_grad"])
BATCH_SIZE = 32

# Methods that explain a probability, which is a softmax unless they are told.
OF_PROBABILITY = frozenset(["score_cam", *PERTURBATIONS])


def output_of(method, multi_label):
  """The options with which a method explains the classifier's own output.

  Example:
    >>> attribution.output_of("rise", multi_label=True)
    {'output': 'sigmoid'}
    >>> attribution.output_of("grad_cam", multi_label=True)
    {}
  """
  return {"output": "sigmoid"} if multi_label and (
      method in OF_PROBABILITY) else {}


def _builder(name, method):
  def build(classifier, smooth_views=False, **options):
    check(classifier, name)
    check(classifier, options.get("of", name))
    if name in ROLLOUTS:
      classifier = attention_rollout.with_attention(classifier)
    if name in LEARNED:
      classifier = explanation_head.with_features(classifier)
    if name in MANY:
      options = {"batch_size": BATCH_SIZE, **options}
    one = method
    if name in CAMS and len(classifier.cam_layers) > 1 and (
        "layer" not in options):
      one = combined.fuse(method)
    of_pass = lambda pass_, class_index: one(pass_, class_index, **options)
    if smooth_views:
      of_pass = combined.smooth_views(of_pass)
    return lambda images, class_index: of_pass(
        forward_pass.forward(classifier, images), class_index)

  return build


METHODS = {name: _builder(name, method)
           for group in (CAMS, GRADIENTS, ROLLOUTS, LEARNED, PERTURBATIONS)
           for name, method in group.items()}

# What has been checked of each classifier, since a check runs the network.
_checked = weakref.WeakKeyDictionary()


def check(classifier, name):
  """Refuses a map where it would silently be another one.

  Raises:
    UserError: a guided map of a network without ReLU, or whose guided
      gradient equals its plain one; a CAM for another head than global
      average pooling and one dense layer (both by a self-test on one random
      image); a learned map of a classifier without the head.
  """
  tests = {"cam": _check_linear_head, "ablation_cam": _check_head,
           **{guided_: _check_guided for guided_ in GUIDED},
           **{name_: explanation_head.check for name_ in LEARNED}}
  done = _checked.setdefault(classifier, set())
  if name in tests and name not in done:
    tests[name](classifier, name)
    done.add(name)


def _random_pass(classifier):
  shape = [1, *classifier.image_size, 3]
  pixels = np.random.default_rng(0).uniform(size=shape)
  pass_ = forward_pass.forward(
      classifier, tf.constant(pixels, classifier.maps.input.dtype))
  return pass_, tf.argmax(pass_.logits, -1)


def _check_guided(classifier, name):
  if not classifier.relus:
    raise UserError(
        f"{name}: {classifier.name} has no ReLU, so guided backpropagation "
        "has no meaning for it; use gradient instead")
  pass_, target = _random_pass(classifier)
  target = tf.one_hot(target, classifier.num_classes,
                      dtype=pass_.logits.dtype)
  # A ReLU that only positive gradients reach does the same by both rules;
  # then only negative ones reach it from minus the logit.
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


def _check_head(classifier, name):
  del name
  for layer in range(len(classifier.cam_layers)):
    classifier.head_of(layer)


def _check_linear_head(classifier, name):
  """The gradient is the same in every cell, and for every image."""
  first, target = _random_pass(classifier)
  second = forward_pass.forward_normalized(classifier, 0.5 * first.normalized)
  for i, layer in enumerate(classifier.cam_layers):
    g = first.gradient(target, first.features[i])
    mean = tf.reduce_mean(g, [1, 2], keepdims=True)
    error = max(float(tf.reduce_max(tf.abs(other - mean))) for other in (
        g, second.gradient(target, second.features[i])))
    if error > 1e-2 * float(tf.reduce_max(tf.abs(g))):
      raise UserError(
          f"{name}: the logits of {classifier.name} are not a global average "
          f"of the layer {layer} and one dense layer; use grad_cam instead")
