"""ATCON: attention consistency (Mirzazadeh, Dubost et al., WACV 2023).

arXiv 2210.09705. The Grad-CAM of an image should not change when the image
is masked by what guided backpropagation says matters:

    c   = argmax of the logits of x
    G   = guided backpropagation of class c at x
    T   = sigmoid(k (G - (mean(G) + std(G) / 2)))
    C1  = Grad-CAM of class c at x,  C2 = Grad-CAM of class c at x * T
    loss = - Pearson(sigmoid(z(C1)), sigmoid(z(C2))),  z(m) = (m - mean) / std

x is the normalised image. Nothing is detached: the gradient runs through
both maps, the mask and the guided reverse pass (second derivatives); only the
hard decisions (class, gates) are constants.
"""

import tensorflow as tf

from atcon_tf import attribution
from atcon_tf import maps
from atcon_tf.attribution import cam
from atcon_tf.attribution import forward
from atcon_tf.attribution import gradient
from atcon_tf.objectives import objective


class Atcon(objective.Objective):
  """Minus the consistency of Grad-CAM under the guided mask.

  Terms: "consistency" (the loss, in [-1, 1]); "mask_mean" and "mask_std",
  the mask's mean and standard deviation over the image, are only logged: a
  mask of standard deviation 0 masks nothing.

  Raises:
    UserError: guided backpropagation has no meaning for this network.
  """

  def __init__(self, classifier, mask_intensity=8.0, mask_scale="none",
               weight=1.0):
    super().__init__(classifier, consistency=weight, mask_mean=0.0,
                     mask_std=0.0)
    attribution.check(classifier, "guided_backprop")
    self.mask_intensity = mask_intensity
    self.mask_scale = mask_scale

  def call(self, batch, training=False):
    story = explain(self.classifier, batch["image"], self.mask_intensity,
                    self.mask_scale)
    value = -story["consistency"]
    one = tf.ones_like(value)
    mean, variance = maps.moments(story["mask"])
    return {"consistency": (value, one),
            "mask_mean": (tf.reshape(mean, [-1]), one),
            "mask_std": (tf.sqrt(tf.reshape(variance, [-1])), one)}


def explain(classifier, images, mask_intensity=8.0, mask_scale="none"):
  """Both maps of each image's predicted class, and how far they agree.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
    mask_intensity, mask_scale: see `maps.soft_mask`.
  Returns:
    dict: "class_index" `[B]`; "logits" `[B, classes]`; "cam" and
    "masked_cam" `[B, h, w]`, raw; "guided" and "mask" `[B, H, W]`;
    "masked" `[B, H, W, 3]`, normalised; "consistency" `[B]` in [-1, 1].
  """
  pass_ = forward.forward(classifier, images)
  target = tf.stop_gradient(tf.argmax(pass_.logits, -1))
  story = {"class_index": target, "logits": pass_.logits,
           "cam": cam.grad_cam(pass_, target),
           "guided": gradient.guided_backprop(pass_, target)}
  mask = maps.soft_mask(story["guided"], mask_intensity, mask_scale)
  return {**story, **under_mask(classifier, pass_, target, story["cam"], mask)}


def under_mask(classifier, pass_, target, first_map, mask):
  """Grad-CAM of the masked images beside that of the images.

  Args:
    pass_: the `forward.Pass` of the images.
    target: int `[B]`, the class.
    first_map: `[B, h, w]`, their Grad-CAM.
    mask: `[B, H, W]` in [0, 1].
  Returns:
    dict of "mask", "masked", "masked_cam" and "consistency"; see `explain`.
  """
  masked = pass_.normalized * mask[..., tf.newaxis]
  second = forward.forward_normalized(classifier, masked)
  masked_cam = cam.grad_cam(second, target)
  return {"mask": mask, "masked": masked, "masked_cam": masked_cam,
          "consistency": consistency(first_map, masked_cam)}


def consistency(first_map, second_map):
  """Pearson correlation of the sigmoids of the standardised maps, `[B]`."""
  return maps.pearson(tf.sigmoid(maps.standardize(first_map)),
                      tf.sigmoid(maps.standardize(second_map)))
