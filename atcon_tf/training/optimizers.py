"""The optimisers of a run.

A run that trains the classifier has an Adam for its backbone, one for its new
layers and one for consistency steps. A run that trains an explanation head
for a frozen classifier has the optimiser of TAME: SGD with Nesterov momentum
over one cycle of the learning rate, weight decay on kernels, twice the rate on
biases.
"""

import math

import keras
import tensorflow as tf

from atcon_tf.config.settings import HEADS
from atcon_tf.config import UserError
from atcon_tf.objectives.base import SUPERVISED
from atcon_tf.training.fused_adam import FusedAdam

MOMENTUM = 0.9
# The first and last rate of PyTorch's one-cycle, as shares of the maximum, and
# the share of the steps after which the rate is at its maximum.
FIRST, LAST, PEAK = 1 / 25, 1 / 25 / 1e4, 0.3
# The groups of a head: names of variables, factor of the rate, weight decay.
PARTS = {"kernels": (("kernel",), 1, True), "scales": (("gamma",), 1, False),
         "biases": (("bias", "beta"), 2, False)}


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
  """One cycle of the learning rate (Smith, Topin, arXiv 1708.07120).

  The rate follows two halves of a cosine: it rises from a 25th of the maximum
  to the maximum in three tenths of the steps, then falls to a 250,000th. This
  is PyTorch's OneCycleLR, except that the momentum is constant.

  Example:
    >>> float(OneCycle(1.0, 40)(11))
    1.0
  """

  def __init__(self, maximum, steps):
    """Prepares the schedule.

    Args:
      maximum: the highest rate.
      steps: number of updates.
    """
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
  """Half a cosine that rises from 0 to 1; `share` is clipped to [0, 1]."""
  return (1 - tf.cos(math.pi * tf.clip_by_value(share, 0., 1.))) / 2


def build(config, classifier, objectives):
  """The optimisers of a run, and the variables that they update.

  Args:
    config: a resolved `Config`.
    classifier: the `models.Classifier` that is trained.
    objectives: `{kind of step: Objective}`.
  Returns:
    `{name: optimizer}` and `{name: variables}`, see `trainer.Trainer`.
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
  if config.trains and not any(groups.values()):
    raise UserError("model", classifier.name,
                    "all its layers are frozen (trainable is False) and its "
                    "head is kept: there is nothing to train")
  built = {name: FusedAdam(rate, name=name)
           for name, rate in rates.items() if rate}
  if config.precision == "mixed_float16":  # small gradients would be 0
    built = {name: keras.optimizers.LossScaleOptimizer(adam, name=name)
             for name, adam in built.items()}
  return built, groups


def _one_cycle(config, variables):
  """SGD of a head, with a group for each kind of variable.

  Keras subtracts `rate * decay * w` without momentum. The authors' decay is
  part of the gradient, which momentum multiplies by 1 / (1 - 0.9) in all, so
  the decay is multiplied by this factor here.
  """
  optimizers, groups = {}, {}
  for name, (kinds, factor, decays) in PARTS.items():
    groups[name] = [v for v in variables if v.name in kinds]
    decay = None  # Keras takes None, not 0, for no decay
    if decays and config.weight_decay:
      decay = config.weight_decay / (1 - MOMENTUM)
    optimizers[name] = keras.optimizers.SGD(
        OneCycle(factor * config.max_learning_rate, config.steps), MOMENTUM,
        nesterov=True, name=name, weight_decay=decay)
  return optimizers, groups
