"""The methods of the package tf-keras-vis, to compare with this project's.

    attribution.explain(model, images, "tf_keras_vis:gradcam")

Only such a call imports tf-keras-vis. Maps of the same definition agree
(tests/attribution/tf_keras_vis_test.py). The definitions differ so:

* By default tf-keras-vis takes the map of the last convolution, before its
  BatchNorm. Here it is given the layer that this project takes.
* Its Grad-CAM++ is this project's with `normalize_alpha=True`.
* Its Score-CAM is this project's with `weighting="score",
  alignment="aligned"`.
* Its saliency is the largest |gradient| of the channels, and its average over
  noise is one of |gradient|. This project's is the sum over the channels, and
  `smooth_grad` averages the signed gradients.
"""

import keras
import numpy as np
import tensorflow as tf

from atcon_tf.attribution import applicability
from atcon_tf.config.names import TF_KERAS_VIS as PREFIX
from atcon_tf.config import UserError


def _wrapped(make, **arguments):
  """A class of tf-keras-vis as a method of this project.

  Args:
    make: a function that imports and returns the class.
    **arguments: of a call of its instance.
  Returns:
    `build(classifier, **options) -> fn(images, class_index)`.
  """
  def build(classifier, **options):
    applicability.check_images(classifier, "tf-keras-vis")
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
    the model, and the name of its layer that has the (last) map.
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
METHODS = {
    f"{PREFIX}gradcam": _wrapped(_gradcam, **_LAYER),
    f"{PREFIX}gradcam_plus_plus": _wrapped(_gradcam_plus_plus, **_LAYER),
    f"{PREFIX}scorecam": _wrapped(_scorecam, **_LAYER),
    f"{PREFIX}layercam": _wrapped(_layercam, **_LAYER),
    f"{PREFIX}saliency": _wrapped(_saliency, normalize_map=False),
    f"{PREFIX}smooth_saliency": _wrapped(
        _saliency, normalize_map=False, smooth_samples=25, smooth_noise=0.15),
}
