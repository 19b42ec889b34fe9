"""GAIN: guided attention inference (Li, Wu, Peng, Ernst, Fu, CVPR 2018).

arXiv 1802.10171, on labelled images x with the labels Y. A class that can
still be told once its attention is cut out of the image was not attended to
completely, so what is left of its score is made small (attention mining);
where somebody drew the class, its attention should lie there (extra
supervision, "GAIN_ext"). A is the map of `cam_layer`, y_c a logit:

    alpha  = mean_ij d (sum_{c in Y} y_c) / d A_ij           a constant
    h      = resize(relu(sum_k alpha_k A_k))                 to the image
    scaled = (h - min h) / (max h - min h)
    T      = sigmoid(omega (scaled - sigma))
    masked = x (1 - T) + fill T
    AM     = 1/|Y| sum_{c in Y} softmax(logits(masked))_c
    EX     = mean over the pixels of (scaled - mask)^2
    loss   = cl_weight CL + am_weight mean AM + ex_weight mean EX

CL is the cross-entropy of `supervised.py`. The mean of AM is over the images
that have a label to mine, that of EX over those that have a mask. The paper
can be read in two ways, as the open re-implementation found: all labels of an
image at once, as above ("joint"), or one h, T and masked image for each label,
AM and EX being their mean ("per_label").

x is the normalised image. BatchNorm is frozen in the two passes above; under
`training` the cross-entropy takes a third.
"""

import keras
import tensorflow as tf

from atcon_tf.attribution import attention_mask
from atcon_tf.attribution import forward_pass
from atcon_tf.config import UserError
from atcon_tf.config.objective_settings.gain_settings import Gain as Settings
from atcon_tf.data import class_masks
from atcon_tf.objectives import base
from atcon_tf.objectives import supervised


class Gain(base.Objective):
  """Terms "supervised" (CL), "attention_mining" and "extra_supervision".

  A term of weight 0 is not computed, but for the first. Before its start
  step a term counts for nothing and is logged as 0.
  """

  def __init__(self, classifier, attention=attention_mask.Attention(),
               multi_label=True, masks=Settings.gain_masks,
               cl_weight=Settings.cl_weight, am_weight=Settings.am_weight,
               ex_weight=Settings.ex_weight, negative=None,
               am_gradient_scale=Settings.am_gradient_scale,
               am_start_step=Settings.am_start_step,
               ex_start_step=Settings.ex_start_step):
    """Prepares the loss.

    Args:
      classifier: a `models.Classifier`.
      attention: an `Attention`.
      multi_label: several labels an image, or one.
      masks: "per_label" or "joint"; see the top of the file.
      cl_weight, am_weight, ex_weight: of the terms in the loss.
      negative: index of the class "nothing there", which has no attention to
        mine; None: every label has.
      am_gradient_scale: of the gradient that the weights get in the pass of
        the masked image, but not through that image; 0: constants there.
      am_start_step, ex_start_step: updates before a term sets in.
    Raises:
      UserError: other paths lead around the last cam_layer.
    """
    super().__init__(classifier, supervised=cl_weight,
                     attention_mining=am_weight,
                     extra_supervision=ex_weight)
    self.attention, self.multi_label = attention, multi_label
    self.masks, self.negative = masks, negative
    self.am_gradient_scale = am_gradient_scale
    self.start = {"attention_mining": am_start_step,
                  "extra_supervision": ex_start_step}
    self.mask_options = None  # of `class_masks.ClassMasks`
    self.state = [keras.Variable(0, dtype="int32", trainable=False)]
    classifier.head  # made here, not inside a traced step

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    """See `Objective.from_config`.

    Raises:
      UserError: --am_on=all for data that are not of two classes.
    """
    del twin
    binary = classifier.num_classes == 2 and not task.multi_label
    if config.am_on == "all" and not binary:
      raise UserError("am_on", "all", "goes with data of two classes, one "
                      "label an image; here every label is a positive one")
    fill = config.gain_fill
    if fill not in ("zero", "mean"):
      fill = tuple(int(value) / 255 for value in fill.split(","))
    gain = cls(
        classifier,
        attention_mask.Attention(config.gain_omega, config.gain_sigma, fill),
        task.multi_label, config.gain_masks, config.cl_weight, config.am_weight,
        config.ex_weight,
        0 if binary and config.am_on == "positives" else None,
        config.am_gradient_scale if config.am_gradients == "on" else 0.0,
        config.am_start_step, config.ex_start_step)
    if config.ex_weight:
      gain.mask_options = dict(source=config.ex_masks,
                               fraction=config.ex_fraction,
                               seed=config.split_seed)
    return gain

  def columns(self, records, size):
    """The labels and, for the extra supervision, the masks."""
    columns = super().columns(records, size)
    if self.mask_options is not None:
      columns["mask"] = class_masks.ClassMasks(records, size,
                                               **self.mask_options)
    return columns

  def call(self, batch, training=False):
    """See `Objective.call`; for the extra supervision the batch holds "mask".

    That is uint8 `[B, H, W, classes]`: 1 inside the class, 0 outside, 255
    unknown. An image without a 1 for its labels has no mask.
    """
    pass_ = forward_pass.forward(self.classifier, batch["image"])
    logits = (self.classifier.model(batch["image"], training=True) if training
              else pass_.logits)
    label = tf.cast(batch["label"], logits.dtype)
    value = supervised.cross_entropy(label, logits, self.multi_label)
    terms = {"supervised": (value, tf.ones_like(value))}
    image, classes = self._rows(label)
    per_row = {}
    if any(self.loss_weights[name] for name in self.start):
      attended = self.attention.attend(pass_, classes, image)
    if self.loss_weights["attention_mining"]:
      score = self.mined(attended["masked"], classes)
      per_row["attention_mining"] = score, tf.reduce_max(classes, -1)
    if self.loss_weights["extra_supervision"]:
      per_row["extra_supervision"] = extra_supervision(
          attended["scaled"], tf.gather(batch["mask"], image), classes)
    for name, (value, weight) in per_row.items():
      value, weight = _per_image(value, weight, image, tf.shape(label)[0])
      begun = self.state[0] >= self.start[name]
      terms[name] = value, weight * tf.cast(begun, weight.dtype)
    return terms

  def _rows(self, label):
    """Which attention is looked at: images `[P]`, classes `[P, classes]`.

    Where no image has a label to mine, one row of no class, which counts for
    nothing: not every layer can do with an empty batch.
    """
    if self.negative is not None:
      label *= 1 - tf.one_hot(self.negative, label.shape[-1], dtype=label.dtype)
    if self.masks == "joint":
      image = tf.where(tf.reduce_any(label > 0, -1))[:, 0]
      classes = tf.gather(label, image)
    else:
      image, own = tf.unstack(tf.where(label > 0), axis=1)
      classes = tf.one_hot(own, label.shape[-1], dtype=label.dtype)
    more = [0, tf.maximum(1 - tf.shape(image)[0], 0)]
    return tf.pad(image, [more]), tf.pad(classes, [more, [0, 0]])

  def mined(self, masked, classes):
    """What is left of the classes' softmax in masked images, `[P]`."""
    again = forward_pass.forward_normalized(self.classifier, masked)
    with again.tape:
      score = tf.math.divide_no_nan(
          tf.reduce_sum(tf.nn.softmax(again.logits) * classes, -1),
          tf.reduce_sum(classes, -1))
    scale = self.am_gradient_scale
    if scale == 1:
      return score
    # The same value as a linear function of the masked image alone.
    slope = tf.stop_gradient(again.tape.gradient(score, masked))
    through_image = tf.stop_gradient(score) + tf.reduce_sum(
        slope * (masked - tf.stop_gradient(masked)), [1, 2, 3])
    return scale * score + (1 - scale) * through_image

  def after_update(self):
    self.state[0].assign(self.state[0] + 1)


def extra_supervision(scaled, mask, classes):
  """Mean squared error between attention and mask, where a mask is.

  Args:
    scaled: `[P, H, W]` in [0, 1].
    mask: uint8 `[P, H, W, classes]`; see `Gain.call`.
    classes: `[P, classes]`, those whose masks together are meant.
  Returns:
    the error `[P]` over the pixels that are known, and 1 `[P]` where there is
    a mask, else 0. One that a crop left empty is none: a scaled map has a
    maximum of 1 wherever it looks.
  """
  meant = classes[:, tf.newaxis, tf.newaxis, :] > 0
  inside = tf.reduce_any(meant & (mask == 1), -1)
  unknown = tf.reduce_any(meant & (mask == class_masks.VOID), -1) & ~inside
  known = tf.cast(~unknown, scaled.dtype)
  square = known * tf.square(scaled - tf.cast(inside, scaled.dtype))
  error = tf.math.divide_no_nan(tf.reduce_sum(square, [1, 2]),
                                tf.reduce_sum(known, [1, 2]))
  return error, tf.cast(tf.reduce_any(inside, [1, 2]), scaled.dtype)


def _per_image(value, weight, image, count):
  """Weighted mean over the rows of each image, `[B]`, and 1 if it has any."""
  total = tf.math.unsorted_segment_sum(weight, image, count)
  mean = tf.math.divide_no_nan(
      tf.math.unsorted_segment_sum(value * weight, image, count), total)
  return mean, tf.cast(total > 0, mean.dtype)
