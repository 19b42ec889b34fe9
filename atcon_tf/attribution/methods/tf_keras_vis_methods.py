"""The methods of tf-keras-vis, called as ours are, to compare.

    attribution.explain(model, images, "tf_keras_vis:gradcam")

The package is imported only then. Where the two define the same, they agree
(tests/tf_keras_vis_test.py). The differences: theirs walks back from the last
layer to a convolution before its BatchNorm (not here: the same layer is
named); its Grad-CAM++ is ours with `normalize_alpha=True`; its Score-CAM ours
with `weighting="score", alignment="aligned"`; its saliency takes the largest
channel and averages |gradient| over noise, where ours takes the sum of the
channels and the size of the average.
"""

import keras
import numpy as np
import tensorflow as tf

from atcon_tf.config import UserError

PREFIX = "tf_keras_vis:"


def _theirs(make, **arguments):
  """`build(classifier) -> fn(images, class_index)` of one of their classes."""
  def build(classifier, **options):
    try:
      import tf_keras_vis  # only here: an optional package
      from tf_keras_vis.utils import scores
    except ImportError as error:
      raise UserError(f"{PREFIX}...: install tf-keras-vis ({error})"
                      ) from error
    del tf_keras_vis
    model, layer = flat_copy(classifier)
    extra = {**arguments, **options}
    visualize = make()(model)
    if "seek_penultimate_conv_layer" in extra:
      extra["penultimate_layer"] = layer

    def explain(images, class_index):
      x = np.asarray(classifier.normalize(images))
      score = scores.CategoricalScore(np.asarray(class_index).tolist())
      heat = visualize(score, tf.constant(x), **extra)
      return tf.constant(np.asarray(heat, np.float32))

    return explain

  return build


def flat_copy(classifier):
  """A plain Keras model, normalised images -> logits, with copied weights.

  Returns:
    the model and the name of the layer of the (last) map in it.
  """
  *_, tensor, logits = classifier.network.outputs
  model = keras.Model(classifier.network.input, logits)
  copy = keras.models.clone_model(model)
  copy.set_weights(model.get_weights())
  return copy, tensor._keras_history.operation.name


def _gradcam():
  from tf_keras_vis import gradcam
  return gradcam.Gradcam


def _gradcam_plus_plus():
  from tf_keras_vis import gradcam_plus_plus
  return gradcam_plus_plus.GradcamPlusPlus


def _scorecam():
  from tf_keras_vis import scorecam
  return scorecam.Scorecam


def _layercam():
  from tf_keras_vis import layercam
  return layercam.Layercam


def _saliency():
  from tf_keras_vis import saliency
  return saliency.Saliency


_LAYER = dict(seek_penultimate_conv_layer=False, expand_cam=False,
              normalize_cam=False)
THEIRS = {
    f"{PREFIX}gradcam": _theirs(_gradcam, **_LAYER),
    f"{PREFIX}gradcam_plus_plus": _theirs(_gradcam_plus_plus, **_LAYER),
    f"{PREFIX}scorecam": _theirs(_scorecam, **_LAYER),
    f"{PREFIX}layercam": _theirs(_layercam, **_LAYER),
    f"{PREFIX}saliency": _theirs(_saliency, normalize_map=False),
    f"{PREFIX}smooth_saliency": _theirs(
        _saliency, normalize_map=False, smooth_samples=25, smooth_noise=0.15),
}
