"""ATCON: attention consistency (Mirzazadeh, Dubost et al., WACV 2023).

arXiv 2210.09705. As published, the Grad-CAM of an image should not change if
the image is masked by its map of guided backpropagation:

    c   = argmax of the logits of x
    G   = guided backpropagation of class c at x
    T   = sigmoid(k (G - (mean(G) + std(G) / 2)))
    C1  = Grad-CAM of class c at x,  C2 = Grad-CAM of class c at x * T
    loss = - Pearson(sigmoid(z(C1)), sigmoid(z(C2))),  z(m) = (m - mean) / std

x is the normalised image. Nothing is detached: the gradient runs through
both maps, the mask and the guided reverse pass (second derivatives); only the
hard decisions (class, gates) are constants.

In general, F and S are a first and a second map of one prediction, by any two
of `attribution.METHODS`:

    match=mask        compare F(x) with F(x * T(S(x)))
    match=upsample    compare F(x) with S(x) at the image's size
    match=downsample  compare them at the smaller map's size

With Grad-CAM and guided backpropagation these are modes 2, 0 and 1 of the
authors' code; its mode 3 is guided backpropagation masked by Grad-CAM with
k = 32, its mode 4 Grad-CAM against SmoothGrad, upsampled.
"""

import tensorflow as tf

from atcon_tf.attribution import consistency
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.attribution import registry
from atcon_tf.objectives import base


class Atcon(base.Objective):
  """Minus the similarity of two maps of each image's prediction.

  Terms: "consistency", the loss. If the maps are matched by a mask, also
  "mask_mean" and "mask_std", the mean and standard deviation of the mask over
  the image, which are only logged: a mask of standard deviation 0 has no
  effect.
  """

  def __init__(self, classifier, agreement=consistency.PUBLISHED,
               target="argmax", stop_gradient="none", teacher=None,
               ema_decay=0.99, weight=1.0):
    """Prepares the loss.

    Args:
      classifier: a `models.Classifier`.
      agreement: the `consistency.MapAgreement` that compares the maps.
      target: the class that is explained: "argmax" of the logits; "labels",
        the highest logit among the image's labels; "top2", the mean over
        the two highest logits.
      stop_gradient: see `MapAgreement.compare`.
      teacher: a `Classifier` whose weights become moving averages of the
        trained ones; None: the trained network gives both maps.
      ema_decay: d of these averages: `v <- d v + (1 - d) w` at each update.
      weight: weight of the term in the loss.
    Raises:
      UserError: a guided map has no meaning for this network.
    """
    logged = {"mask_mean": 0.0, "mask_std": 0.0} if (
        agreement.match == "mask") else {}
    super().__init__(classifier, consistency=weight, **logged)
    for name in (agreement.first_map, agreement.second_map):
      registry.check(classifier, name)
    self.agreement, self.target = agreement, target
    self.stop_gradient, self.teacher = stop_gradient, teacher
    self.ema_decay = ema_decay
    if teacher:
      self.state = list(teacher.model.variables)

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    del task
    agreement = consistency.MapAgreement(
        config.first_map, config.second_map, config.match, config.similarity,
        config.mask_intensity, config.mask_scale, config.mask,
        options={"integrated_gradients": {"steps": config.ig_steps},
                 "smooth_grad": {"samples": config.noise_samples}})
    teacher = twin() if config.teacher == "ema" else None
    return cls(classifier, agreement, config.target, config.stop_gradient,
               teacher, config.ema_decay, config.consistency_weight)

  def call(self, batch, training=False):
    pass_ = forward_pass.forward(self.classifier, batch["image"])
    teacher_pass = None
    if self.teacher:
      teacher_pass = forward_pass.forward(self.teacher, batch["image"])
    agreement = self.agreement.with_noise_of(batch["image"])
    compared = [
        agreement.compare(pass_, target, teacher_pass, self.stop_gradient)
        for target in base.targets(pass_.logits, batch, self.target)]
    value = -tf.add_n([t["similarity"] for t in compared]) / len(compared)
    one = tf.ones_like(value)
    terms = {"consistency": (value, one)}
    if "mask" in compared[0]:
      mean, variance = maps.moments(compared[0]["mask"])
      terms["mask_mean"] = (tf.reshape(mean, [-1]), one)
      terms["mask_std"] = (tf.sqrt(tf.reshape(variance, [-1])), one)
    return terms

  def after_update(self):
    if self.teacher:
      for mean, variable in zip(self.state, self.classifier.model.variables):
        mean.assign(self.ema_decay * mean + (1 - self.ema_decay) * variable)
