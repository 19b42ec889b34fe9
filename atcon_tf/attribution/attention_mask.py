"""GAIN's soft mask: images without the pixels that classes depend on.

Guided Attention Inference Network (Li et al., arXiv 1802.10171): a soft mask
made of Grad-CAM removes what the network attends to. `objectives/gain.py` has
the formulas and the loss.
"""

import dataclasses

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.attribution.methods import cam
from atcon_tf.models import feature_norm
from atcon_tf.models import geometry


@dataclasses.dataclass(frozen=True)
class Attention:
  """How an image is masked by the attention of classes.

  Attributes:
    omega, sigma: slope and threshold of the soft mask.
    fill: the colour of the removed pixels: "zero" (of the normalised image),
      "mean" (the image's mean colour) or `(r, g, b)` in [0, 1].
    alignment: of the resize, see `geometry.resize`; None: the classifier's
      own geometry. "aligned" is that of the published re-implementation.
  """

  omega: float = 10.0
  sigma: float = 0.5
  fill: str | tuple = "zero"
  alignment: str | None = None

  def attend(self, pass_, classes, image=None):
    """The attention map of classes, and the images without its pixels.

    Args:
      pass_: a `forward_pass.Pass` of B images.
      classes: float `[P, classes]`, 1 for those whose logits are summed.
      image: int `[P]`, the image of each row of `classes`; None: P = B, and
        row i belongs to image i.
    Returns:
      dict of "heatmap", "scaled" and "mask" `[P, H, W]`, and "masked"
      `[P, H, W, 3]`, normalised.
    """
    normalized, features = pass_.normalized, pass_.features[-1]
    if image is not None:
      normalized = tf.gather(normalized, image)
      features = tf.gather(features, image)
    classifier = pass_.classifier
    heatmap = geometry.resize(
        tf.nn.relu(_grad_cam(classifier, features, classes)),
        normalized.shape[1:-1], self.alignment or classifier.geometry[-1])
    scaled = maps.min_max(heatmap)
    mask = tf.sigmoid(self.omega * (scaled - self.sigma))
    cut = mask[..., tf.newaxis]
    masked = normalized - normalized * cut
    if self.fill == "mean":
      masked += cut * tf.reduce_mean(
          normalized, list(range(1, len(cut.shape) - 1)), keepdims=True)
    elif self.fill != "zero":
      color = tf.constant(self.fill, normalized.dtype)
      masked += cut * classifier.normalize(color)
    return {"heatmap": heatmap, "scaled": scaled, "mask": mask,
            "masked": masked}


def _grad_cam(classifier, features, classes):
  """Grad-CAM of the sum of some logits; its weights alpha are constants."""
  with tf.GradientTape() as tape:
    tape.watch(features)
    score = tf.reduce_sum(
        classifier.head(features, training=False) * classes)
  with feature_norm.constant_length():
    alpha = tf.reduce_mean(
        tape.gradient(score, features),
        cam.cells(features, classifier.temporal_weights), keepdims=True)
  return tf.reduce_sum(tf.stop_gradient(alpha) * features, -1)


def explain(classifier, images, classes, attention=Attention()):
  """The attention of classes, and the logits of images without it.

  Args:
    classifier: a `models.Classifier`.
    images: `[B, H, W, 3]` in [0, 1].
    classes: `[B, classes]`, 1 for those explained; None: for each image the
      class of the highest logit.
    attention: an `Attention`.
  Returns:
    the dict of `Attention.attend`, with "classes", and with the "logits" and
    "logits_masked" `[B, classes]` of the whole and of the masked images.

  Example:
    >>> attended = attention_mask.explain(classifier, images, None)
    >>> attended["logits_masked"].shape
    TensorShape([2, 3])
  """
  pass_ = forward_pass.forward(classifier, images)
  if classes is None:
    classes = tf.one_hot(tf.argmax(pass_.logits, -1), classifier.num_classes)
  classes = tf.cast(classes, pass_.logits.dtype)
  attended = attention.attend(pass_, classes)
  again = forward_pass.forward_normalized(classifier, attended["masked"])
  return {**attended, "classes": classes, "logits": pass_.logits,
          "logits_masked": again.logits}
