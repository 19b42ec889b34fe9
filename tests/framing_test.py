"""Squeeze, crop or pad: training, predict, explain, serving, boxes, masks."""

import dataclasses

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf import runs
from atcon_tf import serving
from atcon_tf import training
from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.data import class_masks
from atcon_tf.data import framing
from atcon_tf.data import image_store
from atcon_tf.data import pictures
from atcon_tf.data.record import Dataset
from atcon_tf.data.record import Record
from atcon_tf.reports import explainer
from atcon_tf.runs import picture_labels
from atcon_tf.runs.run import resize_of
from atcon_tf.serving import image_ops

RESIZES = ("squeeze", "crop", "pad")


@pytest.mark.parametrize("photo, network, resize, want", [
    ((100, 300), (50, 50), "squeeze", (0, 0, 100, 300)),
    ((100, 300), (50, 50), "crop", (0, 100, 100, 100)),
    ((300, 100), (50, 50), "crop", (100, 0, 100, 100)),
    ((100, 300), (50, 50), "pad", (-100, 0, 300, 300)),
    ((300, 100), (50, 50), "pad", (0, -100, 300, 300)),
    # A network of 20 x 40 sees a strip of a square photo, or margins beside.
    ((100, 100), (20, 40), "crop", (25, 0, 50, 100)),
    ((100, 100), (20, 40), "pad", (0, -50, 100, 200)),
    ((80, 80), (32, 32), "crop", (0, 0, 80, 80)),
    ((80, 80), (32, 32), "pad", (0, 0, 80, 80)),
    ((1, 500), (32, 32), "crop", (0, 249, 1, 1)),
    ((7, 4), (32, 32), "pad", (0, -2, 7, 7))])
def test_windows(photo, network, resize, want):
  part = framing.window(photo, network, resize)
  assert part == want
  # What the network sees comes back to its place on the photo.
  values = np.random.default_rng(0).uniform(1, 2, photo)
  back = framing.put_back(framing.cut(values, part), part, photo)
  assert back.shape == photo and set((back == values)[back > 0]) == {True}
  seen = back > 0
  assert seen.all() or resize == "crop"
  assert seen.sum() == min(part.height, photo[0]) * min(part.width, photo[1])


def _photo(path, height=30, width=90):
  """Left third red, middle green, right blue, from dark to bright below."""
  pixels = np.zeros([height, width, 3], np.uint8)
  for c in range(3):
    pixels[:, c * width // 3:(c + 1) * width // 3, c] = np.linspace(
        60, 250, height)[:, None]
  PIL.Image.fromarray(pixels).save(path)
  return pixels


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", [(30, 90), (91, 30), (33, 31), (1, 40)])
def test_every_way_sees_the_same(shape, resize, tmp_path):
  path = tmp_path / "x.png"
  _photo(path, *shape)
  record = Record("x", str(path), np.ones([1], np.float32),
                  frame=((24, 24), resize))
  seen = image_store.decode(record, 24).astype(float)
  explained = 255 * pictures.for_network(path, 24, resize)[0]
  predicted = 255 * picture_labels._try_read(path, 24, resize)
  served = 255 * image_ops.decode(
      tf.constant([path.read_bytes()]), (24, 24), resize)[0].numpy()
  for other in (explained, predicted, served):
    np.testing.assert_allclose(other, seen, atol=1.01)


def test_what_is_seen(tmp_path):
  """Of three colours crop sees the middle one, pad all between black."""
  path = tmp_path / "x.png"
  _photo(path)
  cropped = pictures.for_network(path, 30, "crop")[0]
  assert cropped[..., 1].min() > .2 and not cropped[..., [0, 2]].any()
  padded = pictures.for_network(path, 30, "pad")[0]
  assert not padded[:9].any() and not padded[21:].any()
  assert (padded[10:20].max((0, 1)) > .8).all()
  # The photo keeps its aspect ratio: a row each third of the columns.
  assert padded[15, 3, 0] > .5 and padded[15, 15, 1] > .5


def test_boxes_and_masks_are_framed(tmp_path):
  path = tmp_path / "x.png"
  _photo(path)
  mask = np.zeros([30, 90], np.uint8)
  mask[:, 30:60] = 1
  mask[:15, :30] = 2
  boxes = np.array([[1 / 3, 0, 2 / 3, 1], [0, 0, 1 / 3, .5]], np.float32)
  data = Dataset(("a", "b"), True, {"train": [Record(
      "x", str(path), np.ones([2], np.float32), boxes, np.arange(2),
      lambda: mask)]})
  crop, = framing.apply(data, (30, 30), "crop").splits["train"]
  np.testing.assert_allclose(crop.boxes, [[0, 0, 1, 1]], atol=1e-6)
  assert crop.box_label.tolist() == [0] and crop.label.tolist() == [1, 1]
  assert (crop.mask() == 1).all() and crop.mask().shape == (30, 30)
  pad, = framing.apply(data, (30, 30), "pad").splits["train"]
  np.testing.assert_allclose(
      pad.boxes, [[1 / 3, 1 / 3, 2 / 3, 2 / 3], [0, 1 / 3, 1 / 3, .5]],
      atol=1e-6)
  # The masks of training cover the boxes of training.
  planes = class_masks.drawn(pad, 30)
  filled = class_masks.filled(pad, 30)
  for c in (0, 1):
    np.testing.assert_array_equal(planes[c] == 1, filled[c] == 1)
  # A mask of another size than its photo is still refused.
  wrong = dataclasses.replace(data.splits["train"][0],
                              mask=lambda: mask[:, :80])
  data = dataclasses.replace(data, splits={"train": [wrong]})
  wrong, = framing.apply(data, (30, 30), "pad").splits["train"]
  with pytest.raises(UserError, match="its mask has"):
    class_masks.drawn(wrong, 30)
  assert framing.apply(data, (30, 30), "squeeze") is data


class _Bright:
  """Stands for an explainer whose map is bright where the image is."""

  class_names, methods, dotted = ("a", "b"), ["grad_cam"], ()

  def __init__(self, resize):
    self.resize = resize
    self.classifier = type("C", (), {"image_size": (30, 30)})
    self.on_photo = explainer.Explainer.on_photo.__get__(self)

  def see(self, image):
    return pictures.for_network(image, 30, self.resize)

  def probability(self, images):
    return np.array([[.2, .8]] * len(images))

  def maps(self, images, method, class_index):
    return images.max(-1)


@pytest.mark.parametrize("resize, place", [
    ("squeeze", (5, 40)), ("crop", (5, 40)), ("pad", (5, 40)),
    ("squeeze", (20, 3)), ("pad", (20, 3)), ("crop", (20, 3))])
def test_a_map_lies_on_the_photo_where_the_thing_is(resize, place):
  y, x = place
  photo = np.zeros([30, 90, 3], np.uint8)
  photo[y:y + 6, x:x + 9] = 250
  result = explainer.explain_image(_Bright(resize), photo, [1])
  overlay = result["overlays"]["grad_cam", 1]
  assert overlay.shape == photo.shape
  found = result["boxes"]["grad_cam", 1]
  if resize == "crop" and x == 3:  # it is outside of what is seen
    assert not found
    return
  box = np.array(found[0]["box"]) * [90, 30, 90, 30]
  # The network's pixels are up to three of the photo's.
  np.testing.assert_allclose(box, [x, y, x + 9, y + 6], atol=3)


def test_a_run_keeps_its_way_in_every_command(tmp_path):
  random = np.random.default_rng(0)
  for name in ("a", "b"):
    (tmp_path / "data" / name).mkdir(parents=True)
    for i in range(5):
      PIL.Image.fromarray(random.integers(0, 255, [20, 60, 3], np.uint8)).save(
          tmp_path / "data" / name / f"{i}.png")
  config = Config(
      dataset="folder", data_dir=str(tmp_path / "data"), model="tiny_cnn",
      objective="supervised", image_size=32, steps=1, eval_every=1,
      bootstrap=0, summary_images=0, shots=1, resize="crop").resolve()
  training.train_and_evaluate(config, tmp_path / "run")
  run = runs.load(tmp_path / "run")
  assert resize_of(tmp_path / "run") == "crop"
  path = tmp_path / "data/a/0.png"
  want = run.classifier.model(
      pictures.for_network(path, 32, "crop"), training=False).numpy()
  other = run.classifier.model(
      pictures.for_network(path, 32), training=False).numpy()
  assert np.abs(want - other).max() > 1e-6
  _, probability, _ = picture_labels.predict(
      run.classifier, False, [path], resize="crop")
  np.testing.assert_allclose(probability, tf.nn.softmax(want), atol=1e-6)
  table = np.load(tmp_path / "run/predictions.npz")
  row = list(table["id"]).index(run.split["test"][0])
  tested = run.classifier.model(pictures.for_network(
      tmp_path / "data" / run.split["test"][0], 32, "crop"), training=False)
  np.testing.assert_allclose(table["probability"][row],
                             tf.nn.softmax(tested)[0], atol=1e-5)
  served = tf.saved_model.load(serving.export(
      run, tmp_path / "served", ["grad_cam"], say=lambda _: None))
  answer = served.signatures["serve_bytes"](
      image_bytes=tf.constant([path.read_bytes()]))
  np.testing.assert_allclose(answer["probabilities"], tf.nn.softmax(want),
                             atol=1e-3)


def test_a_way_that_nothing_would_use_is_refused():
  with pytest.raises(UserError, match="resize='pad': not used with dataset="
                     "shapes"):
    Config(resize="pad").resolve()
  with pytest.raises(UserError, match="must be one of squeeze, crop, pad"):
    Config(dataset="folder", data_dir="x", resize="stretch").resolve()
