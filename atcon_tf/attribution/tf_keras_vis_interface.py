"""This project's methods, called as tf-keras-vis calls its own.

A program written for tf-keras-vis keeps its `Score` objects and its model
modifiers:

    from tf_keras_vis.utils.scores import CategoricalScore
    gradcam = Visualization(model, "grad_cam", ReplaceToLinear())
    heat = gradcam(CategoricalScore([1, 294]), images)
"""

import dataclasses

import keras
import numpy as np

from atcon_tf.attribution import api
from atcon_tf.config import UserError
from atcon_tf.models.classifier import enlarge


class Visualization:
  """A method of `attribution.METHODS` with tf-keras-vis's interface."""

  def __init__(self, model, method="grad_cam", model_modifier=None,
               clone=True, **options):
    """Prepares a model.

    Args:
      model: a functional or Sequential Keras model.
      method: a key of `attribution.METHODS`.
      model_modifier: a modifier of tf_keras_vis.utils.model_modifiers, a
        function of a model, or a list of these; None: none. (A final softmax
        is removed in any case.)
      clone: modifiers change a copy of the model; otherwise the model itself.
      **options: of the method.
    """
    modifiers = model_modifier or []
    if not isinstance(modifiers, (list, tuple)):
      modifiers = [modifiers]
    if modifiers and clone:
      weights = model.get_weights()
      model = keras.models.clone_model(model)
      model.set_weights(weights)
    for modify in modifiers:
      model = modify(model) or model
    self.model, self.method, self.options = model, method, options
    self._classifiers = {}

  def _classifier(self, layer):
    if layer not in self._classifiers:
      classifier = api.as_classifier(self.model)
      if layer is not None:
        classifier = classifier.with_cam_layers((layer,))
      self._classifiers[layer] = classifier
    return self._classifiers[layer]

  def __call__(self, score, seed_input, penultimate_layer=None,
               expand_cam=True, normalize_cam=True, **ignored):
    """Maps `[B, H, W]`, NumPy.

    Args:
      score: a CategoricalScore or BinaryScore of tf-keras-vis.
      seed_input: `[B, H, W, 3]` or one image, in the range that the model
        expects.
      penultimate_layer: name of the layer of the map; None: the last that
        can carry one.
      expand_cam: return maps of the size of the images.
      normalize_cam: return the positive part, scaled to [0, 1].
      **ignored: other arguments of tf-keras-vis, which have no effect.
    Raises:
      UserError: another kind of score, or one that does not fit the model.
    """
    del ignored
    images = np.asarray(seed_input, np.float32)
    classifier = self._classifier(penultimate_layer)
    one = images.ndim == len(classifier.image_shape)
    images = images[np.newaxis] if one else images
    classifier, target = _target(classifier, score)
    if len(target) == 1:
      target = np.repeat(target, len(images))
    heat = api.explain(classifier, images, self.method, target,
                       **self.options)
    if expand_cam:
      heat = enlarge(classifier, heat)
    heat = heat.numpy()
    return unit(np.maximum(heat, 0)) if normalize_cam else heat


def unit(heat):
  """Each map scaled to [0, 1], as tf-keras-vis scales it."""
  axes = tuple(range(1, heat.ndim))
  low, high = heat.min(axes, keepdims=True), heat.max(axes, keepdims=True)
  return (heat - low) / (high - low + keras.config.epsilon())


def _target(classifier, score):
  """The classifier and the class indices that a Score explains."""
  kind = type(score).__name__
  if kind == "CategoricalScore":
    return classifier, np.array(score.indices)
  if kind == "BinaryScore":
    if classifier.num_classes != 1:
      raise UserError("score", "BinaryScore",
                      f"the model has {classifier.num_classes} outputs; a "
                      "BinaryScore explains a model with one")
    *features, logit = classifier.network.outputs
    both = keras.layers.Concatenate()([-logit, logit])
    network = keras.Model(classifier.network.input, [*features, both])
    return dataclasses.replace(classifier, network=network), np.array(
        score.target_values, np.int64)
  raise UserError("score", kind, "must be a CategoricalScore or a BinaryScore")
