"""Records of small drawn images."""

import numpy as np

from atcon_tf.data import Record


def record(image, number=0, label=(1., 0.)):
  """A record of the image, with the id `id<number>`."""
  return Record(f"id{number}", image, np.array(label, np.float32))


def drawn(count, size=4):
  """Records of drawn images; every value of image n is n."""
  return [record(lambda n=n: np.full([size, size, 3], n, np.uint8), n,
                 [n, n % 2]) for n in range(count)]
