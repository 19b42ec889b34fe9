"""How the variables of a run are updated.

A run that trains the classifier has an Adam for its backbone, one for its new
layers and one for consistency steps. A run that trains an explanation head
for a frozen classifier has TAME's: SGD with Nesterov momentum over one cycle
of the learning rate, weight decay on kernels, twice the rate on biases.
"""

import keras
import tensorflow as tf

from atcon_tf.config.settings import HEADS
from atcon_tf.objectives.base import SUPERVISED

MOMENTUM = 0.9
# PyTorch's one-cycle: where it begins and ends, as parts of the maximum, and
# the share of the steps after which it is reached.
FIRST, LAST, PEAK = 1 / 25, 1 / 25 / 1e4, 0.3
# Of a head: names of variables, factor of their rate, whether they decay.
PARTS = {"kernels": (("kernel",), 1, True), "scales": (("gamma",), 1, False),
         "biases": (("bias", "beta"), 2, False)}


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
  """One cycle of the learning rate (Smith, Topin, arXiv 1708.07120).

  Along two halves of a cosine: from a 25th of the maximum up to it, which is
  reached after three tenths of the steps, then down to a 250,000th. As in
  PyTorch's OneCycleLR, but for its momentum, which here stays.

  Example:
    >>> float(OneCycle(1.0, 40)(11))
    1.0
  """

  def __init__(self, maximum, steps):
    """Args: maximum, the highest rate; steps, the number of updates."""
    self.maximum, self.steps = maximum, steps

  def __call__(self, step):
    step = tf.cast(step, tf.float32)
    last = max(self.steps - 1, 1)
    peak = max(PEAK * self.steps - 1, 1e-6)
    rising = FIRST + (1 - FIRST) * _half_cosine(step / peak)
    falling = LAST + (1 - LAST) * (1 - _half_cosine(
        (step - peak) / max(last - peak, 1e-6)))
    return self.maximum * tf.where(step <= peak, rising, falling)

  def get_config(self):
    return {"maximum": self.maximum, "steps": self.steps}


def _half_cosine(share):
  """0 to 1, slow at both ends; beyond them it stays."""
  return (1 - tf.cos(3.141592653589793 * tf.clip_by_value(share, 0., 1.))) / 2


def build(config, classifier, objectives):
  """The optimisers of a run, and what they update.

  Args:
    config: a resolved `Config`.
    classifier: the `models.Classifier` that is trained.
    objectives: `{kind of step: Objective}`.
  Returns:
    `{name: optimizer}` and the groups of variables, as `trainer.Trainer`
    takes them.
  """
  if config.objective in HEADS:
    return _one_cycle(config, objectives[SUPERVISED].variables)
  rates = {"backbone": config.learning_rate,
           "head": config.head_learning_rate,
           "consistency": config.consistency_learning_rate}
  backbone = (classifier.last_stage_variables
              if config.trained_layers == "last_stage"
              else classifier.backbone_variables)
  own = [v for o in objectives.values() for v in o.variables]
  groups = {"backbone": backbone, "head": classifier.head_variables + own}
  return {name: keras.optimizers.Adam(rate, name=name)
          for name, rate in rates.items() if rate}, groups


def _one_cycle(config, variables):
  """SGD of a head, with a group for each kind of variable.

  Keras takes `rate * decay * w` off beside the momentum; the authors' decay
  is part of the gradient, which momentum adds up 1 / (1 - 0.9) times.
  """
  optimizers, groups = {}, {}
  for name, (kinds, factor, decays) in PARTS.items():
    groups[name] = [v for v in variables if v.name in kinds]
    optimizers[name] = keras.optimizers.SGD(
        OneCycle(factor * config.max_learning_rate, config.steps), MOMENTUM,
        nesterov=True, name=name, weight_decay=decays and (
            config.weight_decay / (1 - MOMENTUM)) or None)
  return optimizers, groups
