"""TAME: trains a head to explain a frozen classifier.

Ntrougkas, Gkalelis, Mezaris, ISM 2022 (arXiv 2301.07407);
`models/explanation_head.py` has the head. m is the map of an image's class c,
in (0, 1), with cells (i, j), and x the image in [0, 1]:

    cross_entropy = - log p_c(classifier(normalize(U(m) x)))
    area          = mean_ij (m + 0.0005)^0.3
    variation     = (sum |d_i m|^2 + sum |d_j m|^2 + 0.3 sum_border m^2) / 2
    loss          = 1.5 cross_entropy + 2 area + 0.01 variation

The loss keeps the pixels that the class needs, and few others. A corner lies on
two borders and counts twice. If an image can have several labels, p_c is the
sigmoid of the logit of class c.

The authors' code differs in two ways. It takes the area and variation of an
image's maps for *all* labels of the batch, so that the loss of an image
depends on the other images; the paper's formula, and this file, take the map
of the image's own label. And its classifier runs in training mode, so that the
batch statistics change; here the classifier is frozen.
"""

import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import trained_head
from atcon_tf.config.objective_settings.explanation_head_settings import (
    Heads as Settings)
from atcon_tf.models import explanation_head
from atcon_tf.objectives import base
from atcon_tf.objectives import supervised

EPSILON = 5e-4  # added because the power's derivative at 0 is infinite
BORDER = 0.3


class Tame(base.Objective):
  """Terms "cross_entropy", "area" and "variation", which train only the head.

  `variables` and `state` are those of the head. The classifier's weights get
  no gradient, and its BatchNorm layers use and keep their moving statistics.
  """

  def __init__(self, classifier, multi_label=True, target="argmax",
               cross_entropy_weight=Settings.cross_entropy_weight,
               area_weight=Settings.area_weight,
               variation_weight=Settings.variation_weight,
               area_power=Settings.area_power):
    """Prepares the loss.

    Args:
      classifier: a `models.Classifier` with a head
        (`explanation_head.attach`).
      multi_label: whether p_c is a sigmoid; otherwise it is a softmax.
      target: the class c. "argmax": the highest logit of the whole image, as
        in the authors' lists; "labels": the highest logit among its labels.
      cross_entropy_weight, area_weight, variation_weight: weights of the
        terms.
      area_power: power of the map's values in the area.
    """
    super().__init__(classifier, cross_entropy=cross_entropy_weight,
                     area=area_weight, variation=variation_weight)
    self.multi_label, self.target = multi_label, target
    self.area_power = area_power
    self.view = explanation_head.with_features(classifier)
    self.head = classifier.attention
    self.variables = self.head.trainable_variables
    self.state = self.head.non_trainable_variables

  @classmethod
  def from_config(cls, classifier, config, task, twin=None, **options):
    """See `Objective.from_config`; the constructor takes `options` as well."""
    del twin
    return cls(classifier, multi_label=task.multi_label,
               target=config.target,
               cross_entropy_weight=config.cross_entropy_weight,
               area_weight=config.area_weight, area_power=config.area_power,
               variation_weight=config.variation_weight, **options)

  def call(self, batch, training=False):
    """See `Objective.call`; `training` concerns the head's BatchNorm."""
    explained = self.explain(batch, training)
    logits, heat = explained["logits"], explained["map"]
    if self.multi_label:
      masked = forward_pass.pick(logits, explained["class_index"])
      value = tf.nn.softplus(-masked)
    else:
      label = tf.one_hot(explained["class_index"],
                         self.classifier.num_classes, dtype=logits.dtype)
      value = supervised.cross_entropy(label, logits, False)
    weight = tf.ones_like(value)
    if self.target == "labels":  # an image without labels has no class
      weight = tf.cast(tf.reduce_any(
          tf.cast(batch["label"], tf.bool), -1), value.dtype)
    return {"cross_entropy": (value, weight),
            "area": (area(heat, self.area_power), weight),
            "variation": (variation(heat), weight)}

  def explain(self, batch, training=False):
    """The class, the map and the masked logits of each image.

    Args:
      batch, training: as for `call`.
    Returns:
      dict: "class_index" `[B]`; "map" `[B, h, w]` in (0, 1); "logits"
      `[B, classes]` of the masked image.
    """
    images = tf.cast(batch["image"], self.view.maps.input.dtype)
    pass_ = forward_pass.forward(self.view, images)
    target, = base.targets(pass_.logits, batch, self.target)
    features = [tf.stop_gradient(f) for f in trained_head.features_of(pass_)]
    heat = tf.sigmoid(self.head(features, target, training=training))
    return {"class_index": target, "map": heat,
            "logits": self.masked_logits(images, features, heat)}

  def masked_logits(self, images, features, heat):
    """Logits of the images multiplied by their enlarged maps."""
    del features
    mask = self.head.enlarge(heat, self.classifier.image_size)
    return self.classifier.model(images * mask[..., tf.newaxis],
                                 training=False)


def area(m, power=0.3):
  """`mean (m + 0.0005)^power` of each map, `[B]`."""
  return tf.reduce_mean(tf.pow(m + EPSILON, power), [1, 2])


def variation(m):
  """Half the squared steps between cells and of the weighted border, `[B]`."""
  def total(part):
    return tf.reduce_sum(tf.square(part), [1, 2])

  edges = (m[:, :1], m[:, -1:], m[:, :, :1], m[:, :, -1:])
  steps = total(m[:, 1:] - m[:, :-1]) + total(m[:, :, 1:] - m[:, :, :-1])
  return (steps + BORDER * tf.add_n([total(e) for e in edges])) / 2
