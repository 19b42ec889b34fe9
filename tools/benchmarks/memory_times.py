"""What `--recompute` saves and costs: each step in a process of its own."""

import functools
import sys

from tools.benchmarks import networks
from tools.benchmarks import peers
from tools.benchmarks import timing

CASES = (("resnet50", 449, 4),)


def measure(options, peer):
  """Yields the rows of two steps, with and without `--recompute`.

  Args:
    options: has model, image_size, batch_size, rounds.
    peer: not used.
  """
  del peer
  for case in networks.cases(options, CASES):
    for kind in ("supervised", "consistency"):
      steps = {f"{kind}{name}": peers.Timed([
          sys.executable, "-m", "tools.benchmarks.own_step", kind, recompute,
          *case]) for name, recompute in (("", "off"), (", recomputed", "on"))}
      tasks = {name: functools.partial(step.seconds, "")
               for name, step in steps.items()}
      yield timing.rows(timing.alternate(tasks, options.rounds), kind,
                        case[2], networks.title(*case))
      for step in steps.values():
        step.close()
