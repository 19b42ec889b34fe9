"""Where cells lie, against the pixels that they see."""

import keras
import numpy as np
import pytest

from atcon_tf.config import defaults
from atcon_tf import models
from atcon_tf.models import geometry
from atcon_tf.models.graph import ModelGraph

LAYERS = keras.layers


@pytest.fixture(autouse=True)
def seed():
  keras.utils.set_random_seed(0)


def _conv(size, **options):
  return LAYERS.Conv2D(1, size, kernel_initializer="ones", use_bias=False,
                       **options)


# Each stack sees every pixel of its window with a positive, symmetric weight.
STACKS = {
    "valid": lambda: [_conv(3), _conv((5, 2))],
    "same": lambda: [_conv(3, padding="same"), _conv(5, padding="same")],
    "valid, stride 2": lambda: [_conv(3, strides=2), _conv(2, strides=2)],
    "same, stride 2": lambda: [
        _conv(3, strides=2, padding="same"),
        _conv(3, strides=2, padding="same")],
    "same, even window": lambda: [_conv(4, padding="same"),
                                  _conv(2, strides=2, padding="same")],
    "same, stride 3 and 1": lambda: [_conv(5, strides=(3, 1), padding="same")],
    "same, stride wider than the window": lambda: [
        _conv(1, strides=2, padding="same"), _conv(3, padding="same")],
    "dilated": lambda: [_conv(3, dilation_rate=2),
                        _conv(3, dilation_rate=(3, 1), padding="same")],
    "zero padding": lambda: [
        LAYERS.ZeroPadding2D(((0, 1), (2, 3))), _conv(3, strides=2)],
    "cropping": lambda: [LAYERS.Cropping2D(((3, 0), (1, 2))), _conv(3)],
    "pooling": lambda: [
        LAYERS.AveragePooling2D(2), LAYERS.AveragePooling2D(3, 1, "same"),
        LAYERS.AveragePooling2D((2, 3), (1, 2), "same")],
    "depthwise and separable": lambda: [
        LAYERS.DepthwiseConv2D(3, 2, "same", depthwise_initializer="ones"),
        LAYERS.SeparableConv2D(1, 3, 2, depthwise_initializer="ones",
                               pointwise_initializer="ones")],
    "upsampling": lambda: [
        _conv(3, strides=2, padding="same"), LAYERS.UpSampling2D(2),
        _conv(3, padding="same"), LAYERS.UpSampling2D((1, 3)), _conv(2)],
    "resizing": lambda: [LAYERS.Resizing(60, 30), LAYERS.ReLU(), _conv(3)],
}


def _centres(model, size):
  """Mean row and column that each cell sees, by the weight it gives them."""
  index = np.arange(size, dtype=np.float32)
  row, column = np.meshgrid(index, index, indexing="ij")
  total, rows, columns = model(
      np.stack([np.ones_like(row), row, column])[..., np.newaxis]
      ).numpy()[..., 0]
  assert total.min() >= 0
  total = np.maximum(total, 1e-9)  # a cell may see padding alone
  return rows / total, columns / total


@pytest.mark.parametrize("size", [30, 31, 33])
@pytest.mark.parametrize("name", STACKS)
def test_follow(name, size):
  layers = STACKS[name]()
  place, x = geometry.IDENTITY, keras.Input([size, size, 1])
  images = x
  for layer in layers:
    y = layer(x)
    place = geometry.follow(layer, place, x.shape, y.shape)
    x = y
  rows, columns = _centres(keras.Model(images, x), size)
  for measured, (offset, stride) in [(rows[:, rows.shape[1] // 2], place[0]),
                                     (columns[len(columns) // 2], place[1])]:
    expected = offset + stride * np.arange(len(measured))
    # Windows that reach beyond the image are cut off: the middle is not.
    middle = slice(len(measured) // 3, len(measured) - len(measured) // 3)
    # A nearest-neighbour copy keeps its source's centre, up to half a copy
    # from its own.
    atol = {"upsampling": 1.01, "resizing": .3}.get(name, 1e-4)
    np.testing.assert_allclose(measured[middle], expected[middle], atol=atol)
    assert len(measured[middle]) > 1


@pytest.mark.parametrize("size, offset", [(224, 15.5), (225, 15.5)])
def test_five_halvings_by_hand(size, offset):
  # Pooling by 2 five times: cell n is the mean of pixels 32 n to 32 n + 31.
  place, shape = geometry.IDENTITY, (None, size, size, 1)
  for _ in range(5):
    place = geometry.follow(LAYERS.MaxPooling2D(), place, shape)
  assert place == ((offset, 32),) * 2


@pytest.mark.parametrize("size, before, after", [
    (224, 0, 1), (225, 1, 1), (1, 1, 1)])
def test_same_padding_by_hand(size, before, after):
  # A window of 3 with steps of 2: on even sizes only the end is padded.
  assert geometry.same_padding(size, 3, 2) == (before, after)


def test_recut_by_hand():
  # 4 cells at 2 7 12 17 (of 5 pixels) as 2 cells of 10: at 4.5 and 14.5; as
  # 20 of 1: at 0 to 19.
  assert geometry.recut(((2, 5), (2, 5)), (4, 4), (2, 20)) == (
      (4.5, 10), (0, 1))


def test_merged_branches_have_one_place():
  images = keras.Input([33, 33, 3])
  short = LAYERS.Conv2D(2, 1, strides=2)(images)
  long = LAYERS.Conv2D(2, 3, strides=2, padding="same")(images)
  model = keras.Model(images, LAYERS.Add(name="sum")([short, long]))
  graph = ModelGraph(model, keras.Input([33, 33, 3]))
  assert graph.geometry["sum"] == ((0, 2), (0, 2))


def test_mobilenet_v2_at_161():
  classifier = models.build("mobilenet_v2", 2, image_size=161, width=.35)
  assert classifier.geometry == [((0, 32), (0, 32))]
  assert classifier.features.output_shape == (None, 6, 6, 1280)


def _turned_gap(name, size):
  """How far the map of a turned image is from the turned map.

  With kernels that are equal to themselves turned by 180 degrees the two are
  the same if, and only if, the cells are symmetric about the image centre.
  """
  classifier = models.build(name, 2, image_size=size, **(
      {"width": .25} if name == "mobilenet" else
      {"width": .35} if name == "mobilenet_v2" else {}))
  for variable in classifier.features.variables:
    if len(variable.shape) == 4:
      kernel = variable.numpy()
      variable.assign((kernel + kernel[::-1, ::-1]) / 2)
  x = np.random.default_rng(0).normal(size=[1, size, size, 3])
  pair = np.concatenate([x, x[:, ::-1, ::-1]]).astype(np.float32)
  straight, turned = classifier.features(pair).numpy().astype(np.float64)
  assert straight.std() > 0
  (offset, stride), _ = classifier.geometry[0]
  centre = offset + stride * (len(straight) - 1) / 2
  gap = np.abs(straight - turned[::-1, ::-1]).max() / np.abs(straight).max()
  return gap, centre - (size - 1) / 2


@pytest.mark.parametrize("name", [
    "tiny_cnn", "mobilenet_v2", "mobilenet", "resnet50", "densenet121",
    "inception_v3", "vgg16", "efficientnet_b0"])
def test_default_sizes_give_symmetric_maps(name):
  """ResNet101 and VGG19 have the strides of their smaller kin."""
  gap, shift = _turned_gap(name, defaults.of(name).image_size)
  assert shift == 0
  assert gap < 1e-3


@pytest.mark.parametrize("name, size, expected", [
    ("mobilenet_v2", 160, 15.5), ("mobilenet", 160, 15.5)])
def test_other_sizes_do_not_and_the_geometry_knows(name, size, expected):
  # Padded at the end only, MobileNetV2's 5 cells lie at pixels 31 to 159.
  gap, shift = _turned_gap(name, size)
  assert shift == expected
  assert gap > 1e-2
