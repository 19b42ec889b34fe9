"""A served model draws a map over an image as the figures do."""

import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import contact_sheets
from atcon_tf.serving import image_ops


@pytest.mark.parametrize("sign", [1, -1, 0])
def test_the_graphs_overlay_is_that_of_numpy(sign):
  """Maps with a positive part, without one, and of zeros."""
  rng = np.random.default_rng(0)
  images = rng.uniform(size=[3, 20, 30, 3]).astype(np.float32)
  heat = sign * np.abs(rng.normal(size=[3, 20, 30])).astype(np.float32)
  heat[0, :5] *= -1
  served = [tf.io.decode_png(png).numpy()
            for png in image_ops.overlay(images, heat)]
  for image, one, got in zip(images, heat, served):
    want = 255 * canvas.overlay(image, one)
    assert np.abs(got - want).max() <= 0.51


def test_an_overlay_has_the_aspect_of_its_picture():
  """A wide, a tall and a square picture, squeezed to 20 x 20."""
  contents = [tf.io.encode_jpeg(np.full([*size, 3], 90, np.uint8)).numpy()
              for size in ((30, 90), (80, 20), (16, 16))]
  images, shapes = image_ops.decode_with_shapes(tf.constant(contents),
                                                (20, 20))
  heat = np.zeros([3, 20, 20], np.float32)
  heat[:, :10] = 1  # the upper half
  for png, size in zip(image_ops.overlay(images, heat, shapes),
                       [(7, 20), (20, 5), (20, 20)]):
    pixels = tf.io.decode_png(png).numpy().astype(float)
    assert pixels.shape == (*size, 3)
    assert pixels[0].mean() > pixels[-1].mean() + 30
  cropped = image_ops.decode_with_shapes(tf.constant(contents), (20, 20),
                                         "crop")[1]
  np.testing.assert_array_equal(cropped, [(30, 30), (20, 20), (16, 16)])


def test_a_contact_sheet_has_the_same_grey():
  image = np.full([4, 4, 3], 100, np.uint8)
  grey = contact_sheets.overlay(image, np.zeros([4, 4]))
  want = canvas.blend(image / 255, np.zeros([4, 4]), np.zeros([4, 4]))
  np.testing.assert_allclose(grey / 255, want, atol=.003)
