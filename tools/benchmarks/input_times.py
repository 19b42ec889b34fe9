"""Pictures from files to batches: decoding, the stream, and who waits for it."""

import pathlib
import tempfile

import numpy as np
import PIL.Image

from atcon_tf.data import image_store
from atcon_tf.data import pipeline
from atcon_tf.data.record import Record
from tools.benchmarks import input_waits
from tools.benchmarks import networks
from tools.benchmarks import timing

# Photos of VOC's size.
COUNT, SIDES = 64, (500, 375)
CASES = (("mobilenet_v2", 161, 8),)


def measure(options, peer):
  """Yields rows of decoding and batches, then of a step's wait for them.

  Args:
    options: has model ("": mobilenet_v2), image_size (0: 161), batch_size
      (0: 8), rounds.
    peer: not used.
  """
  del peer
  ((model, size, each),) = networks.cases(options, CASES)
  with tempfile.TemporaryDirectory() as folder:
    records = _photos(pathlib.Path(folder))
    images = image_store.Images(records, size)

    count = COUNT // each or 1

    def batches(*augment):
      # One stream for all rounds: a run traces it once.
      stream = iter(pipeline.training_batches(
          images, records, each, 0, 1, 0, count * (options.rounds + 1),
          augment))
      return lambda: [next(stream)["image"].numpy()
                      for _ in range(count)] and None

    yield timing.rows(timing.alternate({
        "decode": lambda: image_store.Images(records, size) and None,
        "batches": batches(),
        "batches, crop and flip": batches("crop", "flip"),
        "batches, randaugment": batches("randaugment")},
        options.rounds, warm_up=1), "decode", count * each,
                      f"{COUNT} photos of {SIDES[0]} x {SIDES[1]} px, as "
                      f"{size} px, batches of {each}")
  yield [{"group": networks.title(model, size, each), **row}
         for row in input_waits.measure(model, size, each,
                                        max(20, 3 * options.rounds))]


def _photos(folder):
  """Records of JPEG files of smooth noise."""
  random, records = np.random.default_rng(0), []
  for i in range(COUNT):
    small = random.integers(0, 256, (12, 16, 3), np.uint8)
    path = folder / f"{i}.jpg"
    PIL.Image.fromarray(small).resize(SIDES).save(path, quality=90)
    records.append(Record(path.name, str(path), np.eye(2)[i % 2]))
  return records
