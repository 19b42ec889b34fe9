"""The way up of a JPEG: as PIL has it, for every note and every damage."""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf.data import decoding
from atcon_tf.serving import image_ops
from atcon_tf.serving import exif_orientation

_PIXELS = np.random.default_rng(0).integers(0, 256, [5, 7, 3], np.uint8)


def jpeg(note=b"", **more):
  """A picture of 28 x 20 pixels; `note` goes in as its EXIF data."""
  buffer = io.BytesIO()
  PIL.Image.fromarray(_PIXELS).resize((28, 20)).save(
      buffer, "JPEG", exif=note, **more)
  return buffer.getvalue()


def note(value, order="big", before=0, tag=0x0112):
  """EXIF data with an orientation behind `before` other entries."""
  def number(n, size):
    return n.to_bytes(size, order)

  entries = [number(0x0100 + i, 2) + number(3, 2) + number(1, 4)
             + number(6, 2) + bytes(2) for i in range(before)]
  entries.append(number(tag, 2) + number(3, 2) + number(1, 4)
                 + number(value, 2) + bytes(2))
  return (b"Exif\0\0" + (b"MM" if order == "big" else b"II") + number(42, 2)
          + number(8, 4) + number(len(entries), 2) + b"".join(entries)
          + bytes(4))


_read = tf.function(exif_orientation.orientation,
                    input_signature=[tf.TensorSpec([], tf.string)])


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("value", range(1, 9))
def test_as_pil_turns_it(value, order):
  contents = jpeg(note(value, order, before=3))
  assert int(_read(contents)) == value
  want = decoding.to_rgb(PIL.Image.open(io.BytesIO(contents)))
  plain = tf.io.decode_jpeg(contents, 3, dct_method="INTEGER_ACCURATE")
  got = exif_orientation.turn(plain, _read(contents)).numpy()
  assert got.shape == np.asarray(want).shape
  np.testing.assert_allclose(got, np.asarray(want, float), atol=1)
  served = 255 * image_ops.decode(tf.constant([contents]), (16, 16))[0].numpy()
  small = want.resize((16, 16), PIL.Image.Resampling.BILINEAR)
  np.testing.assert_allclose(served, np.asarray(small, float), atol=1.01)


def test_behind_other_segments():
  # An ICC profile of many segments, and a comment, stand before it.
  plain = jpeg(icc_profile=bytes(70_000), comment=b"hello")
  full = plain[:2] + jpeg(note(6))[2:]
  late = plain[:20] + full[20:]
  assert int(_read(full)) == 6 and int(_read(late)) == 6
  segment = note(8)
  segment = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
  start = plain.index(b"\xff\xdb")
  assert int(_read(plain[:start] + segment + plain[start:])) == 8


@pytest.mark.parametrize("contents", [
    b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xe1", b"hello" * 9,
    b"\xff\xd8" + b"\xff\xe0\0\0" * 500, jpeg(), jpeg(note(9)),
    jpeg(note(0)), jpeg(note(6, tag=0x0113)), jpeg(note(6)[:20]),
    jpeg(b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(20)),
    jpeg(b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")])
def test_whatever_else_stands_there_is_left_as_it_is(contents):
  assert int(_read(contents)) == 1
