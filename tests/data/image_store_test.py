"""Decoding of images of every kind, and the store of decoded images."""

import io
import struct
import threading
import zlib

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import UserError
from atcon_tf.data import image_store
from atcon_tf.data import pictures
from atcon_tf.data import pipeline
from tests.data.drawn_records import drawn
from tests.data.drawn_records import record


def _saved(tmp_path, image, name="image.png", **options):
  path = str(tmp_path / name)
  image.save(path, **options)
  return path


def _decoded(path, size=2):
  return image_store.decode(record(path), size)


# Decoding.


GREY = np.array([[0, 100], [200, 255]], np.uint8)


def test_grey(tmp_path):
  found = _decoded(_saved(tmp_path, PIL.Image.fromarray(GREY)))
  np.testing.assert_array_equal(found, np.stack([GREY] * 3, -1))
  assert found.dtype == np.uint8


def test_colour_keeps_the_order_of_channels(tmp_path):
  rgb = np.array([[[1, 2, 3], [9, 8, 7]], [[0, 128, 255], [5, 5, 6]]],
                 np.uint8)
  np.testing.assert_array_equal(
      _decoded(_saved(tmp_path, PIL.Image.fromarray(rgb))), rgb)


def test_transparency_is_seen_over_white(tmp_path):
  rgba = np.zeros([2, 2, 4], np.uint8)
  rgba[..., 0] = 100
  rgba[..., 3] = [[255, 0], [51, 255]]
  found = _decoded(_saved(tmp_path, PIL.Image.fromarray(rgba)))
  # Opaque; not there; a fifth of (100, 0, 0) and four fifths of white.
  np.testing.assert_array_equal(
      found, [[[100, 0, 0], [255, 255, 255]], [[224, 204, 204], [100, 0, 0]]])


@pytest.mark.parametrize("transparent", [None, 1])
def test_palette(tmp_path, transparent):
  image = PIL.Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
  image.putpalette([10, 20, 30, 40, 50, 60])
  options = {} if transparent is None else {"transparency": transparent}
  found = _decoded(_saved(tmp_path, image, **options))
  second = [40, 50, 60] if transparent is None else [255, 255, 255]
  np.testing.assert_array_equal(
      found, [[[10, 20, 30], second], [second, [10, 20, 30]]])


def test_16_bit(tmp_path):
  # 257 x 100 is the 16-bit form of 100; 65535 that of 255.
  values = np.array([[0, 25700], [300, 65535]], np.uint16)
  found = _decoded(_saved(tmp_path, PIL.Image.fromarray(values)))
  np.testing.assert_array_equal(found[..., 1], [[0, 100], [1, 255]])


@pytest.mark.parametrize("mode, name", [
    ("1", "a.png"), ("L", "a.jpg"), ("LA", "a.png"), ("CMYK", "a.jpg"),
    ("RGB", "a.webp"), ("RGB", "a.bmp"), ("P", "a.gif")])
def test_other_modes_and_formats(tmp_path, mode, name):
  white = PIL.Image.new("RGB", (9, 5), "white")
  white = (white.convert("L") if mode == "LA" else white).convert(mode)
  found = _decoded(_saved(tmp_path, white, name), 4)
  assert found.shape == (4, 4, 3) and found.min() >= 253


def test_a_photo_stands_the_way_up_that_its_exif_says(tmp_path):
  """With orientation 6 the left edge of the stored pixels is the top."""
  pixels = np.zeros([2, 4, 3], np.uint8)
  pixels[:, :2] = 255  # white on the left as it is stored
  exif = PIL.Image.Exif()
  exif[0x0112] = 6
  path = str(tmp_path / "turned.png")
  PIL.Image.fromarray(pixels).save(path, exif=exif)
  found = image_store.decode(record(path), 4)
  np.testing.assert_array_equal(found[0], 255)
  np.testing.assert_array_equal(found[-1], 0)
  assert pictures.read(path).shape == (4, 2, 3)


def test_an_image_is_squeezed_to_a_square(tmp_path):
  # Left half dark, right half bright, 8 wide and 2 high.
  values = np.repeat([[0] * 4 + [200] * 4], 2, 0).astype(np.uint8)
  found = _decoded(_saved(tmp_path, PIL.Image.fromarray(values)), 4)
  np.testing.assert_array_equal(found[:, 0], 0)
  np.testing.assert_array_equal(found[:, 3], 200)


def test_drawn():
  np.testing.assert_array_equal(
      image_store.decode(drawn(8)[7], 4), np.full([4, 4, 3], 7))


# Images that do not decode.


def _truncated(tmp_path):
  buffer = io.BytesIO()
  noise = np.random.default_rng(0).integers(0, 256, [64, 64, 3], np.uint8)
  PIL.Image.fromarray(noise).save(buffer, "JPEG")
  path = tmp_path / "truncated.jpg"
  path.write_bytes(buffer.getvalue()[:len(buffer.getvalue()) // 2])
  return str(path)


def _huge(tmp_path):
  """A small file whose header gives a size of 30000 x 30000 pixels."""
  def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(
        ">I", zlib.crc32(name + data))

  path = tmp_path / "huge.png"
  path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
      ">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b""))
  return str(path)


def _text(tmp_path):
  path = tmp_path / "text.jpg"
  path.write_text("no image")
  return str(path)


def _empty(tmp_path):
  path = tmp_path / "empty.png"
  path.write_bytes(b"")
  return str(path)


def _absent(tmp_path):
  return str(tmp_path / "absent.jpg")


@pytest.mark.parametrize("bad, why", [
    (_truncated, "truncated"), (_huge, "DecompressionBomb"),
    (_text, "cannot identify"), (_empty, "an empty file"),
    (_absent, "No such file")])
def test_a_bad_image_is_refused_by_name(tmp_path, bad, why):
  path = bad(tmp_path)
  records = [*drawn(2), record(path, 2)]
  with pytest.raises(UserError) as caught:
    image_store.Images(records, 4)
  assert str(caught.value).startswith(f"{path}: does not decode (")
  assert why in str(caught.value)
  assert str(caught.value).endswith("one image more than --max_bad_images=0")
  assert "\n" not in str(caught.value)


def test_bad_images_are_left_out_up_to_a_number(tmp_path):
  bad = [record(_text(tmp_path), 10), record(_empty(tmp_path), 11)]
  good = drawn(3)
  records = [good[0], bad[0], good[1], bad[1], good[2]]
  images = image_store.Images(records, 4, max_bad_images=2)
  assert images.records == good
  assert list(images.bad) == [r.image for r in bad]
  assert "id10" not in images and "id2" in images
  rows = images.rows(["id2", "id0", "id2"])
  np.testing.assert_array_equal(images.pixels[rows][:, 0, 0, 0], [2, 0, 2])
  with pytest.raises(UserError, match="empty.png.*max_bad_images=1"):
    image_store.Images(records, 4, max_bad_images=1)


def test_after_a_refusal_the_rest_is_not_read(tmp_path):
  read, refused = [], threading.Event()

  def slow(number):
    refused.wait(.2)
    read.append(number)
    return np.zeros([4, 4, 3], np.uint8)

  records = [record(_text(tmp_path), 0), *(
      record(lambda n=n: slow(n), n) for n in range(1, 300))]
  with pytest.raises(UserError):
    image_store.Images(records, 4)
  refused.set()
  assert len(read) < 150


def test_large_sets_live_in_a_mapped_file(monkeypatch):
  records = drawn(5)
  in_memory = image_store.Images(records, 4)
  monkeypatch.setattr(image_store, "_IN_MEMORY", 5 * 4 * 4 * 3 - 1)
  mapped = image_store.Images(records, 4)
  assert isinstance(mapped.pixels, np.memmap)
  assert not isinstance(in_memory.pixels, np.memmap)
  np.testing.assert_array_equal(mapped.pixels, in_memory.pixels)
  (batch,) = pipeline.training_batches(mapped, records, 2, 0, 1, 0, 1)
  assert batch["image"].shape == (2, 4, 4, 3)


def test_no_room_for_a_mapped_file(monkeypatch):
  monkeypatch.setattr(image_store, "_IN_MEMORY", 0)

  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(image_store.os, "posix_fallocate", full)
  with pytest.raises(UserError, match="No space left.*image_size"):
    image_store.Images(drawn(5), 4)


def test_a_mapped_file_where_no_call_reserves_room(monkeypatch):
  """macOS has no posix_fallocate."""
  monkeypatch.setattr(image_store, "_IN_MEMORY", 0)
  monkeypatch.delattr(image_store.os, "posix_fallocate")
  images = image_store.Images(drawn(3), 4)
  assert isinstance(images.pixels, np.memmap)
  assert images.pixels[:, 0, 0, 0].tolist() == [0, 1, 2]
