"""Every attribution method: one row with all that is true of it.

A new method is one function of a `forward_pass.Pass`, one row here, and one
case in tests/conformance_test.py.
"""

import dataclasses
import functools
import inspect
import typing
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

BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Method:
  """One attribution method.

  Calling a method with a classifier gives `fn(images, class_index)`:

      fn = METHODS["grad_cam"](classifier)
      heat = fn(images, class_index)

  Attributes:
    name: the key of `METHODS`.
    explain: `fn(pass_, class_index, **options) -> [B, h, w]`, raw.
    family: "cam" (maps of a layer; fused where a classifier has several
      cam_layers), "gradient" (maps of single pixels), "rollout" (of a Vision
      Transformer's attention), "learned" (of a head that was trained to
      explain this very classifier) or "perturbation".
    differentiable: a loss can be trained through the map.
    output: what of the class is explained by default, its "logit" or its
      "probability" (a softmax).
    many: looks at many variations of each image, `batch_size` at once.
    slow: needs hundreds of forward passes an image.
    variations: `fn(classifier) -> int`, further forward passes of the whole
      network for an image, by default options; None: there are none.
    prepare: `fn(classifier) -> classifier`, one whose passes hold what
      `explain` reads; None: the passes of any classifier do.
    check: `fn(classifier, name)`, raises a UserError if the map has no meaning
      for this classifier, or would silently be another one; None: any
      classifier can have it.
  """

  name: str
  explain: typing.Callable
  family: str
  _: dataclasses.KW_ONLY
  differentiable: bool = True
  output: str = "logit"
  many: bool = False
  slow: bool = False
  variations: typing.Callable | None = None
  prepare: typing.Callable | None = None
  check: typing.Callable | None = None

  def __call__(self, classifier, smooth_views=False, **options):
    """The method for one classifier.

    Args:
      classifier: a `models.Classifier`.
      smooth_views: average over views of the image; see
        `combined.smooth_views`.
      **options: of `explain`.
    Returns:
      `fn(images, class_index) -> [B, h, w]`, images `[B, H, W, 3]` in [0, 1]
      and class_index int `[B]`. A `tf.function` can compile it.
    Raises:
      UserError: the method has no meaning for this classifier.
    """
    check(classifier, self.name)
    check(classifier, options.get("of", self.name))
    if self.prepare:
      classifier = self.prepare(classifier)
    if self.many:
      options = {"batch_size": BATCH_SIZE, **options}
    explain = self.explain
    if self.family == "cam" and len(classifier.cam_layers) > 1 and (
        "layer" not in options):
      explain = combined.fuse(explain)
    explain = functools.partial(explain, **options)
    if smooth_views:
      explain = combined.smooth_views(explain)
    return lambda images, class_index: explain(
        forward_pass.forward(classifier, images), class_index)

  def passes(self, classifier):
    """Forward passes of the whole network an image, by default options."""
    return 1 + (self.variations(classifier) if self.variations else 0)


def _default(function, option):
  """The default of one of a function's arguments."""
  return inspect.signature(function).parameters[option].default


def _random_pass(classifier):
  """A pass of one random image, and its highest logit."""
  shape = [1, *classifier.image_shape]
  pixels = np.random.default_rng(0).uniform(size=shape)
  pass_ = forward_pass.forward(
      classifier, tf.constant(pixels, classifier.maps.input.dtype))
  return pass_, tf.argmax(pass_.logits, -1)


def _check_guided(classifier, name):
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


def _check_head(classifier, name):
  """Refuses a classifier whose logits depend on more than a cam_layer."""
  del name
  for layer in range(len(classifier.cam_layers)):
    classifier.head_of(layer)


def _check_linear_head(classifier, name):
  """Refuses a head other than global average pooling and one dense layer.

  With such a head the gradient is the same in every cell and for every image.
  """
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


_LEARNED = dict(prepare=explanation_head.with_features,
                check=explanation_head.check)
_ROLLOUT = dict(prepare=attention_rollout.with_attention)
_PERTURBATION = dict(output="probability", differentiable=False, many=True,
                     slow=True)

METHODS: dict[str, Method] = {row.name: row for row in (
    Method("cam", cam.cam, "cam", check=_check_linear_head),
    Method("grad_cam", cam.grad_cam, "cam"),
    Method("grad_cam_plus_plus", cam.grad_cam_plus_plus, "cam"),
    Method("xgrad_cam", cam.xgrad_cam, "cam"),
    Method("hires_cam", cam.hires_cam, "cam"),
    Method("layer_cam", cam.layer_cam, "cam"),
    Method("eigen_cam", cam.eigen_cam, "cam"),
    Method("score_cam", perturbation.score_cam, "cam", **_PERTURBATION,
           variations=lambda classifier: classifier.maps.outputs[-2].shape[-1]),
    # Its variations run the head alone.
    Method("ablation_cam", perturbation.ablation_cam, "cam", many=True,
           differentiable=False, check=_check_head),
    Method("gradient", gradient.gradient, "gradient"),
    Method("input_x_gradient", gradient.input_x_gradient, "gradient"),
    Method("guided_backprop", gradient.guided_backprop, "gradient",
           check=_check_guided),
    Method("guided_grad_cam", combined.guided_grad_cam, "gradient",
           check=_check_guided),
    Method("integrated_gradients", integrated_gradients.integrated_gradients,
           "gradient", many=True, variations=lambda _: 1 + _default(
               integrated_gradients.ig_attributions, "steps")),
    Method("smooth_grad", smooth_grad.smooth_grad, "gradient", many=True,
           variations=lambda _: _default(smooth_grad.moments, "samples")),
    Method("var_grad", smooth_grad.var_grad, "gradient", many=True,
           variations=lambda _: _default(smooth_grad.moments, "samples")),
    Method("attention_rollout", attention_rollout.attention_rollout,
           "rollout", **_ROLLOUT),
    Method("gradient_rollout", attention_rollout.gradient_rollout,
           "rollout", **_ROLLOUT),
    Method("tame", trained_head.class_map, "learned", **_LEARNED),
    Method("l_cam", trained_head.class_map, "learned", **_LEARNED),
    Method("rise", perturbation.rise, "perturbation", **_PERTURBATION,
           variations=lambda _: _default(perturbation.rise, "masks")),
    Method("occlusion", perturbation.occlusion, "perturbation",
           **_PERTURBATION, variations=lambda classifier: (
               perturbation.windows(classifier.image_size))),
    Method("meaningful_perturbation",
           meaningful_perturbation.meaningful_perturbation, "perturbation",
           **_PERTURBATION, variations=lambda _: _default(
               meaningful_perturbation.meaningful_perturbation, "steps")),
)}

# The names that each classifier has passed: a check runs the network.
_checked = weakref.WeakKeyDictionary()


def check(classifier, name):
  """Refuses a map that has no meaning, or would silently be another one.

  Args:
    classifier: a `models.Classifier`.
    name: a key of `METHODS`; another name is not checked.
  Raises:
    UserError: a guided map of a network without ReLU, or whose guided
      gradient equals its plain one; a CAM for another head than global
      average pooling and one dense layer (both by a self-test on one random
      image); a learned map of a classifier without the head.
  """
  done = _checked.setdefault(classifier, set())
  if name in METHODS and METHODS[name].check and name not in done:
    METHODS[name].check(classifier, name)
    done.add(name)


def of_pass(name):
  """A method as a function of a forward pass, for losses.

  Args:
    name: a key of `METHODS` whose map is differentiable.
  Returns:
    `fn(pass_, class_index, **options) -> [B, h, w]`.
  Raises:
    UserError: it is none of those.

  Example:
    >>> pass_ = forward_pass.forward(classifier, images)
    >>> registry.of_pass("grad_cam")(pass_, [0, 2]).shape
    TensorShape([2, 4, 4])
  """
  allowed = [m.name for m in METHODS.values() if m.differentiable]
  if name not in allowed:
    raise UserError("method", name, f"must be one of {', '.join(allowed)}")
  return METHODS[name].explain


def output_of(name, multi_label):
  """The options with which a method explains the classifier's own output.

  Args:
    name: of a method.
    multi_label: the classifier's probability is a sigmoid, not a softmax.
  Returns:
    `{"output": "sigmoid"}` or `{"output": "probability"}`; `{}` for a method
    that explains a logit.

  Example:
    >>> registry.output_of("rise", multi_label=True)
    {'output': 'sigmoid'}
    >>> registry.output_of("grad_cam", multi_label=True)
    {}
  """
  if name in METHODS and METHODS[name].output == "probability":
    return {"output": forward_pass.own_output(multi_label)}
  return {}
