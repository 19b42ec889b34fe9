"""The one forward pass that every gradient method of a batch shares.

    pass_ = forward.forward(classifier, images)
    cam = cam.grad_cam(pass_, class_index)
    guided = gradient.guided_backprop(pass_, class_index)   # same pass
"""

import dataclasses

import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf import models

# What of the logits z `[B, classes]` is explained.
OUTPUTS = {"logit": tf.identity, "probability": tf.nn.softmax,
           "sigmoid": tf.sigmoid}


@dataclasses.dataclass(frozen=True)
class Pass:
  """A recorded forward pass.

  Attributes:
    normalized: `[B, H, W, 3]`, the images as the network sees them.
    features: list with the map of each of the classifier's cam_layers,
      `[B, h, w, K]`.
    logits: `[B, classes]`.
    tape: persistent; has watched `normalized`, so that gradients of the
      logits can be taken with respect to it and to every feature map.
    classifier: whose pass it is; methods that look at further images
      (noisy, blended with a baseline, masked) run them through it.
  """

  normalized: tf.Tensor
  features: list
  logits: tf.Tensor
  tape: tf.GradientTape
  classifier: models.Classifier

  def gradient(self, class_index, source, output="logit"):
    """`d y_c / d source`, `y_c` the logit of each image's class.

    One gradient of the summed scores gives all images' own gradients, since
    no image's logits depend on another image (BatchNorm is frozen).

    Args:
      class_index: int `[B]`.
      source: `normalized` or one of `features`.
      output: of which y_c is one, a key of `OUTPUTS`: the "logit", the
        softmax "probability" or the "sigmoid".
    """
    with self.tape:
      score = pick(self.logits, class_index, output)
    return self.tape.gradient(score, source)


def pick(logits, class_index, output="logit"):
  """The logit, probability or sigmoid of each image's class, `[B]`."""
  return tf.gather(OUTPUTS[check(
      "output", output, OUTPUTS)](logits), class_index, batch_dims=1)


def check(name, value, allowed):
  """The value of an option.

  Raises:
    UserError: it is none of those allowed.
  """
  if value not in allowed:
    raise UserError(f"{name}={value}: must be one of {', '.join(allowed)}")
  return value


def score(classifier, normalized, class_index, output="logit"):
  """y_c of images that are normalised already, `[B]`, without a tape."""
  logits = classifier.maps(normalized, training=False)[-1]
  return pick(logits, class_index, output)


def forward(classifier, images):
  """Runs images `[B, H, W, 3]` in [0, 1]; returns a `Pass`."""
  return forward_normalized(classifier, classifier.normalize(images))


def forward_normalized(classifier, normalized):
  """Runs images that are normalised already; returns a `Pass`."""
  tape = tf.GradientTape(persistent=True)
  with tape:
    tape.watch(normalized)
    *features, logits = classifier.maps(normalized, training=False)
  return Pass(normalized, features, logits, tape, classifier)
