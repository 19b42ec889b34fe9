"""Attribution methods: which pixels speak for a class.

    from atcon_tf import attribution
    heat = attribution.explain(model, images, "grad_cam")

Every method is a function of one shared forward pass, `fn(pass_, class_index,
**options) -> [B, h, w]`, raw and batched. `METHODS[name](classifier,
**options)` makes it `fn(images, class_index)`, which a `tf.function` can
compile; a loss can be trained through those in `DIFFERENTIABLE`.

In the examples of this package `classifier` is a small network for images of
32 pixels, and `images` are two of them.
"""

import functools
import weakref

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import guided
from atcon_tf import models
from atcon_tf.attribution import cam
from atcon_tf.attribution import combined
from atcon_tf.attribution import forward as forward_lib
from atcon_tf.attribution import gradient
from atcon_tf.attribution import learned
from atcon_tf.attribution import meaningful
from atcon_tf.attribution import noise
from atcon_tf.attribution import path
from atcon_tf.attribution import perturbation
from atcon_tf.attribution import rollout
from atcon_tf.attribution import theirs
from atcon_tf.config import UserError

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
    "integrated_gradients": path.integrated_gradients,
    "smooth_grad": noise.smooth_grad,
    "var_grad": noise.var_grad,
}
ROLLOUTS = {
    "attention_rollout": rollout.attention_rollout,
    "gradient_rollout": rollout.gradient_rollout,
}
# Maps of a head that was trained to explain this very classifier.
LEARNED = {"tame": learned.class_map, "l_cam": learned.class_map}
PERTURBATIONS = {
    "rise": perturbation.rise,
    "occlusion": perturbation.occlusion,
    "meaningful_perturbation": meaningful.meaningful_perturbation,
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
      classifier = rollout.with_attention(classifier)
    if name in LEARNED:
      classifier = learned.with_features(classifier)
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
        forward_lib.forward(classifier, images), class_index)

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
           **{name_: learned.check for name_ in LEARNED}}
  done = _checked.setdefault(classifier, set())
  if name in tests and name not in done:
    tests[name](classifier, name)
    done.add(name)


def _random_pass(classifier):
  shape = [1, *classifier.image_size, 3]
  pixels = np.random.default_rng(0).uniform(size=shape)
  pass_ = forward_lib.forward(
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
  with guided.guided_rule():
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
  second = forward_lib.forward_normalized(classifier, 0.5 * first.normalized)
  for i, layer in enumerate(classifier.cam_layers):
    g = first.gradient(target, first.features[i])
    mean = tf.reduce_mean(g, [1, 2], keepdims=True)
    error = max(float(tf.reduce_max(tf.abs(other - mean))) for other in (
        g, second.gradient(target, second.features[i])))
    if error > 1e-2 * float(tf.reduce_max(tf.abs(g))):
      raise UserError(
          f"{name}: the logits of {classifier.name} are not a global average "
          f"of the layer {layer} and one dense layer; use grad_cam instead")


def as_classifier(model, **options):
  """A `models.Classifier` as it is, or one around a Keras model.

  Args:
    model: a `models.Classifier` or a `keras.Model`.
    **options: of `models.wrap`.
  """
  if isinstance(model, models.Classifier):
    return model
  if isinstance(model, keras.Model):
    return models.wrap(model, **options)
  raise UserError(f"model: must be a Classifier or a Keras model, not a "
                  f"{type(model).__name__}")


def build(model, method, **options):
  """`METHODS[method](classifier, **options)` by name.

  Raises:
    UserError: an unknown method, or one that this model cannot have.

  Example:
    >>> fn = attribution.build(classifier, "occlusion", window=8)
    >>> fn(images, class_index=[0, 2]).shape
    TensorShape([2, 32, 32])
  """
  if method in theirs.THEIRS:
    return theirs.THEIRS[method](as_classifier(model), **options)
  if method not in METHODS:
    raise UserError(f"unknown method '{method}'; one of: "
                    f"{', '.join(sorted(METHODS))}")
  return METHODS[method](as_classifier(model), **options)


def check_class_index(class_index, count, num_classes):
  """One class for each image, `[B]`.

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
            batch_size=BATCH_SIZE, **options):
  """Attribution maps of a batch of images.

  Args:
    model: a `models.Classifier`, whose images are in [0, 1], or a functional
      or Sequential `keras.Model`, whose images are what it expects.
    images: `[B, H, W, 3]`.
    method: a key of `METHODS`, or of `theirs.THEIRS` to compare.
    class_index: int, or int `[B]`; None: each image's highest logit.
    batch_size: no more images than this are in the network at once.
    **options: the method's own.
  Returns:
    `[B, h, w]`, raw: the size of the method, any sign and scale. See
    `enlarge` for the image's size.
  Raises:
    UserError: an unknown method, images of another shape, a class index out
      of range, or a map that is not finite.

  Example:
    >>> heat = attribution.explain(classifier, images, "guided_backprop")
    >>> heat.shape
    TensorShape([2, 32, 32])
  """
  classifier = as_classifier(model)
  if method in MANY:
    options = {**options, "batch_size": batch_size}
  function = build(classifier, method, **options)
  images = tf.convert_to_tensor(images)
  wanted = (*classifier.image_size, 3)
  if len(images.shape) != 4 or tuple(images.shape[1:]) != wanted:
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
  broken = np.flatnonzero(~np.isfinite(heat.numpy()).all((1, 2)))
  if broken.size:
    raise UserError(f"{method}: the map of image {broken[0]} is not finite; "
                    "the image, or the network's weights, are not")
  return heat


enlarge = combined.enlarge
