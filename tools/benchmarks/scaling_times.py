"""What one more image, pixel or class costs: one size at a time grows."""

import tensorflow as tf

from atcon_tf.objectives import rank_labels
from tools.benchmarks import networks
from tools.benchmarks import step_times
from tools.benchmarks import timing

MODEL = "mobilenet"
OWN = {"batch": 8, "side": 97, "classes": 20}
SIZES = {"batch": (1, 2, 4, 8, 16, 32), "side": (65, 97, 129, 161, 225),
         "classes": (2, 20, 200, 1000),
         "unlabelled images in a step": (4, 8, 16, 32),
         "pool": (1_000, 4_000, 16_000, 64_000)}


def measure(options, peer):
  """Yields the rows of each size, beside the first of its kind.

  "side 129" is the time for an image over that of the smallest side; it grows
  with the number of pixels. "batch", "side" and "classes" are of a consistency
  step, "unlabelled images in a step" of self-training beside 4 labelled ones,
  "pool" of ranking 20 classes.

  Args:
    options: has model, rounds.
    peer: not used.
  """
  del peer
  model = options.model or MODEL
  for kind, sizes in SIZES.items():
    tasks = {f"{kind} {size}": (_task(model, kind, size), size)
             for size in sizes}
    seconds, memory = timing.alternate(
        {name: task for name, (task, _) in tasks.items()}, options.rounds)
    count = {name: OWN["batch"] if kind in ("side", "classes") else size
             for name, (_, size) in tasks.items()}
    yield timing.rows(({name: [t / count[name] for t in times]
                        for name, times in seconds.items()}, memory),
                      f"{kind} {sizes[0]}", 1, f"{model}: {kind}")


def _task(model, kind, size):
  """A function that handles a size of a kind."""
  if kind == "pool":
    logits = tf.random.normal([size, 20]).numpy()
    return lambda: rank_labels.rank_labels(logits, [40] * 20) and None
  own = {**OWN, kind: size}
  built = networks.classifier(model, own["side"], own["classes"])
  if kind == "unlabelled images in a step":
    return step_times.step(built, "self_training",
                           networks.images_for(built, size), labelled=4)
  return step_times.step(built, "consistency", networks.images_for(
      built, own["batch"]), own["classes"])
