"""Bit-identical steps: the same command gives the same numbers again.

Seeds, batches and the plan of steps are functions of the settings. What is
left is the order in which an operation adds up, which on a GPU varies.
"""

import tensorflow as tf
from tensorflow.python.framework import config as framework_config


def require():
  """Lets every operation of this process add up in one order.

  On a GPU it may be slower. An operation without such a kernel is noticed at
  the first step, see `first_step`.
  """
  tf.config.experimental.enable_op_determinism()


def first_step(step, variables):
  """Takes a first step; without determinism if an operation does not have it.

  Args:
    step: function that takes the step and returns its logs; it is called a
      second time if the first call failed.
    variables: list of Keras variables that the step changes.
  """
  if not (framework_config.is_op_determinism_enabled()
          and tf.config.list_physical_devices("GPU")):
    return step()
  before = [v.numpy() for v in variables]
  try:
    return step()
  except tf.errors.UnimplementedError as error:
    if "determinis" not in str(error).lower():
      raise
    framework_config.disable_op_determinism()
    for variable, value in zip(variables, before):
      variable.assign(value)
    print("note: an operation of this network has no deterministic kernel on "
          "this GPU, so a second run of the same command ends a little "
          "differently (docs/reliability.md)", flush=True)
    return step()
