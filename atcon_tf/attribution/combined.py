"""Maps made of other maps: products, several layers, several views."""

import numpy as np
import tensorflow as tf

from atcon_tf import geometry
from atcon_tf import maps
from atcon_tf.attribution import cam
from atcon_tf.attribution import forward
from atcon_tf.attribution import gradient


def guided_grad_cam(pass_, class_index, layer=-1):
  """Guided Grad-CAM (Selvaraju et al., arXiv 1610.02391).

  `sum_channels |g| * relu(C)`, g guided backpropagation and C Grad-CAM,
  enlarged to the image.

  Returns:
    `[B, H, W]`, not negative.

  Example:
    >>> attribution.explain(classifier, images, "guided_grad_cam").shape
    TensorShape([2, 32, 32])
  """
  coarse = enlarge(pass_.classifier, cam.grad_cam(pass_, class_index, layer),
                   layer)
  return gradient.guided_backprop(pass_, class_index) * tf.nn.relu(coarse)


def enlarge(classifier, heat, layer=None):
  """Maps at the size of the image, every cell where it lies on the image.

  Args:
    classifier: whose maps they are.
    heat: `[B, h, w]`, of a cam_layer's size or of the image's.
    layer: which cam_layer they are of; None: the last of that size.
  Returns:
    `[B, H, W]`.

  Example:
    >>> heat = attribution.explain(classifier, images, "grad_cam")
    >>> attribution.enlarge(classifier, heat).shape
    TensorShape([2, 32, 32])
  """
  size = tuple(classifier.image_size)
  if tuple(heat.shape[1:]) == size:
    return heat
  if layer is None:
    shapes = _sizes(classifier)
    own = [i for i, s in enumerate(shapes) if s == tuple(heat.shape[1:])]
    layer = own[-1] if own else None
  place = None if layer is None else classifier.geometry[layer]
  return maps.resize(heat, size, place or maps.HALF_PIXEL)


def _sizes(classifier):
  return [tuple(t.shape[1:3]) for t in classifier.maps.outputs[:-1]]


def fuse(method):
  """A CAM method over all cam_layers.

  The positive part of each layer's map is divided by its maximum, enlarged
  to the grid of the largest one, its cells where they lie on the image, and
  averaged (Jiang et al., "LayerCAM", fuse theirs by maxima).

  Args:
    method: `fn(pass_, class_index, layer=..., **options) -> [B, h, w]`.
  Returns:
    `fn(pass_, class_index, **options) -> [B, h, w]` of the largest layer's
    size, in [0, 1].
  """
  def fused(pass_, class_index, **options):
    classifier = pass_.classifier
    sizes = _sizes(classifier)
    largest = int(np.argmax([h * w for h, w in sizes]))
    total = 0
    for layer, place in enumerate(classifier.geometry):
      heat = tf.nn.relu(method(pass_, class_index, layer=layer, **options))
      peak = tf.reduce_max(heat, [1, 2], keepdims=True)
      heat /= tf.where(peak > 0, peak, tf.ones_like(peak))
      onto = classifier.geometry[largest]
      alignment = geometry.relative(place, onto) if place and onto else (
          maps.HALF_PIXEL)
      total += maps.resize(heat, sizes[largest], alignment)
    return total / len(sizes)

  return fused


def smooth_views(method, factors=(0.9, 1.0, 1.1)):
  """A method averaged over views of the image.

  The views, as in the augmentation smoothing of pytorch-grad-cam: the image
  and its mirror image, each with its normalised values multiplied by each
  factor. The maps are enlarged and mirrored back before the mean.

  Args:
    method: `fn(pass_, class_index) -> [B, h, w]`.
  Returns:
    `fn(pass_, class_index) -> [B, H, W]`, six times as expensive.

  Example:
    >>> attribution.explain(classifier, images, "grad_cam",
    ...                     smooth_views=True).shape
    TensorShape([2, 32, 32])
  """
  def smoothed(pass_, class_index):
    views = []
    for factor in factors:
      for mirrored in (False, True):
        x = factor * pass_.normalized
        view = forward.forward_normalized(
            pass_.classifier, tf.reverse(x, [2]) if mirrored else x)
        heat = enlarge(pass_.classifier, method(view, class_index))
        views.append(tf.reverse(heat, [2]) if mirrored else heat)
    return tf.add_n(views) / len(views)

  return smoothed
