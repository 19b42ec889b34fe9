"""Self-training on class-balanced rank pseudo-labels.

For every class the unlabelled images that the classifier ranks highest become
its positives, the images that it ranks lowest become its negatives, and the
others have no pseudo-label for the class:

    for class c: y_ic = 1 for the N_c images of the highest logit z_ic,
                 y_ic = 0 for the lowest share of them, w_ic = 0 elsewhere
    pseudo       = mean_c w_ic BCE(z_ic(augmented), y_ic)
    equivariance = - Pearson(sigmoid(z(warp(CAM(plain)))),
                             sigmoid(z(CAM(augmented))))

N_c is a share of the class's expected images in the pool (its prior times the
pool), or one number for all classes; see `rank_labels.py`.
The equivariance (after SEAM, Wang et al., CVPR 2020, arXiv 2004.04581)
compares Grad-CAM of one pseudo-class of an image before and after a crop and
a flip; the map of the plain view is constant. The ATCON term is that of
`atcon.py`, on the augmented view and the pseudo-class; the agreement with a
teacher's map is that of `teacher_agreement.py`.

All terms except ATCON's are first-order.
"""

import tensorflow as tf

from atcon_tf.attribution import consistency
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import cam
from atcon_tf.attribution import registry
from atcon_tf.config import UserError
from atcon_tf.config.objective_settings.self_training_settings import (
    SelfTraining as Settings)
from atcon_tf.data import augment
from atcon_tf.models import geometry
from atcon_tf.objectives import base
from atcon_tf.objectives import rank_labels
from atcon_tf.objectives import supervised
from atcon_tf.objectives import teacher_agreement

# Positives of a class whose prior is unknown, as a share of the pool. On VOC
# these are 40 of 2,400 images, and a class has about 40 to 200 images.
SHARE = 1 / 60


class SelfTraining(base.Objective):
  """Terms "pseudo" and, if weighted, "equivariance", "atcon" and "agree".

  Its batches are drawn from the images with a pseudo-label. They hold "image",
  the augmented image, "unaugmented", the image before augmentation,
  "transform" `[B, 8]` from "unaugmented" to "image", "label" and
  "label_weight" `[B, classes]`, and "class_index" `[B]`, one positive class.
  """

  def __init__(self, classifier, multi_label=True,
               per_class=Settings.pseudo_per_class,
               negative_share=Settings.pseudo_negatives, weight=1.0,
               equivariance_weight=Settings.equivariance_weight,
               atcon_weight=Settings.atcon_weight, class_prior=None,
               share=Settings.pseudo_share, agree_weight=0.0,
               agreement=None, teacher=None, agree_decay=0.99):
    """Prepares the loss.

    Args:
      classifier: a `models.Classifier`.
      multi_label: whether an image can have several labels.
      per_class: N_c of every class; 0: N_c follows from `class_prior`.
      negative_share: share of the pool, ranked lowest, that becomes a class's
        negatives.
      weight, equivariance_weight, atcon_weight: weights of the terms "pseudo",
        "equivariance" and "atcon" in the loss. A term of weight 0 is not
        computed, except "pseudo".
      class_prior: `[classes]`, the share of images that shows each class;
        None: N_c of every class is a sixtieth of the pool, at least 1.
      share: share of a class's expected images that become its positives.
      agree_weight: weight of the agreement with the teacher's map.
      agreement: dict of the options of `teacher_agreement.agreement_loss`.
      teacher: a `Classifier` whose weights become moving averages of the
        trained ones; None: the teacher is the network that ranked the pool.
      agree_decay: d of these averages: `v <- d v + (1 - d) w` at each update.
    Raises:
      UserError: ATCON's term has a weight, and the network has no ReLU.
    """
    super().__init__(classifier, pseudo=weight,
                     equivariance=equivariance_weight, atcon=atcon_weight,
                     agree=agree_weight)
    self.agreement, self.teacher = agreement or {}, teacher
    self.agree_decay = agree_decay
    self.needs_teacher_maps = bool(agree_weight) and teacher is None
    if teacher:
      self.state = list(teacher.model.variables)
    self.multi_label, self.per_class = multi_label, per_class
    self.negative_share = negative_share
    self.class_prior, self.share = class_prior, share
    if atcon_weight:
      try:
        registry.check(classifier, "guided_backprop")
      except UserError as error:
        raise UserError("atcon_weight", atcon_weight,
                        f"{error}; --atcon_weight=0 trains without ATCON's "
                        "term") from error

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    return cls.with_weights(classifier, config, task, twin, dict(
        weight=config.consistency_weight,
        equivariance_weight=config.equivariance_weight,
        atcon_weight=config.atcon_weight, agree_weight=config.agree_weight))

  @classmethod
  def with_weights(cls, classifier, config, task, twin, weights):
    """The objective with these weights of its terms."""
    agreement = dict(similarity=config.agree_similarity,
                     loss=config.agree_loss,
                     temperature=config.agree_temperature)
    followed = weights["agree_weight"] and config.agree_teacher == "ema"
    return cls(classifier, task.multi_label, config.pseudo_per_class,
               config.pseudo_negatives, class_prior=task.class_prior,
               share=config.pseudo_share, agreement=agreement,
               teacher=twin() if followed else None,
               agree_decay=config.agree_decay, **weights)

  def pseudo_labels(self, logits):
    """The pseudo-labels of the pool and their weights.

    Args:
      logits: float `[N, classes]`.
    Returns:
      labels and weights, float32 `[N, classes]`, both 0 or 1.
    Raises:
      UserError: the pool is smaller than the positives of one class.
    """
    count = len(logits)
    if self.per_class > count:
      raise UserError("pseudo_per_class", self.per_class,
                      f"only {count} unlabelled images")
    sizes = self.per_class or max(1, round(count * SHARE))
    if self.class_prior is not None and not self.per_class:
      sizes = rank_labels.class_sizes(self.class_prior, count, self.share)
    if self.multi_label:
      return rank_labels.rank_labels(logits, sizes, self.negative_share)
    return rank_labels.best_rank_labels(logits, sizes)

  def call(self, batch, training=False):
    pass_ = forward_pass.forward(self.classifier, batch["image"])
    label = tf.cast(batch["label"], pass_.logits.dtype)
    weight = tf.cast(batch["label_weight"], pass_.logits.dtype)
    if self.multi_label:
      value = tf.reduce_mean(
          weight * tf.nn.sigmoid_cross_entropy_with_logits(
              labels=label, logits=pass_.logits), -1)
    else:
      value = supervised.cross_entropy(label, pass_.logits, False)
    one = tf.ones_like(value)
    terms = {"pseudo": (value, one)}
    if self.loss_weights["equivariance"]:
      terms["equivariance"] = (-self._equivariance(batch, pass_), one)
    if self.loss_weights["atcon"]:
      compared = consistency.PUBLISHED.compare(pass_, batch["class_index"])
      terms["atcon"] = (-compared["similarity"], one)
    if self.loss_weights["agree"]:
      terms["agree"] = (self._agreement(batch, pass_), one)
    return terms

  def _agreement(self, batch, pass_):
    """The loss of the student's maps against the teacher's, `[B]`."""
    student = cam.grad_cam(pass_, batch["class_index"])
    if self.teacher:
      plain = forward_pass.forward(self.teacher, batch["unaugmented"])
      teacher = cam.grad_cam(plain, batch["class_index"])
    else:
      teacher = tf.cast(batch["teacher_map"], student.dtype)
    return teacher_agreement.agreement_loss(student, teacher_agreement.moved(
        self.classifier, teacher, batch["transform"], student.shape[1:]),
        **self.agreement)

  def after_update(self):
    if self.teacher:
      for mean, variable in zip(self.state, self.classifier.model.variables):
        mean.assign(self.agree_decay * mean
                    + (1 - self.agree_decay) * variable)

  def _equivariance(self, batch, pass_):
    """Pearson correlation of the augmented view's map and the warped plain one.

    Returns:
      `[B]` in [-1, 1].
    """
    size, place = self.classifier.extent, self.classifier.geometry[-1]
    plain = forward_pass.forward(self.classifier, batch["unaugmented"])
    target = batch["class_index"]
    before = geometry.resize(cam.grad_cam(plain, target), size, place)
    before = augment.warp(tf.stop_gradient(before)[..., tf.newaxis],
                          batch["transform"])[..., 0]
    after = geometry.resize(cam.grad_cam(pass_, target), size, place)
    return consistency.pearson(before, after)
