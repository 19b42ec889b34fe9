"""GAIN's soft mask: an image without what the network attends to."""

import dataclasses

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.models import geometry


@dataclasses.dataclass(frozen=True)
class Attention:
  """How an image is masked by the attention of classes.

  Attributes:
    omega, sigma: slope and threshold of the soft mask.
    fill: what is seen where it is cut out, "zero" (of the normalised image),
      "mean" (the image's mean colour) or a colour `(r, g, b)` in [0, 1].
    alignment: of the resize; None: where the classifier's cells lie.
      "aligned" is the re-implementation's.
  """

  omega: float = 10.0
  sigma: float = 0.5
  fill: str | tuple = "zero"
  alignment: str | None = None

  def attend(self, pass_, classes, image=None):
    """The attention of classes, and the images without what it covers.

    Args:
      pass_: a `forward_pass.Pass` of B images.
      classes: float `[P, classes]`, 1 for those whose logits are summed.
      image: int `[P]`, which of the images each row is about; None: P = B,
        one row for each.
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
        tf.nn.relu(_grad_cam(classifier.head, features, classes)),
        normalized.shape[1:3], self.alignment or classifier.geometry[-1])
    scaled = maps.min_max(heatmap)
    mask = tf.sigmoid(self.omega * (scaled - self.sigma))
    cut = mask[..., tf.newaxis]
    masked = normalized - normalized * cut
    if self.fill == "mean":
      masked += cut * tf.reduce_mean(normalized, [1, 2], keepdims=True)
    elif self.fill != "zero":
      color = tf.constant([[[self.fill]]], normalized.dtype)
      masked += cut * classifier.normalize(color)
    return {"heatmap": heatmap, "scaled": scaled, "mask": mask,
            "masked": masked}


def _grad_cam(head, features, classes):
  """Grad-CAM of the sum of some logits; its weights alpha are constants."""
  with tf.GradientTape() as tape:
    tape.watch(features)
    score = tf.reduce_sum(head(features, training=False) * classes)
  alpha = tf.reduce_mean(tape.gradient(score, features), [1, 2],
                         keepdims=True)
  return tf.reduce_sum(tf.stop_gradient(alpha) * features, -1)


def explain(classifier, images, classes, attention=Attention()):
  """The attention of classes, and what is left of them without it.

  Args:
    classifier: a `models.Classifier`.
    images: `[B, H, W, 3]` in [0, 1].
    classes: `[B, classes]`, 1 for those explained; None: the highest logit.
    attention: an `Attention`.
  Returns:
    what `Attention.attend` gives, "classes", and the "logits" and
    "logits_masked" `[B, classes]` of both passes.

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
