"""ATCON: attention consistency (Mirzazadeh, Dubost et al., WACV 2023).

arXiv 2210.09705. As published, the Grad-CAM of an image should not change
when the image is masked by what guided backpropagation says matters:

    c   = argmax of the logits of x
    G   = guided backpropagation of class c at x
    T   = sigmoid(k (G - (mean(G) + std(G) / 2)))
    C1  = Grad-CAM of class c at x,  C2 = Grad-CAM of class c at x * T
    loss = - Pearson(sigmoid(z(C1)), sigmoid(z(C2))),  z(m) = (m - mean) / std

x is the normalised image. Nothing is detached: the gradient runs through
both maps, the mask and the guided reverse pass (second derivatives); only the
hard decisions (class, gates) are constants.

In general, of a first map F and a second map S of one prediction, any two of
`attribution.DIFFERENTIABLE`:

    match=mask        compare F(x) with F(x * T(S(x)))
    match=upsample    compare F(x) with S(x) at the image's size
    match=downsample  compare them at the smaller map's size

With Grad-CAM and guided backpropagation these are modes 2, 0 and 1 of the
authors' code; its mode 3 is guided backpropagation masked by Grad-CAM with
k = 32, its mode 4 Grad-CAM against SmoothGrad, upsampled.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf import maps
from atcon_tf.attribution import forward
from atcon_tf.objectives import objective


@dataclasses.dataclass(frozen=True)
class Story:
  """How two maps of one prediction are compared.

  Attributes:
    first_map, second_map: keys of `attribution.DIFFERENTIABLE`.
    match: "mask", "upsample" or "downsample"; see the top of the file.
    similarity: a key of `SIMILARITIES`.
    mask_intensity, mask_scale: of `maps.soft_mask`.
    mask: "map"; or a control that carries no information about the image:
      "constant" (0.5 everywhere) or "random" (the mask's pixels in an order
      that is always the same).
    alignment: of the resize; None: where the classifier's cells lie.
      "aligned" is the authors' code, the same at sizes of a symmetric map.
    options: `{map: {option: value}}`, of the attribution methods.
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
    """The same story; SmoothGrad draws its noise by these images.

    Other batches get other noise, and a resumed run the same again.
    """
    if "smooth_grad" not in (self.first_map, self.second_map):
      return self
    bits = tf.bitcast(tf.cast(images, tf.float32), tf.int32)
    smooth = {"seed": tf.reduce_sum(bits),
              **self.options.get("smooth_grad", {})}
    return dataclasses.replace(
        self, options={**self.options, "smooth_grad": smooth})

  def tell(self, pass_, target, teacher=None, stop_gradient="none"):
    """Both maps of each image's class, and how far they agree.

    Args:
      pass_: a `forward.Pass` of the images.
      target: int `[B]`, the class.
      teacher: the `forward.Pass` of another network whose first map of the
        unmasked image takes the place of this one's.
      stop_gradient: "none"; or which of the two compared maps is a constant,
        "first" or "second".
    Returns:
      dict: "first" and "second", the raw maps of the images; "similarity"
      `[B]`; and, where they are matched by a mask, "mask" `[B, H, W]`,
      "masked" `[B, H, W, 3]` (normalised) and "first_masked".
    """
    first = self._map(self.first_map, teacher or pass_, target)
    story = {"first": first}
    if self.match == "mask" and self.mask == "constant":
      story |= self.under(pass_, target, first,
                          0.5 * tf.ones_like(pass_.normalized[..., 0]))
      pair = first, story["first_masked"]
    else:
      second = self._map(self.second_map, pass_, target)
      story["second"] = second
      if self.match == "mask":
        story |= self.under(pass_, target, first,
                            self._mask(self._at_size(pass_, second)))
        pair = first, story["first_masked"]
      elif self.match == "upsample":
        pair = self._at_size(pass_, first), self._at_size(pass_, second)
      else:
        size = [min(a, b) for a, b in zip(first.shape[1:], second.shape[1:])]
        pair = maps.pool(first, size), maps.pool(second, size)
    if stop_gradient == "first":
      pair = tf.stop_gradient(pair[0]), pair[1]
    elif stop_gradient == "second":
      pair = pair[0], tf.stop_gradient(pair[1])
    return {**story, "similarity": SIMILARITIES[self.similarity](*pair)}

  def under(self, pass_, target, first, mask):
    """The first map of the images under a mask.

    Returns:
      dict of "mask", "masked", "first_masked", and "similarity" with the map
      `first` of the unmasked images.
    """
    masked = pass_.normalized * mask[..., tf.newaxis]
    again = forward.forward_normalized(pass_.classifier, masked)
    first_masked = self._map(self.first_map, again, target)
    return {"mask": mask, "masked": masked, "first_masked": first_masked,
            "similarity": SIMILARITIES[self.similarity](first, first_masked)}

  def _map(self, name, pass_, target):
    return attribution.DIFFERENTIABLE[name](
        pass_, target, **self.options.get(name, {}))

  def _at_size(self, pass_, m):
    """A map at the image's size, where its cells belong."""
    size = pass_.normalized.shape[1:3]
    if m.shape[1:3] == size:
      return m
    return maps.resize(m, size,
                       self.alignment or pass_.classifier.geometry[-1])

  def _mask(self, second):
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
  """`|sum sigmoid(z(a)) sigmoid(z(b))|`, `[B]`; grows with the map's size."""
  product = tf.sigmoid(maps.standardize(first)) * tf.sigmoid(
      maps.standardize(second))
  return tf.abs(tf.reduce_sum(product, [1, 2]))


def ssim(first, second):
  """SSIM of the standardised maps minus 1, `[B]`, at most 0.

  The loss is then `1 - SSIM(z(a), z(b))`; no sigmoid, as published.
  """
  return maps.ssim(maps.standardize(first), maps.standardize(second)) - 1


SIMILARITIES = {"pearson": pearson, "cross_correlation": cross_correlation,
                "ssim": ssim}

# What consistency means in every table and picture, whatever was trained.
PUBLISHED = Story()


class Atcon(objective.Objective):
  """Minus the similarity of two maps of each image's prediction.

  Terms: "consistency", the loss; where a mask matches the maps "mask_mean"
  and "mask_std", its mean and standard deviation over the image, only
  logged: a mask of standard deviation 0 masks nothing.
  """

  def __init__(self, classifier, story=PUBLISHED, target="argmax",
               stop_gradient="none", teacher=None, ema_decay=0.99,
               weight=1.0):
    """Prepares the loss.

    Args:
      classifier: a `models.Classifier`.
      story: a `Story`.
      target: the class that is explained: "argmax" of the logits; "labels",
        the highest logit among the image's labels; "top2", the mean over
        the two highest logits.
      stop_gradient: see `Story.tell`.
      teacher: a `Classifier` that will follow the weights by moving
        averages, or None.
      ema_decay: of these averages: `v <- d v + (1 - d) w` at each update.
      weight: of the term in the loss.
    Raises:
      UserError: a guided map has no meaning for this network.
    """
    logged = {"mask_mean": 0.0, "mask_std": 0.0} if (
        story.match == "mask") else {}
    super().__init__(classifier, consistency=weight, **logged)
    for name in (story.first_map, story.second_map):
      attribution.check(classifier, name)
    self.story, self.target = story, target
    self.stop_gradient, self.teacher = stop_gradient, teacher
    self.ema_decay = ema_decay
    if teacher:
      self.state = list(teacher.model.variables)

  def call(self, batch, training=False):
    pass_ = forward.forward(self.classifier, batch["image"])
    taught = None
    if self.teacher:
      taught = forward.forward(self.teacher, batch["image"])
    story = self.story.with_noise_of(batch["image"])
    told = [story.tell(pass_, target, taught, self.stop_gradient)
            for target in targets(pass_.logits, batch, self.target)]
    value = -tf.add_n([t["similarity"] for t in told]) / len(told)
    one = tf.ones_like(value)
    terms = {"consistency": (value, one)}
    if "mask" in told[0]:
      mean, variance = maps.moments(told[0]["mask"])
      terms["mask_mean"] = (tf.reshape(mean, [-1]), one)
      terms["mask_std"] = (tf.sqrt(tf.reshape(variance, [-1])), one)
    return terms

  def after_update(self):
    if self.teacher:
      for mean, variable in zip(self.state, self.classifier.model.variables):
        mean.assign(self.ema_decay * mean + (1 - self.ema_decay) * variable)


def targets(logits, batch, target):
  """The classes that are explained, a list of int `[B]`; constants."""
  logits = tf.stop_gradient(logits)
  if target == "top2":
    return tf.unstack(tf.math.top_k(logits, 2).indices, axis=1)
  if target == "labels":
    lowest = tf.fill(tf.shape(logits), logits.dtype.min)
    logits = tf.where(tf.cast(batch["label"], tf.bool), logits, lowest)
  return [tf.argmax(logits, -1)]


def explain(classifier, images, story=PUBLISHED):
  """A story of each image's predicted class.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
  Returns:
    what `Story.tell` gives, "class_index" `[B]` and "logits" `[B, classes]`.
  """
  pass_ = forward.forward(classifier, images)
  target = tf.stop_gradient(tf.argmax(pass_.logits, -1))
  return {"class_index": target, "logits": pass_.logits,
          **story.tell(pass_, target)}
