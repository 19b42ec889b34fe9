"""Every attribution method: one row with all that is true of it.

A new method is one function of a `forward_pass.Pass`, one row here, and one
case in tests/conformance_test.py.
"""

import dataclasses
import functools
import inspect
import typing
import weakref

from atcon_tf.attribution import applicability
from atcon_tf.attribution import attention_scores
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import attention_rollout
from atcon_tf.attribution.methods import blur_integrated_gradients
from atcon_tf.attribution.methods import cam
from atcon_tf.attribution.methods import combined
from atcon_tf.attribution.methods import deep_lift
from atcon_tf.attribution.methods import expected_gradients
from atcon_tf.attribution.methods import full_grad
from atcon_tf.attribution.methods import global_sensitivity
from atcon_tf.attribution.methods import gradient
from atcon_tf.attribution.methods import guided_integrated_gradients
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution.methods import legrad
from atcon_tf.attribution.methods import meaningful_perturbation
from atcon_tf.attribution.methods import perturbation
from atcon_tf.attribution.methods import relevance_propagation
from atcon_tf.attribution.methods import shapley_cam
from atcon_tf.attribution.methods import smooth_grad
from atcon_tf.attribution.methods import surrogate
from atcon_tf.attribution.methods import trained_head
from atcon_tf.attribution import propagation
from atcon_tf.attribution import variations
from atcon_tf.config import one_of
from atcon_tf.config import UserError
from atcon_tf.models import batch_norm_folding
from atcon_tf.models import explanation_head

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
    many: looks at many variations of each image, `batch_size` at once, by
      default as many as `variations.at_once` says.
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
      and class_index int `[B]`; of clips `[B, T, H, W, 3]` and
      `[B, t, h, w]`. A `tf.function` can compile it.
    Raises:
      UserError: the method has no meaning for this classifier.
    """
    check(classifier, self.name)
    check(classifier, options.get("of", self.name))
    if self.prepare:
      classifier = self.prepare(classifier)
    if self.many:
      options = {"batch_size": variations.at_once(classifier), **options}
    explain = self.explain
    if self.family == "cam" and len(classifier.cam_layers) > 1 and (
        "layer" not in options):
      explain = combined.fuse(explain)
    explain = functools.partial(explain, **options)
    if smooth_views:
      explain = combined.smooth_views(explain)

    def of_images(images, class_index):
      with batch_norm_folding.shared_kernels():
        return explain(forward_pass.forward(classifier, images), class_index)

    return of_images

  def passes(self, classifier):
    """Forward passes of the whole network an image, by default options."""
    return 1 + (self.variations(classifier) if self.variations else 0)


def _default(function, option):
  """The default of one of a function's arguments."""
  return inspect.signature(function).parameters[option].default


def _by_rules(kinds, passes):
  """What holds for methods that walk the network's graph by rules.

  A rule's constants have no derivative, so no loss is trained through them.

  Args:
    kinds: of operations that the method knows; see `propagation.check`.
    passes: further forward passes of the whole network.
  """
  return dict(differentiable=False, variations=lambda _: passes,
              check=lambda classifier, name: propagation.check(
                  classifier, name, kinds))


_LEARNED = dict(prepare=explanation_head.with_features,
                check=explanation_head.check)
_PERTURBATION = dict(output="probability", differentiable=False, many=True,
                     slow=True)

METHODS: dict[str, Method] = {row.name: row for row in (
    Method("cam", cam.cam, "cam", check=applicability.check_linear_head),
    Method("grad_cam", cam.grad_cam, "cam"),
    Method("grad_cam_plus_plus", cam.grad_cam_plus_plus, "cam"),
    Method("xgrad_cam", cam.xgrad_cam, "cam"),
    Method("hires_cam", cam.hires_cam, "cam"),
    Method("layer_cam", cam.layer_cam, "cam"),
    Method("finer_cam", cam.finer_cam, "cam"),
    Method("eigen_cam", cam.eigen_cam, "cam"),
    Method("score_cam", perturbation.score_cam, "cam", **_PERTURBATION,
           variations=lambda classifier: classifier.maps.outputs[-2].shape[-1]),
    # Its variations run the head alone.
    Method("ablation_cam", perturbation.ablation_cam, "cam", many=True,
           differentiable=False, check=applicability.check_head),
    Method("shapley_cam", shapley_cam.shapley_cam, "cam", output="probability",
           differentiable=False, check=applicability.check_head),
    Method("gradient", gradient.gradient, "gradient"),
    Method("input_x_gradient", gradient.input_x_gradient, "gradient"),
    Method("guided_backprop", gradient.guided_backprop, "gradient",
           check=applicability.check_guided),
    Method("guided_grad_cam", combined.guided_grad_cam, "gradient",
           check=applicability.check_guided),
    Method("integrated_gradients", integrated_gradients.integrated_gradients,
           "gradient", many=True, variations=lambda _: 1 + _default(
               integrated_gradients.ig_attributions, "steps")),
    Method("smooth_grad", smooth_grad.smooth_grad, "gradient", many=True,
           variations=lambda _: _default(smooth_grad.moments, "samples")),
    Method("var_grad", smooth_grad.var_grad, "gradient", many=True,
           variations=lambda _: _default(smooth_grad.moments, "samples")),
    Method("square_grad", smooth_grad.square_grad, "gradient", many=True,
           variations=lambda _: _default(smooth_grad.moments, "samples")),
    Method("blur_integrated_gradients",
           blur_integrated_gradients.blur_integrated_gradients, "gradient",
           many=True, variations=lambda _: 1 + _default(
               blur_integrated_gradients.blur_attributions, "steps")),
    Method("guided_integrated_gradients",
           guided_integrated_gradients.guided_integrated_gradients, "gradient",
           differentiable=False, variations=lambda _: _default(
               guided_integrated_gradients.guided_attributions, "steps")),
    Method("expected_gradients", expected_gradients.expected_gradients,
           "gradient", many=True, variations=lambda _: _default(
               expected_gradients.expected_gradients, "samples")),
    Method("full_grad", full_grad.full_grad, "gradient",
           **_by_rules(full_grad.KINDS, 1)),
    *(Method(function.__name__, function, "gradient",
             **_by_rules(relevance_propagation.KINDS, 1)) for function in (
                 relevance_propagation.lrp,
                 relevance_propagation.lrp_epsilon,
                 relevance_propagation.lrp_gamma,
                 relevance_propagation.lrp_alpha_beta,
                 relevance_propagation.lrp_z_plus)),
    Method("deep_lift", deep_lift.deep_lift, "gradient",
           **_by_rules(deep_lift.KINDS, 2)),
    Method("deep_shap", deep_lift.deep_shap, "gradient", many=True,
           **_by_rules(deep_lift.KINDS, 2 * len(deep_lift.GREYS))),
    *(Method(function.__name__, function, "rollout", prepare=functools.partial(
        attention_scores.with_attention, method=function.__name__))
      for function in (attention_rollout.attention_rollout,
                       attention_rollout.gradient_rollout, legrad.legrad)),
    Method("tame", trained_head.class_map, "learned", **_LEARNED),
    Method("l_cam", trained_head.class_map, "learned", **_LEARNED),
    Method("rise", perturbation.rise, "perturbation", **_PERTURBATION,
           variations=lambda _: _default(perturbation.rise, "masks")),
    Method("occlusion", perturbation.occlusion, "perturbation",
           **_PERTURBATION, variations=lambda classifier: (
               perturbation.windows(classifier.extent))),
    *(Method(function.__name__, function, "perturbation", **_PERTURBATION,
             variations=lambda classifier, function=function: (
                 global_sensitivity.passes(function.__name__,
                                           classifier.extent)))
      for function in (global_sensitivity.sobol, global_sensitivity.hsic)),
    Method("lime", surrogate.lime, "perturbation", **_PERTURBATION,
           check=applicability.check_images,
           variations=lambda _: _default(surrogate.lime, "samples")),
    Method("kernel_shap", surrogate.kernel_shap, "perturbation",
           **_PERTURBATION, check=applicability.check_images,
           variations=lambda _: 2 + _default(
               surrogate.kernel_shap, "samples")),
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
    raise UserError("method", name, one_of(name, allowed))
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
