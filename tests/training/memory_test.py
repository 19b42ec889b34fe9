"""The memory of a run does not grow with its steps."""

import gc
import resource

import tensorflow as tf

from atcon_tf.training import one_run
from atcon_tf.training.run_state import RunState
from tests.tiny_runs import tiny


def test_fifty_steps_leave_nothing_behind(tmp_path):
  config = tiny(objective="atcon", steps=20, eval_every=20,
                checkpoint_every=20)  # and four times as many of consistency
  prepared = one_run.prepare(config, tmp_path / "splits.json")
  tensors, peaks = [], []
  for number, _ in enumerate(prepared.steps(RunState())):
    if number in (29, 79):  # after the first step of each kind
      gc.collect()
      tensors.append(sum(issubclass(type(one), tf.Tensor)
                         for one in gc.get_objects()))
      peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    if number == 79:
      break
  assert tensors[1] <= tensors[0] + 5
  assert peaks[1] - peaks[0] < 40_000  # KiB; a batch's activations have 5000
