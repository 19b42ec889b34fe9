"""Pictures of the user's own, as the network sees them."""

import numpy as np
import PIL.Image

from atcon_tf.data import pictures


def test_a_picture_for_the_network_from_its_path_or_its_pixels(tmp_path):
  pixels = np.zeros([4, 8, 3], np.uint8)
  pixels[:, 4:] = 255
  PIL.Image.fromarray(pixels).save(tmp_path / "x.png")
  batch = pictures.for_network(tmp_path / "x.png", 2)
  assert batch.dtype == np.float32
  assert batch.shape == (1, 2, 2, 3)
  assert batch[0, :, 0].max() < .5 < batch[0, :, 1].min() <= 1
  np.testing.assert_array_equal(pictures.for_network(pixels, 2), batch)
