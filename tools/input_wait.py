"""The share of a training step that waits for data.

    python -m tools.input_wait --model=mobilenet_v2 --image_size=161

Training takes each batch from the run's own stream of augmented batches. The
share is the time inside `next` over the time of the whole step, both of the
same steps in one process. It depends on the load of the machine, because the
stream works while the step does; so the table also has what a batch and a step
take alone. Where a batch takes less than a step, a second core hides it.
"""

import time

from absl import flags
import keras
import numpy as np

from atcon_tf.config import cli
from atcon_tf.config import fields
from atcon_tf.config import settings
from atcon_tf.data import image_store
from atcon_tf.data import pipeline
from atcon_tf.data.record import Record
from atcon_tf import models
from atcon_tf.objectives import supervised
from atcon_tf.objectives.base import SUPERVISED
from atcon_tf.training.trainer import Trainer

CLASSES, PICTURES = 20, 256


def measure(model, image_size, batch_size, steps, augment=("crop", "flip"),
            warm_up=5):
  """Times of supervised steps of a backbone.

  Args:
    model, image_size, batch_size, augment: as of a run.
    steps: that are timed.
    warm_up: steps before them.
  Returns:
    `{"share": of a step that waits, "batch_ms", "step_ms": alone}`.
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

  def stream(count):
    return iter(pipeline.training_batches(
        images, records, batch_size, 0, 1, 0, count, augment))

  batches, waits, whole = stream(warm_up + steps), [], []
  for _ in range(warm_up + steps):
    started = time.perf_counter()
    batch = next(batches)
    waits.append(time.perf_counter() - started)
    trainer.run({SUPERVISED: batch})
    whole.append(time.perf_counter() - started)
  alone = _seconds(lambda: trainer.run({SUPERVISED: batch}), steps)
  batches = stream(warm_up + steps)
  for _ in range(warm_up):
    next(batches)
  return {"share": sum(waits[warm_up:]) / sum(whole[warm_up:]),
          "batch_ms": 1e3 * _seconds(lambda: next(batches), steps),
          "step_ms": 1e3 * alone}


def _seconds(function, times):
  """The mean seconds of calls."""
  started = time.perf_counter()
  for _ in range(times):
    function()
  return (time.perf_counter() - started) / times


def main(argv):
  """Measures, and prints a line."""
  del argv
  values = flags.FLAGS
  fields.check_augment("augment", values.augment)
  found = measure(values.model, values.image_size, values.batch_size,
                  values.steps, values.augment)
  print(f"{values.model}, {values.image_size} px, batch {values.batch_size}, "
        f"{','.join(values.augment)}: {found['share']:.1%} of a step waits for "
        f"data; alone a batch takes {found['batch_ms']:.1f} ms, a step "
        f"{found['step_ms']:.1f} ms")


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_enum("model", "mobilenet_v2", settings.MODELS, "backbone")
  flags.DEFINE_integer("image_size", 161, "side of the images", 32)
  flags.DEFINE_integer("batch_size", 8, "images in a step", 1)
  flags.DEFINE_integer("steps", 40, "timed steps", 1)
  flags.DEFINE_list("augment", ["crop", "flip"], "as of train")


if __name__ == "__main__":
  cli.run(main, define_flags)
