"""One kind of step in a process of its own, whose memory is its own.

    python -m tools.benchmarks.own_step consistency on resnet50 449 2
"""

import sys
import time

from atcon_tf.models import recomputation
from tools.benchmarks import networks
from tools.benchmarks import step_times
from tools.benchmarks import timing


def main(kind, recompute, model, side, count):
  """Takes one step for each line of the standard input."""
  built = networks.classifier(model, int(side))
  if recompute == "on":
    built = recomputation.of(built)
  step = step_times.step(built, kind, networks.images_for(built, int(count)))
  print(f">{kind}", flush=True)
  for _ in sys.stdin:
    started = time.perf_counter()
    step()
    print(f">{time.perf_counter() - started} {timing.device_peak()}",
          flush=True)


if __name__ == "__main__":
  main(*sys.argv[1:])
