"""The one forward pass that every gradient method of a batch shares.

    pass_ = forward_pass.forward(classifier, images)
    heat = cam.grad_cam(pass_, class_index)
    guided = gradient.guided_backprop(pass_, class_index)   # the same pass
"""

import dataclasses

import tensorflow as tf

from atcon_tf.config import one_of
from atcon_tf.config import UserError
from atcon_tf import models

# What of the logits z `[B, classes]` is explained.
OUTPUTS = {"logit": tf.identity, "probability": tf.nn.softmax,
           "sigmoid": tf.sigmoid}
# The factor of gradients inside a network in float16.
SCALE = 1024


@dataclasses.dataclass(frozen=True)
class Pass:
  """A recorded forward pass.

  Tensors of a network in half precision are float32 here, and so are the maps
  and losses that are computed from them; other dtypes are kept.

  Attributes:
    normalized: `[B, H, W, 3]`, the normalised images, or `[B, T, H, W, 3]`
      of clips.
    features: list with the map of each of the classifier's cam_layers,
      `[B, h, w, K]`; of clips `[B, t, h, w, K]`.
    logits: `[B, classes]`.
    tape: persistent; has watched `normalized`, so that gradients of the
      logits can be taken with respect to it and to every feature map.
    classifier: the `models.Classifier` that ran; methods that look at further
      images (noisy, blended with a baseline, masked) run them through it.
    recorded: the feature maps before their cast and their grouping into
      clips, as the tape recorded them.
  """

  normalized: tf.Tensor
  features: list
  logits: tf.Tensor
  tape: tf.GradientTape
  classifier: models.Classifier
  recorded: list

  def gradient(self, class_index, source, output="logit"):
    """`d y_c / d source`, `y_c` the logit of each image's class.

    One gradient of the summed scores gives all images' own gradients, since
    no image's logits depend on another image (BatchNorm is frozen).

    Args:
      class_index: int `[B]`.
      source: `normalized`, one of `features`, or a list of them.
      output: what y_c is, a key of `OUTPUTS`: the "logit", the softmax
        "probability" or the "sigmoid".
    """
    with self.tape:
      score = pick(self.logits, class_index, output)
    return self.gradient_of_score(score, source)

  def gradient_of(self, weights, source):
    """`d (sum_c weights_c y_c) / d source` of the logits y, see `gradient`.

    Args:
      weights: `[B, classes]`.
      source: as for `gradient`.
    """
    with self.tape:
      score = tf.reduce_sum(weights * self.logits, -1)
    return self.gradient_of_score(score, source)

  def gradient_of_score(self, score, source):
    """`d score / d source`, see `gradient`.

    Args:
      score: `[B]`, computed in a block `with pass_.tape`.
      source: as for `gradient`.
    """
    known = {id(cast): own for cast, own in zip(self.features, self.recorded)}
    # A gradient of 1e-5 has few digits in float16, one of 1e-2 has them all.
    scaled = any(t.dtype == tf.float16 for t in self.recorded)
    gradient = self.tape.gradient(score, tf.nest.map_structure(
        lambda tensor: known.get(id(tensor), tensor), source),
                                  SCALE * tf.ones_like(score) if scaled
                                  else None)
    gradient = tf.nest.map_structure(self._of_clips, gradient)
    return tf.nest.map_structure(
        lambda g: g / SCALE, gradient) if scaled else gradient

  def _of_clips(self, gradient):
    return None if gradient is None else self.classifier.per_clip(
        _full_precision(gradient))


def own_output(multi_label):
  """The key of `OUTPUTS` that is a classifier's own probability.

  Args:
    multi_label: an image may show several classes: "sigmoid"; otherwise
      "probability".
  """
  return "sigmoid" if multi_label else "probability"


def pick(logits, class_index, output="logit"):
  """The logit, probability or sigmoid of each image's class, `[B]`."""
  values = OUTPUTS[check("output", output, OUTPUTS)](logits)
  return tf.gather(values, class_index, batch_dims=1)


def check(name, value, allowed):
  """Refuses a value of an option.

  Raises:
    UserError: it is none of those allowed.
  """
  if value not in allowed:
    raise UserError(name, value, one_of(value, allowed))
  return value


def score(classifier, normalized, class_index, output="logit"):
  """y_c of images that are normalised already, `[B]`, without a tape."""
  logits = classifier.maps(normalized, training=False)[-1]
  return pick(logits, class_index, output)


def forward(classifier, images):
  """Runs images `[B, H, W, 3]`, or clips, in [0, 1]; returns a `Pass`."""
  return forward_normalized(classifier, classifier.normalize(images))


def forward_normalized(classifier, normalized):
  """Runs images that are normalised already; returns a `Pass`."""
  normalized = _full_precision(normalized)
  tape = tf.GradientTape(persistent=True)
  with tape:
    tape.watch(normalized)
    *recorded, logits = classifier.maps(normalized, training=False)
    features = [classifier.per_clip(_full_precision(tensor))
                for tensor in recorded]
    logits = _full_precision(logits)
  return Pass(normalized, features, logits, tape, classifier, recorded)


def _full_precision(tensor):
  """A tensor in float32 if it is in half precision, else as it is."""
  half = tensor is not None and tensor.dtype in (tf.float16, tf.bfloat16)
  return tf.cast(tensor, tf.float32) if half else tensor
