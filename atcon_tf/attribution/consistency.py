"""How far two attribution maps of one prediction agree.

The two maps of the class c have different sizes. `MapAgreement.match` is one
of three ways to compare them:

* "mask", as ATCON does: the second map becomes a soft mask of the image, and
  the first map of the masked image is compared with that of the whole image;
* "upsample": both maps are enlarged to the image's size;
* "downsample": both are averaged over the cells of the smaller one.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.attribution import registry
from atcon_tf.models import geometry


@dataclasses.dataclass(frozen=True)
class MapAgreement:
  """How two maps of one prediction are compared.

  Attributes:
    first_map, second_map: methods that `registry.of_pass` has.
    match: "mask", "upsample" or "downsample"; see the top of this file.
    similarity: a key of `SIMILARITIES`.
    mask_intensity, mask_scale: of `maps.soft_mask`.
    mask: "map"; or a control that carries no information about the image:
      "constant" (0.5 everywhere) or "random" (the mask's pixels in an order
      that is always the same).
    alignment: of the resize, see `geometry.resize`; None: the classifier's
      own geometry. "aligned" is that of the authors' code.
    options: `{method: {option: value}}`, of the two maps.
  """

  first_map: str = "grad_cam"
  second_map: str = "guided_backprop"
  match: str = "mask"
  similarity: str = "pearson"
  mask_intensity: float = 8.0
  mask_scale: str = "none"
  mask: str = "map"
  alignment: str | None = None
  options: dict = dataclasses.field(default_factory=dict)

  def with_noise_of(self, images):
    """The same agreement, with SmoothGrad's seed computed from images.

    Different batches then get different noise, and a resumed run gets the
    same noise again. Without SmoothGrad nothing changes.

    Args:
      images: `[B, H, W, 3]`, or clips.
    """
    if "smooth_grad" not in (self.first_map, self.second_map):
      return self
    bits = tf.bitcast(tf.cast(images, tf.float32), tf.int32)
    smooth = {"seed": tf.reduce_sum(bits),
              **self.options.get("smooth_grad", {})}
    return dataclasses.replace(
        self, options={**self.options, "smooth_grad": smooth})

  def compare(self, pass_, target, teacher=None, stop_gradient="none"):
    """Both maps of each image's class, and how far they agree.

    Args:
      pass_: a `forward_pass.Pass` of the images.
      target: int `[B]`, the class.
      teacher: a `forward_pass.Pass` of another network, from which the first
        map of the unmasked images is taken; None: from `pass_`.
      stop_gradient: which of the two compared maps is a constant, "first" or
        "second"; or "none".
    Returns:
      dict: "first" and "second", the raw maps of the images; "similarity"
      `[B]`; and, if `match` is "mask", "mask" `[B, H, W]`, "masked"
      `[B, H, W, 3]` (normalised) and "first_masked". With a "constant" mask
      there is no "second".
    """
    first = self._map(self.first_map, teacher or pass_, target)
    found = {"first": first}
    if self.match == "mask" and self.mask == "constant":
      found |= self.under(pass_, target, first,
                          0.5 * tf.ones_like(pass_.normalized[..., 0]))
      pair = first, found["first_masked"]
    else:
      second = self._map(self.second_map, pass_, target)
      found["second"] = second
      if self.match == "mask":
        found |= self.under(pass_, target, first,
                            self._mask(self._at_size(pass_, second)))
        pair = first, found["first_masked"]
      elif self.match == "upsample":
        pair = self._at_size(pass_, first), self._at_size(pass_, second)
      else:
        size = [min(a, b) for a, b in zip(first.shape[1:], second.shape[1:])]
        pair = maps.pool(first, size), maps.pool(second, size)
    if stop_gradient == "first":
      pair = tf.stop_gradient(pair[0]), pair[1]
    elif stop_gradient == "second":
      pair = pair[0], tf.stop_gradient(pair[1])
    return {**found, "similarity": SIMILARITIES[self.similarity](*pair)}

  def under(self, pass_, target, first, mask):
    """The first map of the images under a mask.

    Args:
      pass_: a `forward_pass.Pass` of the images.
      target: int `[B]`, the class.
      first: `[B, h, w]`, the first map of the unmasked images.
      mask: `[B, H, W]` in [0, 1].
    Returns:
      dict of "mask", "masked", "first_masked", and "similarity" of
      "first_masked" with `first`.
    """
    masked = pass_.normalized * mask[..., tf.newaxis]
    again = forward_pass.forward_normalized(pass_.classifier, masked)
    first_masked = self._map(self.first_map, again, target)
    return {"mask": mask, "masked": masked, "first_masked": first_masked,
            "similarity": SIMILARITIES[self.similarity](first, first_masked)}

  def _map(self, name, pass_, target):
    return registry.of_pass(name)(
        pass_, target, **self.options.get(name, {}))

  def _at_size(self, pass_, m):
    """A map at the image's size."""
    size = pass_.normalized.shape[1:-1]
    if m.shape[1:] == size:
      return m
    return geometry.resize(m, size,
                           self.alignment or pass_.classifier.geometry[-1])

  def _mask(self, second):
    """The soft mask of the second map, or the same with shuffled pixels."""
    mask = maps.soft_mask(second, self.mask_intensity, self.mask_scale)
    if self.mask == "map":
      return mask
    shape = tf.shape(mask)
    order = np.random.default_rng(0).permutation(np.prod(mask.shape[1:]))
    return tf.reshape(tf.gather(
        tf.reshape(mask, [shape[0], -1]), order, axis=1), shape)


def pearson(first, second):
  """Pearson of the sigmoids of the standardised maps, `[B]` in [-1, 1]."""
  return maps.pearson(tf.sigmoid(maps.standardize(first)),
                      tf.sigmoid(maps.standardize(second)))


def cross_correlation(first, second):
  """`|sum sigmoid(z(a)) sigmoid(z(b))|`, `[B]`.

  The sum is over all cells, so it grows with the size of the map.
  """
  product = tf.sigmoid(maps.standardize(first)) * tf.sigmoid(
      maps.standardize(second))
  return tf.abs(tf.reduce_sum(product, list(range(1, len(product.shape)))))


def ssim(first, second):
  """SSIM of the standardised maps minus 1, `[B]`, at most 0.

  The loss is then `1 - SSIM(z(a), z(b))`; no sigmoid, as published.
  """
  return maps.ssim(maps.standardize(first), maps.standardize(second)) - 1


SIMILARITIES = {"pearson": pearson, "cross_correlation": cross_correlation,
                "ssim": ssim}

# The agreement in every table and figure, whatever a run trained with.
PUBLISHED = MapAgreement()


def explain(classifier, images, agreement=PUBLISHED):
  """Both maps of each image's predicted class, and how far they agree.

  Args:
    classifier: a `models.Classifier`.
    images: `[B, H, W, 3]` in [0, 1].
    agreement: a `MapAgreement`.
  Returns:
    the dict of `MapAgreement.compare`, with "class_index" `[B]` and "logits"
    `[B, classes]`.
  """
  pass_ = forward_pass.forward(classifier, images)
  target = tf.stop_gradient(tf.argmax(pass_.logits, -1))
  return {"class_index": target, "logits": pass_.logits,
          **agreement.compare(pass_, target)}
