"""The share of a training step that waits for data.

Training takes each batch from the run's own stream of augmented batches. The
share is the time inside `next` over the time of the whole step, both of the
same steps in one process. It depends on the load of the machine, because the
stream works while the step does; so there is also what a batch and a step take
alone. Where a batch takes less than a step, a second core hides it.
"""

import statistics
import time

import keras
import numpy as np

from atcon_tf import models
from atcon_tf.data import image_store
from atcon_tf.data import pipeline
from atcon_tf.data.record import Record
from atcon_tf.objectives import supervised
from atcon_tf.objectives.base import SUPERVISED
from atcon_tf.training.trainer import Trainer
from tools.benchmarks import timing

CLASSES, PICTURES = 20, 256
AUGMENT = ("crop", "flip")


def measure(model, image_size, batch_size, steps, warm_up=5):
  """Rows of supervised steps of a backbone, see `timing.rows`.

  Args:
    model, image_size, batch_size: as of a run.
    steps: that are timed.
    warm_up: steps before them.
  Returns:
    rows of a step with its wait, whose ratio is 1; of the wait, whose ratio
    is the share of all steps; and of a batch and a step alone.
  """
  keras.utils.set_random_seed(0)
  classifier = models.build(model, CLASSES, image_size=image_size)
  rng = np.random.default_rng(0)
  label = rng.uniform(size=[PICTURES, CLASSES]) < .07
  drawn = rng.integers(0, 256, [PICTURES, *classifier.image_size, 3], np.uint8)
  records = [Record(f"{i}", lambda i=i: drawn[i], label[i].astype(np.float32))
             for i in range(PICTURES)]
  images = image_store.Images(records, classifier.image_size)
  trainer = Trainer(
      classifier, {SUPERVISED: supervised.Supervised(classifier)},
      {name: keras.optimizers.Adam(1e-6) for name in ("backbone", "head")})
  seconds = {name: [] for name in ("whole", "wait", "batch", "step")}

  def stream():
    return iter(pipeline.training_batches(
        images, records, batch_size, 0, 1, 0, warm_up + steps, AUGMENT))

  batches = stream()
  for _ in range(warm_up + steps):
    started = time.perf_counter()
    batch = next(batches)
    seconds["wait"].append(time.perf_counter() - started)
    trainer.run({SUPERVISED: batch})
    seconds["whole"].append(time.perf_counter() - started)
  batches = stream()
  for name, work in (("step", lambda: trainer.run({SUPERVISED: batch})),
                     ("batch", lambda: next(batches))):
    for _ in range(warm_up + steps):
      started = time.perf_counter()
      work()
      seconds[name].append(time.perf_counter() - started)
  seconds = {name: each[warm_up:] for name, each in seconds.items()}
  about = f"{model}, {batch_size} images of {image_size} px"
  titles = {"whole": f"step and wait ({about})", "wait": "its wait for data",
            "batch": "a batch alone", "step": "the step alone"}
  rows = []
  for name, title in titles.items():
    ms = sorted(1e3 * s / batch_size for s in seconds[name])
    rows.append({
        "name": title, "ms": statistics.median(ms), "low": ms[len(ms) // 4],
        "high": ms[-1 - len(ms) // 4], "of": "step and wait",
        "ratio": sum(seconds[name]) / sum(seconds["whole"]),
        "peak_gib": timing.device_peak()})
    print(f"{title}: {rows[-1]['ms']:.1f} ms an image, "
          f"{rows[-1]['ratio']:.1%} of step and wait", flush=True)
  return rows
