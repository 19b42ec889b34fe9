"""What a consistency step costs an image as one size grows."""

from tools.benchmarks import networks
from tools.benchmarks import step_times
from tools.benchmarks import timing

BATCHES = (1, 2, 4, 8, 16)
SIDES = (65, 97, 129, 161, 193, 225)
CLASSES = (2, 20, 200, 1000)


def measure(options, peer):
  """Rows of each size, beside the first of its kind.

  "side 129" is the time for an image over that of the smallest side; it grows
  with the number of pixels.

  Args:
    options: has model, rounds.
    peer: not used.
  """
  del peer
  found = []
  for kind, sizes in (("batch", BATCHES), ("side", SIDES),
                      ("classes", CLASSES)):
    tasks, counts = {}, {}
    for size in sizes:
      own = {"batch": 8, "side": 97, "classes": 20, kind: size}
      built = networks.classifier(options.model, own["side"], own["classes"])
      name = f"{kind} {size}"
      counts[name] = own["batch"]
      tasks[name] = step_times.step(
          built, "consistency", networks.images_for(built, own["batch"]),
          own["classes"])
    seconds = timing.alternate(tasks, options.rounds)
    found += timing.rows({name: [t / counts[name] for t in times]
                          for name, times in seconds.items()},
                         f"{kind} {sizes[0]}", 1)
  return found
