"""Our methods as tf-keras-vis's users call theirs.

With its `Score` objects and model modifiers:

    from tf_keras_vis.utils.scores import CategoricalScore
    gradcam = Visualization(model, "grad_cam", ReplaceToLinear())
    heat = gradcam(CategoricalScore([1, 294]), images)
"""

import dataclasses

import keras
import numpy as np

from atcon_tf.attribution import api
from atcon_tf.models.classifier import enlarge
from atcon_tf.config import UserError


class Visualization:
  """One of our methods, called as tf-keras-vis calls its own."""

  def __init__(self, model, method="grad_cam", model_modifier=None,
               clone=True, **options):
    """Prepares a model.

    Args:
      model: a functional or Sequential Keras model; not changed if `clone`.
      method: a key of `attribution.METHODS`.
      model_modifier: of tf_keras_vis.utils.model_modifiers, or a list, or a
        function. (A final softmax is taken off anyway.)
      clone: see tf-keras-vis.
      **options: of the method.
    """
    modifiers = model_modifier if isinstance(model_modifier, (
        list, tuple)) else [model_modifier] if model_modifier else []
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
      score: a CategoricalScore or BinaryScore.
      seed_input: `[B, H, W, 3]` or one image, what the model expects.
      penultimate_layer: name of the layer of the map.
      expand_cam: at the size of the images.
      normalize_cam: the positive part, from 0 to 1.
      **ignored: other arguments of tf-keras-vis are not used.
    """
    del ignored
    images = np.asarray(seed_input, np.float32)
    images = images[np.newaxis] if images.ndim == 3 else images
    classifier = self._classifier(penultimate_layer)
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
  """Each map from 0 to 1, as tf-keras-vis has it."""
  low, high = heat.min((1, 2), keepdims=True), heat.max((1, 2), keepdims=True)
  return (heat - low) / (high - low + keras.config.epsilon())


def _target(classifier, score):
  """The classifier and class indices that a Score stands for."""
  kind = type(score).__name__
  if kind == "CategoricalScore":
    return classifier, np.array(score.indices)
  if kind == "BinaryScore":
    if classifier.num_classes != 1:
      raise UserError(f"BinaryScore: the model has {classifier.num_classes} "
                      "outputs; it goes with one")
    *features, logit = classifier.network.outputs
    both = keras.layers.Concatenate()([-logit, logit])
    network = keras.Model(classifier.network.input, [*features, both])
    return dataclasses.replace(classifier, network=network), np.array(
        score.target_values, np.int64)
  raise UserError(f"score: {kind} is not known; use CategoricalScore or "
                  "BinaryScore")
