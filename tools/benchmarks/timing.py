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
    functions: `{name: callable without arguments}`. One that returns a float
      has measured its seconds itself, as a peer in another process does.
    rounds: timed calls of each.
    warm_up: calls before that (tracing, memory).
  Returns:
    `{name: [seconds]}`.
  """
  seconds = {name: [] for name in functions}
  for round_ in range(-warm_up, rounds):
    for name, function in functions.items():
      started = time.perf_counter()
      own = function()
      if round_ >= 0:
        seconds[name].append(own if isinstance(own, float)
                             else time.perf_counter() - started)
  return seconds


def rows(seconds, base, images):
  """The rows of functions that ran alternately.

  Args:
    seconds: from `alternate`.
    base: the name of the function that the others are compared with.
    images: that one call handles.
  """
  found = []
  for name, times in seconds.items():
    ratio = statistics.median(t / b for t, b in zip(times, seconds[base]))
    ms = sorted(1e3 * t / images for t in times)
    found.append({
        "name": name, "ms": statistics.median(ms),
        "low": ms[(len(ms) - 1) // 4], "high": ms[-1 - (len(ms) - 1) // 4],
        "ratio": ratio, "of": base, "peak_gib": device_peak()})
    print(f"{name:32s} {found[-1]['ms']:9.1f} ms an image "
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
