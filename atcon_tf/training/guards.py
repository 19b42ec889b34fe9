"""What stops a run that went wrong, in words of the person who started it."""

import contextlib
import os

import tensorflow as tf

from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.training import streams

# Image ids that a line names.
_NAMED = 8


@contextlib.contextmanager
def explained(training, state):
  """A context manager that says what stopped the steps of a run.

  Args:
    training: its `Training`.
    state: its `RunState`.
  Raises:
    UserError: a loss or a weight is not finite, or a loss exploded, or the
      memory is too small.
  """
  config = training.config
  try:
    yield
  except FloatingPointError as error:
    kept = "no checkpoint is there yet" if training.saved is None else (
        f"the checkpoint after {training.saved} updates is kept")
    raise UserError(
        f"stopped in step {state.step + 1} of {len(training.plan)}: {error}; "
        f"{_images(training, state)}{kept}. Lower the learning rates with "
        "--overwrite; `python -m atcon_tf.find_lr` suggests some"
    ) from error
  except tf.errors.OpError as error:
    full = [os.strerror(number) for number in files.CANNOT_WRITE
            if os.strerror(number) in str(error)]
    if full:  # TensorBoard's file, which TensorFlow writes
      raise UserError(f"{training.work.path}: cannot be written: {full[0]}"
                      ) from error
    if not isinstance(error, tf.errors.ResourceExhaustedError):
      raise
    raise UserError(
        "batch_size", config.batch_size,
        f"needs more memory than there is, with "
        f"--image_size={config.image_size}; try a smaller batch, or a "
        "smaller --unlabeled_batch_size or --eval_batch_size") from error


def _images(training, state):
  """The images of the step that stopped a run, in words."""
  step = min(state.step, len(training.plan) - 1)
  named = []
  for kind in training.plan[step]:
    done = sum(kind in kinds for kinds in training.plan[:step])
    named += streams.ids(kind, training.trainer.objectives[kind],
                         training.data, training.config, done,
                         state.pseudo_labels)
  more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
  return f"its images: {', '.join(map(str, named[:_NAMED]))}{more}; "
