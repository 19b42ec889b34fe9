"""Functions that are timed in turn, and what of them is reported.

The load of a machine changes by the minute. So the functions that are compared
run alternately, and the ratio of two is taken round by round.
"""

import statistics
import time

from atcon_tf.training.results import peak_memory
import tensorflow as tf


def alternate(functions, rounds, warm_up=2):
  """Seconds of each function, taken in turn.

  Args:
    functions: `{name: callable without arguments}`. One that returns a tuple
      (seconds, GiB) has measured itself, as a process of its own does.
    rounds: timed calls of each.
    warm_up: calls before that (tracing, memory).
  Returns:
    `{name: [seconds]}` and `{name: the most GiB}`.
  """
  seconds, memory = {name: [] for name in functions}, {}
  for round_ in range(-warm_up, rounds):
    began = time.perf_counter()
    for name, function in functions.items():
      started = time.perf_counter()
      own = function()
      took, memory[name] = own if isinstance(own, tuple) else (
          time.perf_counter() - started, device_peak())
      if round_ >= 0:
        seconds[name].append(took)
    if round_ == -1:
      print(f"  {rounds} rounds of about {time.perf_counter() - began:.1f} s",
            flush=True)
  return seconds, memory


def rows(measured, base, images, group=""):
  """The rows of functions that ran alternately.

  Args:
    measured: from `alternate`.
    base: the name of the function that the others are compared with.
    images: that one call handles.
    group: what the rows have in common, which the page says above them.
  """
  (seconds, memory), found = measured, []
  if group:
    print(group, flush=True)
  for name, times in seconds.items():
    ratio = statistics.median(t / b for t, b in zip(times, seconds[base]))
    ms = sorted(1e3 * t / images for t in times)
    found.append({
        "group": group, "name": name, "ms": statistics.median(ms),
        "low": ms[(len(ms) - 1) // 4], "high": ms[-1 - (len(ms) - 1) // 4],
        "ratio": ratio, "of": base, "peak_gib": memory.get(name)})
    print(f"  {name:38s} {found[-1]['ms']:10.1f} ms "
          f"({found[-1]['low']:.1f} to {found[-1]['high']:.1f})   "
          f"{ratio:5.2f} x {base}", flush=True)
  return found


def device_peak():
  """The most memory so far, in GiB: the GPU's, or the process's."""
  gpus = tf.config.list_logical_devices("GPU")
  if gpus:
    return tf.config.experimental.get_memory_info(
        gpus[0].name.removeprefix("/device:"))["peak"] / 2**30
  return peak_memory()
