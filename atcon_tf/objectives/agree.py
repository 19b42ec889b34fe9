"""The agreement with a teacher's map as a separate objective.

The images, their pseudo-classes and their strong views are those of
`self_training.py`; the loss is that of `teacher_agreement.py`.
"""

from atcon_tf.objectives import self_training


class Agree(self_training.SelfTraining):
  """Term "agree"; "pseudo", the pseudo-labels' loss, is only logged."""

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    return cls.with_weights(classifier, config, task, twin, dict(
        weight=0.0, equivariance_weight=0.0, atcon_weight=0.0,
        agree_weight=config.consistency_weight))
