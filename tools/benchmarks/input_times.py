"""Pictures from files to batches: decoding, the stream, and who waits for it."""

import pathlib
import tempfile

import numpy as np
import PIL.Image

from atcon_tf.data import image_store
from atcon_tf.data import pipeline
from atcon_tf.data.record import Record
from tools.benchmarks import input_waits
from tools.benchmarks import timing

# Photos of VOC's size.
COUNT, SIDES = 64, (500, 375)


def measure(options, peer):
  """Rows of decoding, of the batches of a step, and of its wait for them.

  Args:
    options: has model, image_size, batch_size, rounds.
    peer: not used.
  """
  del peer
  size = options.image_size
  with tempfile.TemporaryDirectory() as folder:
    records = _photos(pathlib.Path(folder))
    images = image_store.Images(records, size)

    def batches(augment):
      count = COUNT // options.batch_size or 1
      for batch in pipeline.training_batches(
          images, records, options.batch_size, 0, 1, 0, count, augment):
        batch["image"].numpy()

    rows = timing.rows(timing.alternate({
        "decode": lambda: image_store.Images(records, size) and None,
        "batches": lambda: batches(()),
        "batches, crop and flip": lambda: batches(("crop", "flip")),
        "batches, randaugment": lambda: batches(("randaugment",))},
        options.rounds, warm_up=1), "decode", COUNT)
  return rows + input_waits.measure(
      options.model, size, options.batch_size, max(20, 3 * options.rounds))


def _photos(folder):
  """Records of JPEG files of smooth noise."""
  random, records = np.random.default_rng(0), []
  for i in range(COUNT):
    small = random.integers(0, 256, (12, 16, 3), np.uint8)
    path = folder / f"{i}.jpg"
    PIL.Image.fromarray(small).resize(SIDES).save(path, quality=90)
    records.append(Record(path.name, str(path), np.eye(2)[i % 2]))
  return records
