"""Maps made of other maps: a product, several layers, several views."""

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import cam
from atcon_tf.attribution.methods import gradient
from atcon_tf.models.classifier import enlarge
from atcon_tf.models.classifier import map_sizes
from atcon_tf.models import geometry


def guided_grad_cam(pass_, class_index, layer=-1):
  """Guided Grad-CAM (Selvaraju et al., arXiv 1610.02391).

  `sum_channels |g| * relu(C)`, g guided backpropagation and C Grad-CAM,
  enlarged to the image.

  Args:
    pass_: a `forward_pass.Pass`.
    class_index: int `[B]`.
    layer: index of the cam_layer of C.
  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "guided_grad_cam").shape
    TensorShape([2, 32, 32])
  """
  coarse = enlarge(pass_.classifier, cam.grad_cam(pass_, class_index, layer),
                   layer)
  return gradient.guided_backprop(pass_, class_index) * tf.nn.relu(coarse)


def fuse(method):
  """A CAM method over all cam_layers.

  The positive part of each layer's map is divided by its maximum and enlarged
  to the grid of the largest map, each cell where it lies on the image; the
  result is the mean over the layers. (Jiang et al., "LayerCAM", take the
  maximum instead.)

  Args:
    method: `fn(pass_, class_index, layer=..., **options) -> [B, h, w]`.
  Returns:
    `fn(pass_, class_index, **options) -> [B, h, w]` of the largest layer's
    size, in [0, 1].
  """
  def fused(pass_, class_index, **options):
    classifier = pass_.classifier
    sizes = map_sizes(classifier)
    largest = int(np.argmax([np.prod(size) for size in sizes]))
    total = 0
    for layer, place in enumerate(classifier.geometry):
      heat = tf.nn.relu(method(pass_, class_index, layer=layer, **options))
      peak = tf.reduce_max(heat, list(range(1, len(heat.shape))),
                           keepdims=True)
      heat /= tf.where(peak > 0, peak, tf.ones_like(peak))
      onto = classifier.geometry[largest]
      alignment = geometry.relative(place, onto) if place and onto else (
          geometry.HALF_PIXEL)
      total += geometry.resize(heat, sizes[largest], alignment)
    return total / len(sizes)

  return fused


def smooth_views(method, factors=(0.9, 1.0, 1.1)):
  """A method averaged over views of the image.

  The views are those of the augmentation smoothing of pytorch-grad-cam: the
  image and its mirror image, each with its normalised values multiplied by
  each factor. The maps are enlarged, and mirrored back, before the mean.

  Args:
    method: `fn(pass_, class_index) -> [B, h, w]`.
    factors: of the normalised values.
  Returns:
    `fn(pass_, class_index) -> [B, H, W]`, which calls `method` for each of
    the `2 * len(factors)` views.

  Example:
    >>> attribution.explain(classifier, images, "grad_cam",
    ...                     smooth_views=True).shape
    TensorShape([2, 32, 32])
  """
  def smoothed(pass_, class_index):
    columns, views = len(pass_.normalized.shape) - 2, []
    for factor in factors:
      for mirrored in (False, True):
        x = factor * pass_.normalized
        view = forward_pass.forward_normalized(
            pass_.classifier, tf.reverse(x, [columns]) if mirrored else x)
        heat = enlarge(pass_.classifier, method(view, class_index))
        views.append(tf.reverse(heat, [columns]) if mirrored else heat)
    return tf.add_n(views) / len(views)

  return smoothed
