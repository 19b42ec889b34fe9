"""The variables of the backbone's last stage, by the names of their layers."""

import keras
import pytest

from atcon_tf import models


def _layers(variables):
  """Names of layers, each once, in order."""
  return list(dict.fromkeys(v.path.rpartition("/")[0] for v in variables))


@pytest.mark.parametrize("head", ["linear", "unit"])
def test_tiny_cnn(head):
  """Its maps are 4 x 4 from the third pooling on."""
  classifier = models.build("tiny_cnn", 3, image_size=32, head=head)
  assert [v.path for v in classifier.last_stage_variables] == [
      "conv4/kernel", "conv4/bias"]


def test_a_map_of_an_earlier_layer_has_a_stage_of_its_own():
  classifier = models.build("tiny_cnn", 3, image_size=32,
                            cam_layer=("relu3",))
  assert _layers(classifier.last_stage_variables) == ["conv3"]


def test_mobilenet_v2():
  """From the last stride on, BatchNorm included, without the head."""
  classifier = models.build("mobilenet_v2", 3, image_size=64)
  block = ["expand", "expand_BN", "depthwise", "depthwise_BN", "project",
           "project_BN"]
  assert _layers(classifier.last_stage_variables) == [
      *(f"block_13_{part}" for part in block[2:]),
      *(f"block_{n}_{part}" for n in (14, 15, 16) for part in block),
      "Conv_1", "Conv_1_bn"]
  names = {v.path for v in classifier.last_stage_variables}
  assert "block_13_depthwise_BN/gamma" in names
  assert not any("moving" in name for name in names)
  trained = {id(v) for v in classifier.model.trainable_variables}
  assert all(id(v) in trained for v in classifier.last_stage_variables)


def test_frozen_layers_of_a_users_model_are_not_among_them():
  images = keras.Input([16, 16, 3])
  x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="a")(images)
  x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="b")(x)
  frozen = keras.layers.Conv2D(4, 3, padding="same", name="c")
  frozen.trainable = False
  x = keras.layers.GlobalAveragePooling2D()(frozen(x))
  model = keras.Model(images, keras.layers.Dense(2, name="d")(x))
  assert _layers(models.wrap(model).last_stage_variables) == ["b"]
