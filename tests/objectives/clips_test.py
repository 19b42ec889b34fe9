"""The losses on clips: exact gradients, and each clip alone as in a batch."""

import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import config
from atcon_tf.config import UserError
from atcon_tf import objectives
from atcon_tf.objectives import base
from tests import small_clips
from tests.small_clips import CLASSES
from tests.small_clips import TARGET

# Objectives with their flags and the layers of the maps that they need.
CASES = {
    "supervised": ({}, ()),
    "atcon": ({}, ()),
    "atcon upsample": (dict(match="upsample", second_map="gradient"), ()),
    "atcon downsample": (dict(match="downsample"), ()),
    "atcon ssim": (dict(similarity="ssim", mask_scale="std"), ()),
    "atcon random": (dict(mask="random", similarity="cross_correlation"), ()),
    "atcon path": (dict(second_map="integrated_gradients", ig_steps=2,
                        match="upsample", target="top2"), ()),
    "layer_consistency": ({}, ("layer2_0_conv2_1", "layer2_0_relu")),
    "self_training": (dict(atcon_weight=0.2, equivariance_weight=0.1), ()),
    "agree": (dict(agree_loss="similarity"), ()),
    "gain": ({}, ()),
    "laso": (dict(set_units=8), ()),
}


@pytest.fixture(scope="module")
def classifier():
  return small_clips.backbone("r3d_18")


def _batch(classifier, count=3):
  clips = tf.constant(small_clips.clips(count))
  size = classifier.graph.map_size(classifier.maps.outputs[-2])
  return {"image": clips, "other_image": clips[:, ::-1],
          "unaugmented": clips[:, :, :, ::-1],
          "label": tf.one_hot(TARGET[:count], CLASSES),
          "other_label": tf.ones([count, CLASSES]),
          "label_weight": tf.ones([count, CLASSES]),
          "class_index": tf.constant(TARGET[:count], tf.int64),
          "transform": tf.constant(
              [[-1., 0, small_clips.SIZE - 1, 0, 1, 0, 0, 0]] * count),
          "teacher_map": tf.constant(np.random.default_rng(0).normal(
              size=[count, *size]), tf.float32)}


@pytest.mark.parametrize("case", CASES)
def test_each_clip_alone_as_in_a_batch(case, classifier):
  flags, layers = CASES[case]
  if layers:
    classifier = classifier.with_cam_layers(layers)
  settings = config.Config(
      dataset="moving_shapes", model="r3d_18", objective=case.split()[0],
      **flags).resolve()
  batch = _batch(classifier)
  for objective in objectives.build(
      classifier, settings, base.Task(multi_label=False)).values():
    with tf.GradientTape() as tape:
      terms = objective.call(batch)
      loss = sum(factor * tf.reduce_sum(terms[term][0]) for term, factor
                 in objective.loss_weights.items() if factor)
    variables = [v.value for v in (
        objective.variables or classifier.model.trainable_variables)]
    reached = [g for g in tape.gradient(loss, variables) if g is not None]
    assert reached and all(np.isfinite(g).all() for g in reached)
    alone = objective.call({k: v[1:2] for k, v in batch.items()})
    for term, (value, _) in terms.items():
      assert value.shape == (3,)
      np.testing.assert_allclose(alone[term][0], value[1:2], atol=1e-4)


@pytest.mark.parametrize("name", ["tame", "l_cam"])
def test_heads_of_images_refuse_clips(name, classifier):
  from atcon_tf.models import explanation_head
  with pytest.raises(UserError, match="sees clips"):
    explanation_head.attach(classifier, name)


def test_gradients_are_exact(float64):
  """ATCON's loss on r3d_18 against central differences, in float64.

  The map is an inner one, with a weight of its own for each time step.
  """
  classifier = small_clips.backbone("r3d_18", cam_layer=("layer1_0_relu",))
  clips = tf.constant(small_clips.clips(2), tf.float64)

  @tf.function
  def loss():
    return tf.reduce_mean(objectives.atcon_loss(
        classifier, clips, [0, 1], mask_scale="std"))

  variables = [v.value for v in classifier.model.trainable_variables]
  with tf.GradientTape() as tape:
    value = loss()
  gradients = tape.gradient(value, variables)
  assert -1 < float(value) < 1
  rng, step = np.random.default_rng(0), 1e-6
  kinds = set()
  for variable, gradient in zip(variables, gradients):
    # The first of each shape: of each kind of layer and number of channels.
    if gradient is None or tuple(variable.shape) in kinds:
      continue
    kinds.add(tuple(variable.shape))
    way = rng.normal(size=variable.shape)
    way /= np.linalg.norm(way)
    before = variable.numpy()
    ends = []
    for sign in (1, -1):
      variable.assign(before + sign * step * way)
      ends.append(float(loss()))
    variable.assign(before)
    found = float(tf.reduce_sum(gradient * way))
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), found,
                               rtol=1e-6, atol=1e-8)
  assert len(kinds) > 4
