"""GAIN: guided attention inference (Li, Wu, Peng, Ernst, Fu, CVPR 2018).

arXiv 1802.10171, on labelled images x with the labels Y. If the network still
recognises a class after its attention is cut out of the image, the attention
was incomplete, so the remaining score of the class is minimised (attention
mining). If an image has a mask of the class, the attention should match the
mask (extra supervision, "GAIN_ext"). A is the map of `cam_layer`, y_c a logit:

    alpha  = mean_ij d (sum_{c in Y} y_c) / d A_ij           a constant
    h      = resize(relu(sum_k alpha_k A_k))                 to the image
    scaled = (h - min h) / (max h - min h)
    T      = sigmoid(omega (scaled - sigma))
    masked = x (1 - T) + fill T
    AM     = 1/|Y| sum_{c in Y} softmax(logits(masked))_c
    EX     = mean over the pixels of (scaled - mask)^2
    loss   = cl_weight CL + am_weight mean AM + ex_weight mean EX

CL is the cross-entropy of `supervised.py`. The mean of AM is over the images
that have a label to mine, and the mean of EX over the images that have a mask.
The paper allows two readings, as the open re-implementation found: "joint"
takes all labels of an image at once, as above; "per_label" takes one h, T and
masked image for each label, and the mean of their AM and EX.

x is the normalised image. BatchNorm is frozen in the two passes above; with
`training` the cross-entropy uses a third pass.
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

  A term of weight 0 is not computed, except "supervised". Before its start
  step a term adds nothing to the loss and is logged as 0.
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
      multi_label: whether an image can have several labels.
      masks: "per_label" or "joint"; see the top of the file.
      cl_weight, am_weight, ex_weight: weights of the terms in the loss.
      negative: index of the class of images without an object, which is not
        mined; None: every label is mined.
      am_gradient_scale: factor of the gradient that the weights get from the
        pass of the masked image, but not through the masked image; 0: the
        weights are constants in that pass.
      am_start_step, ex_start_step: updates before the terms start.
    Raises:
      UserError: another path of the network bypasses the last cam_layer.
    """
    super().__init__(classifier, supervised=cl_weight,
                     attention_mining=am_weight,
                     extra_supervision=ex_weight)
    self.attention, self.multi_label = attention, multi_label
    self.masks, self.negative = masks, negative
    self.am_gradient_scale = am_gradient_scale
    self.start = {"attention_mining": am_start_step,
                  "extra_supervision": ex_start_step}
    self.begins = min([n for term, n in self.start.items()
                       if self.loss_weights[term]], default=0)
    self.mask_options = None  # options of `class_masks.ClassMasks`
    self.state = [keras.Variable(0, dtype="int32", trainable=False)]
    classifier.head  # creates the head here, not inside a traced step

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    """See `Objective.from_config`.

    Raises:
      UserError: --am_on=all with data that do not have two classes.
    """
    del twin
    binary = classifier.num_classes == 2 and not task.multi_label
    if config.am_on == "all" and not binary:
      raise UserError("am_on", "all", "goes with data of two classes, one "
                      "label an image; with these data every label is mined")
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
    """See `Objective.columns`; with extra supervision also "mask"."""
    columns = super().columns(records, size)
    if self.mask_options is not None:
      columns["mask"] = class_masks.ClassMasks(records, size,
                                               **self.mask_options)
    return columns

  def call(self, batch, training=False):
    """See `Objective.call`; with extra supervision the batch holds "mask".

    "mask" is uint8 `[B, H, W, classes]`: 1 inside the class, 0 outside, 255
    unknown. An image without a 1 for any of its labels has no mask.
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
    """The P attention maps to compute: images `[P]`, classes `[P, classes]`.

    If no image has a label to mine, there is one row without a class, whose
    weight is 0, because not every layer accepts an empty batch.
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
    """Mean softmax of the mined classes in masked images, `[P]`."""
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
        slope * (masked - tf.stop_gradient(masked)),
        list(range(1, len(masked.shape))))
    return scale * score + (1 - scale) * through_image

  def after_update(self):
    self.state[0].assign(self.state[0] + 1)


def extra_supervision(scaled, mask, classes):
  """Mean squared error between attention and mask.

  Args:
    scaled: `[P, H, W]` in [0, 1].
    mask: uint8 `[P, H, W, classes]`; see `Gain.call`.
    classes: `[P, classes]`, the classes whose masks are joined.
  Returns:
    the error `[P]` over the known pixels, and `[P]` 1 if there is a mask, else
    0. A mask that a crop left empty does not count, because a scaled map has a
    maximum of 1 even without an object.
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
  """Weighted mean over the rows of each image, `[B]`, and 1 if it has rows."""
  total = tf.math.unsorted_segment_sum(weight, image, count)
  mean = tf.math.divide_no_nan(
      tf.math.unsorted_segment_sum(value * weight, image, count), total)
  return mean, tf.cast(total > 0, mean.dtype)
