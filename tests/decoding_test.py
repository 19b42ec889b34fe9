"""One decoding: training, explain, predict and the served graph agree.

Each kind of picture is compared with its right pixels, not only with another
reader of it.
"""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.data import decoding
from atcon_tf.data import image_files
from atcon_tf.data import image_store
from atcon_tf.data import pictures
from atcon_tf.data.record import Record
from atcon_tf.runs import picture_labels
from atcon_tf.serving import image_ops
from tests.picture_kinds import KINDS
from tests.picture_kinds import REFUSED

SIZE = 24
_served = tf.function(lambda contents: image_ops.decode(contents, (SIZE, SIZE)),
                      input_signature=[tf.TensorSpec([None], tf.string)])


def _record(path):
  return Record("x", str(path), np.ones([1], np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_sees_the_same_picture(kind, tmp_path):
  contents, right, tolerance = KINDS[kind]()
  path = tmp_path / "picture.jpg"  # the content tells what a file is
  path.write_bytes(contents)
  whole = pictures.read(path).astype(float)
  assert whole.shape == right.shape
  assert np.abs(whole - right).max() <= tolerance
  seen = {"training": image_store.decode(_record(path), SIZE) / 255,
          "explain": pictures.for_network(path, SIZE)[0],
          "predict": picture_labels._try_read(path, SIZE, "squeeze")}
  if kind.startswith(("png", "jpeg")) and "2000" not in kind:
    seen["served"] = _served(tf.constant([contents]))[0].numpy()
  want = np.asarray(PIL.Image.fromarray(right).resize(
      (SIZE, SIZE), PIL.Image.Resampling.BILINEAR), float)
  for name, pixels in seen.items():
    assert np.abs(255 * pixels - want).max() <= max(2, tolerance), name
    assert np.abs(255 * (pixels - seen["training"])).max() <= 2, name


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_rightly_is_refused(kind, tmp_path):
  contents, reason = REFUSED[kind]()
  path = tmp_path / "picture.png"
  path.write_bytes(contents)
  with pytest.raises(UserError, match=reason) as caught:
    pictures.read(path)
  assert "picture.png: does not decode (" in str(caught.value)
  with pytest.raises(UserError, match=reason):
    image_store.Images([_record(path)], 4)


def test_the_end_of_a_jpeg(tmp_path):
  """Lost it is refused; what follows it is no fault."""
  noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
  path = tmp_path / "picture.jpg"
  PIL.Image.fromarray(noise).save(path)
  whole = path.read_bytes()
  for end in (bytes(9), b"a camera's own data"):
    path.write_bytes(whole + end)
    assert (decoding.rgb(path) == decoding.rgb(io.BytesIO(whole))).all()
  path.write_bytes(whole[:-400] + bytes(9000))
  with PIL.Image.open(path) as image:
    image.load()  # PIL says nothing
  for file in (path, io.BytesIO(path.read_bytes())):
    with pytest.raises(ValueError, match="Premature end of JPEG"):
      decoding.rgb(file)
  with pytest.raises(tf.errors.OpError):
    _served(tf.constant([path.read_bytes()]))


def test_the_end_of_a_png(tmp_path):
  path = tmp_path / "picture.png"
  PIL.Image.new("RGB", (20, 20), "red").save(path)
  whole = path.read_bytes()
  decoding.rgb(io.BytesIO(whole + b"more"))
  for broken in (whole[:-4], whole[:-1] + b"x"):
    path.write_bytes(broken)
    with pytest.raises(ValueError, match="without its end"):
      decoding.rgb(path)
    with pytest.raises(tf.errors.OpError):
      _served(tf.constant([broken]))


def test_endings_and_formats_are_one_list():
  formats = PIL.Image.registered_extensions()
  assert {formats[ending] for ending in image_files.ENDINGS
          if ending in formats} == set(decoding.FORMATS)


def test_of_several_frames_the_first_is_used_and_it_is_said(tmp_path):
  for name, count in (("one.gif", 1), ("clip.gif", 3), ("pages.tif", 2)):
    frames = [PIL.Image.new("L", (8, 8), 60 * i) for i in range(count)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
  found = pictures.find([str(tmp_path)])
  store = image_store.Images(
      [Record(p.name, str(p), np.ones([1], np.float32)) for p in found], 4)
  assert not store.pixels.any()
  assert store.several == [str(tmp_path / n) for n in ("clip.gif",
                                                       "pages.tif")]
  assert [p.name for p in pictures.several_frames(found)] == ["clip.gif",
                                                              "pages.tif"]
  note, = pictures.frames_note(store.several)
  assert "2 of the pictures" in note and "clip.gif" in note
  assert pictures.frames_note([]) == []


def test_the_size_before_reading_is_the_size_after(tmp_path):
  for kind in KINDS:
    contents, right, _ = KINDS[kind]()
    with decoding.open_image(io.BytesIO(contents)) as image:
      assert decoding.upright_size(image) == right.shape[1::-1], kind
