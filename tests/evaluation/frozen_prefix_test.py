"""The frozen part of a network is computed once, with the same result."""

import keras
import numpy as np
import pytest

from atcon_tf import models
from atcon_tf.data.image_store import ArrayImages
from atcon_tf.data.record import Record
from atcon_tf.evaluation import frozen_prefix
from atcon_tf.evaluation.predictor import Predictor

SIZE = 16


def _network():
  """A stem, a residual block and a last stage."""
  x = images = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.Conv2D(4, 3, 2, padding="same", name="stem")(x)
  y = x = keras.layers.ReLU(name="relu")(x)
  y = keras.layers.Conv2D(4, 3, padding="same", name="inner")(y)
  x = keras.layers.Add(name="add")([x, y])
  x = keras.layers.Conv2D(16, 1, name="wide")(x)
  x = keras.layers.Conv2D(8, 3, 2, padding="same", name="last")(x)
  x = keras.layers.ReLU(name="last_relu")(x)
  x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
  return keras.Model(images, keras.layers.Dense(3, name="logits")(x))


def _records(count):
  return [Record(str(i), lambda: None, np.eye(3)[i % 3],
                 boxes=np.array([[.1, .2, .6, .7]] * 2),
                 box_label=np.array([0, i % 2 + 1])) for i in range(count)]


def _name(tensor):
  return None if tensor is None else tensor._keras_history.operation.name


@pytest.mark.parametrize("trained, most, want", [
    ("last", 10**6, "wide"), ("last", 8 * 8 * 4, "add"),
    ("last", 8 * 8 * 4 - 1, None), ("logits", 10**6, "last_relu"),
    ("inner", 10**6, "relu"), ("stem", 10**6, None)])
def test_where_a_network_is_cut(trained, most, want):
  """Not inside the residual block, and not where the map is too large."""
  classifier = models.wrap(_network())
  layer = classifier.graph.tensors[trained]._keras_history.operation
  assert _name(frozen_prefix.cut(classifier.maps, layer.variables,
                                 most)) == want


def test_a_large_network_is_cut_before_its_last_stage():
  classifier = models.build("mobilenet_v2", 5, image_size=96)
  stage = classifier.last_stage_variables
  found = frozen_prefix.cut(classifier.maps, stage, 10**6)
  assert found.shape[1:3] == (6, 6)
  assert _name(frozen_prefix.cut(classifier.maps, stage, 6 * 6 * 96)) == (
      "block_12_add")


def test_logits_are_those_of_the_whole_network_until_weights_change():
  classifier = models.wrap(_network())
  layers = {name: classifier.graph.tensors[name]._keras_history.operation
            for name in ("stem", "last", "logits")}
  trained = [*layers["last"].variables, *layers["logits"].variables]
  records = _records(11)
  images = ArrayImages(records, np.random.default_rng(0).uniform(
      size=[11, SIZE, SIZE, 3]).astype(np.float32))
  whole, fast = (Predictor(classifier, True, 4) for _ in range(2))
  prefix = frozen_prefix.FrozenPrefix(classifier, trained, 11)
  fast.keep_prefix(prefix)
  calls, run = [], prefix._run
  prefix._run = lambda x: calls.append(len(x)) or run(x)

  def both():
    want = whole.logits(images, records)
    np.testing.assert_allclose(fast.logits(images, records), want, atol=1e-6)
    maps = [p.predict(images, records, consistency=False)
            for p in (whole, fast)]
    for name in ("probability", "iou", "pointing"):
      np.testing.assert_allclose(*(getattr(m, name) for m in maps), atol=1e-6)
    assert len(maps[0].iou) == 2 * 11 and np.ptp(maps[0].iou) > 0
    return want

  first = both()
  assert calls == [4, 4, 3]
  for name in ("last", "logits"):  # what is trained
    layers[name].kernel.assign(layers[name].kernel * 1.5)
  assert np.abs(both() - first).max() > 1e-3 and calls == [4, 4, 3]
  layers["stem"].kernel.assign(-layers["stem"].kernel)  # what is not
  both()
  assert calls == [4, 4, 3] * 2
  other = ArrayImages(records, images.pixels[::-1].copy())
  np.testing.assert_allclose(
      fast.logits(other, records), whole.logits(other, records), atol=1e-6)


def test_a_network_that_is_trained_whole_has_no_prefix():
  classifier = models.build("tiny_cnn", 3, image_size=SIZE)
  predictor = Predictor(classifier, True)
  predictor.keep_prefix(frozen_prefix.FrozenPrefix(
      classifier, classifier.model.trainable_variables, 5))
  assert predictor.prefix_of(classifier) is None
