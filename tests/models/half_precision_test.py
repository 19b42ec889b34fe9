"""Half precision: gradients of trained weights, float32 where it is promised.
"""

import functools

import keras
import numpy as np
import pytest
from sklearn import datasets
import tensorflow as tf

from atcon_tf import models
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import gradient
from atcon_tf.config import UserError
from atcon_tf.models import half_precision
from atcon_tf.objectives import supervised
from atcon_tf.training import one_run
from atcon_tf.training.run_state import RunState
from atcon_tf.training.trainer import Trainer
from tests import conftest
from tests.tiny_runs import tiny

SIZE = 96


@functools.cache
def _photos():
  """Eight parts of two photos, `[8, SIZE, SIZE, 3]` in [0, 1]."""
  images = datasets.load_sample_images().images
  return tf.constant(np.stack([
      image[y:y + 2 * SIZE:2, x:x + 2 * SIZE:2]
      for image in images for y in (20, 200) for x in (60, 300)]) / 255,
                     tf.float32)


@functools.cache
def _trained():
  """MobileNet with its ImageNet weights."""
  path = conftest.DATA / "weights" / "mobilenet_v1_0.25_224_notop.weights.h5"
  if not path.is_file():
    pytest.skip(f"no {path}")
  keras.utils.set_random_seed(0)
  return models.build("mobilenet", 4, str(path), image_size=SIZE, width=.25,
                      prior=[.3] * 4)


def _cosine(a, b):
  a, b = (np.concatenate([np.ravel(x) for x in values]) for values in (a, b))
  return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


# bfloat16 has 8 bits, float16 has 11: of a quarter of MobileNet's width, at 96
# pixels, the guided gradients have these cosines at least.
@pytest.mark.parametrize("policy, cosine", [("mixed_bfloat16", .85),
                                            ("mixed_float16", .97)])
def test_guided_gradients_of_trained_weights(policy, cosine):
  classifier = _trained()
  fast = half_precision.of(classifier, policy)
  ours, theirs = (c.model.variables for c in (fast, classifier))
  assert {id(v) for v in ours} == {id(v) for v in theirs}
  pass_, half = (forward_pass.forward(c, _photos())
                 for c in (classifier, fast))
  assert half.recorded[0].dtype == policy.removeprefix("mixed_")
  assert half.features[0].dtype == half.logits.dtype == tf.float32
  target = tf.argmax(pass_.logits, -1)
  guided = [gradient.guided_backprop(p, target).numpy() for p in (pass_, half)]
  assert guided[1].dtype == np.float32
  assert np.abs(guided[0] - guided[1]).max() > 0  # it is another precision
  assert _cosine(*guided) > cosine


def test_features_for_a_probe():
  """Float32 and half features are one direction; the probe reads float32."""
  classifier = _trained()
  fast = half_precision.of(classifier, "mixed_bfloat16")
  for one, other in zip(*(c.features(c.normalize(_photos())).numpy().astype(
      np.float32).mean((1, 2)) for c in (classifier, fast))):
    assert _cosine([one], [other]) > .9


def test_the_factors_of_float16_cancel_out():
  """Each group has a factor of its own, also after one was halved."""
  found = []
  for scaled in (False, True):
    keras.utils.set_random_seed(0)
    classifier = models.build("tiny_cnn", 3, image_size=32)
    optimizers = {name: keras.optimizers.SGD(.1)
                  for name in ("backbone", "head", "consistency")}
    if scaled:
      optimizers = {name: keras.optimizers.LossScaleOptimizer(o)
                    for name, o in optimizers.items()}
    trainer = Trainer(classifier, {
        "supervised": supervised.Supervised(classifier)}, optimizers)
    if scaled:
      optimizers["head"].dynamic_scale.assign(8.)
    loss = trainer.run({"supervised": {"image": _photos()[:, ::3, ::3],
                                       "label": tf.eye(3)[:1] * tf.ones(
                                           [8, 1])}})["loss"]
    found.append([loss, *(v.numpy() for v in classifier.model.variables)])
  for one, other in zip(*found):
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_run_trains_in_half_and_scores_in_full_precision(tmp_path):
  prepared = one_run.prepare(tiny(objective="atcon", steps=1,
                                  precision="mixed_bfloat16"),
                             tmp_path / "splits.json")
  assert prepared.classifier.maps.outputs[0].dtype == "float32"
  assert prepared.trainer.classifier.maps.outputs[0].dtype == "bfloat16"
  before = [v.numpy() for v in prepared.classifier.model.variables]
  losses = [logs["loss"] for _, logs in prepared.steps(RunState())]
  assert losses and np.isfinite(losses).all()
  assert any((b != v.numpy()).any() for b, v in zip(
      before, prepared.classifier.model.variables))
  data = prepared.data
  pixels = data.images.batch(data.records["val"][:8])
  full, half = (c.model(pixels).numpy() for c in (
      prepared.classifier, prepared.trainer.classifier))
  ranked = prepared.predictor._logits(pixels).numpy()
  assert 0 < np.abs(full - half).max() < .1
  assert 0 < np.abs(full - ranked).max() < .1


def test_a_network_without_convolutions_is_refused():
  x = images = keras.Input([16, 16, 3])
  for layer in (keras.layers.AveragePooling2D(2),
                keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)):
    x = layer(x)
  classifier = models.wrap(keras.Model(images, x))
  assert half_precision.of(classifier, "float32") is classifier
  with pytest.raises(UserError, match="^precision='mixed_float16': not used "
                     "with model=.*, which has no convolution$"):
    half_precision.of(classifier, "mixed_float16")
