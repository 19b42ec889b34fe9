"""Maps of clips: every method, both weightings in time, masks, geometry."""

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import consistency
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.attribution.methods import cam
from atcon_tf.attribution.methods import perturbation
from atcon_tf.attribution import registry
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.models import geometry
from atcon_tf.models import residual_3d
from tests import small_clips
from tests.small_clips import FRAMES
from tests.small_clips import SIZE
from tests.small_clips import TARGET

# Options that keep a method small.
SMALL = {
    "score_cam": dict(channels=3), "integrated_gradients": dict(steps=2),
    "smooth_grad": dict(samples=2), "var_grad": dict(samples=2),
    "square_grad": dict(samples=2),
    "blur_integrated_gradients": dict(steps=2),
    "expected_gradients": dict(samples=3), "rise": dict(masks=6),
    "occlusion": dict(window=24, window_frames=4),
    "meaningful_perturbation": dict(steps=2, cells=4),
    "guided_integrated_gradients": dict(steps=3),
    "sobol": dict(masks=36, cells=2), "hsic": dict(masks=16, cells=2),
}
REFUSED = {"lime", "kernel_shap", "attention_rollout", "gradient_rollout",
           "legrad", "tame", "l_cam"}


@pytest.fixture(scope="module")
def networks():
  return {"r3d_18": small_clips.backbone("r3d_18"),
          "tiny_cnn": small_clips.backbone("tiny_cnn")}


@pytest.fixture(scope="module")
def clips():
  return small_clips.clips(2)


@pytest.mark.parametrize("name, method", [
    *(("r3d_18", m) for m in sorted(set(registry.METHODS) - REFUSED)),
    *(("tiny_cnn", m) for m in ("grad_cam_plus_plus", "eigen_cam", "score_cam",
                                "guided_grad_cam", "full_grad", "lrp",
                                "deep_shap"))])
def test_every_method_works(method, name, networks, clips):
  """A map of space and time, the same alone as in a batch."""
  classifier, options = networks[name], SMALL.get(method, {})
  heat = attribution.explain(classifier, clips, method, TARGET[:2],
                             **options).numpy()
  assert heat.ndim == 4 and len(heat) == 2 and np.isfinite(heat).all()
  assert heat.reshape(2, -1).std(1).max() > 0, "a constant map"
  if not registry.METHODS[method].many:  # all of these share their loop
    alone = attribution.explain(classifier, clips[1:2], method, 1, **options)
    np.testing.assert_allclose(alone, heat[1:2],
                               atol=1e-4 * np.abs(heat).max())
  large = attribution.enlarge(classifier, heat)
  assert large.shape == (2, FRAMES, SIZE, SIZE)


@pytest.mark.parametrize("method", sorted(REFUSED))
def test_or_is_refused_by_name(method, networks, clips):
  with pytest.raises(UserError) as found:
    attribution.explain(networks["r3d_18"], clips, method)
  line = str(found.value)
  assert "\n" not in line and method.split("_")[-1] in line


def test_compiled(networks, clips):
  classifier = networks["r3d_18"]
  function = attribution.build(classifier, "guided_grad_cam")
  compiled = tf.function(function, input_signature=[
      tf.TensorSpec([None, *classifier.image_shape]),
      tf.TensorSpec([None], tf.int64)])
  expected = function(clips, TARGET[:2]).numpy()
  for part in (slice(0, 2), slice(1, 2)):
    np.testing.assert_allclose(
        compiled(clips[part], TARGET[:2][part]), expected[part],
        atol=1e-4 * np.abs(expected).max())


def test_layers_inside_the_frames(networks, clips):
  """A layer that runs over a batch of frames has maps of clips."""
  classifier = networks["tiny_cnn"].with_cam_layers(["relu2", "relu4"])
  pass_ = forward_pass.forward(classifier, clips)
  assert [f.shape for f in pass_.features] == [
      (2, FRAMES, 12, 12, 48), (2, FRAMES, 3, 3, 96)]
  for method in ("grad_cam", "ablation_cam", "layer_cam"):
    heat = attribution.explain(classifier, clips, method, 1, layer=0)
    assert heat.shape == (2, FRAMES, 12, 12)
  fused = attribution.explain(classifier, clips, "grad_cam", 1)
  assert fused.shape == (2, FRAMES, 12, 12)
  # The chain rule by hand: the gradient at relu4 times what it does to y.
  step = 1e-2 * np.random.default_rng(0).normal(size=pass_.features[1].shape)
  head = classifier.head_of(1)
  moved = head(pass_.features[1] + step)[:, 1] - pass_.logits[:, 1]
  g = pass_.gradient(np.ones(2, int), pass_.features[1])
  np.testing.assert_allclose(moved, tf.reduce_sum(g * step, [1, 2, 3, 4]),
                             rtol=1e-2, atol=1e-5)


def _flat_head():
  """Logits = sum over cells and channels of A W: the gradient is W."""
  keras.utils.set_random_seed(0)
  clip = keras.Input([FRAMES, SIZE, SIZE, 3])
  x = keras.layers.Conv3D(4, 3, 4, padding="same", activation="relu",
                          name="map")(clip)
  dense = keras.layers.Dense(3, use_bias=False)
  model = keras.Model(clip, dense(keras.layers.Flatten()(x)))
  return models.wrap(model), dense.kernel.numpy().reshape(*x.shape[1:], 3)


def test_both_weightings_by_numpy():
  classifier, weight = _flat_head()
  clips = small_clips.clips(2)
  a = forward_pass.forward(classifier, clips).features[0].numpy()
  g = weight[..., 2]
  for weighting, axes in [("per_step", (1, 2)), ("pooled", (0, 1, 2))]:
    mean = g.mean(axes, keepdims=True)
    expected = {"grad_cam": (mean * a).sum(-1)}
    sums = (g * a).sum(tuple(i + 1 for i in axes), keepdims=True)
    total = a.sum(tuple(i + 1 for i in axes), keepdims=True)
    expected["xgrad_cam"] = (np.divide(
        sums, total, where=total != 0, out=0 * sums) * a).sum(-1)
    for method, wanted in expected.items():
      heat = attribution.explain(classifier, clips, method, 2,
                                 temporal_weights=weighting)
      np.testing.assert_allclose(heat, wanted, rtol=1e-4, atol=1e-5)
  # The classifier's own weighting is the default.
  classifier.temporal_weights = "pooled"
  np.testing.assert_allclose(
      attribution.explain(classifier, clips, "grad_cam", 2),
      (g.mean((0, 1, 2)) * a).sum(-1), rtol=1e-4, atol=1e-5)
  with pytest.raises(UserError, match="per_step, pooled"):
    attribution.explain(classifier, clips, "grad_cam", 2,
                        temporal_weights="mean")


def test_both_weightings_inside_r3d(float64):
  """The gradient of the head by central differences."""
  classifier = small_clips.backbone("r3d_18", 3, cam_layer=("layer2_0_relu",))
  clips = small_clips.clips(1)
  pass_ = forward_pass.forward(classifier, tf.constant(clips, tf.float64))
  a = pass_.features[0].numpy()
  head, step = classifier.head, 1e-6
  basis = step * np.eye(a.size).reshape(a.size, *a.shape[1:])
  g = ((head(a + basis) - head(a - basis)).numpy()[:, 1] / (2 * step)
       ).reshape(a.shape)
  maps_ = {}
  for weighting, axes in [("per_step", (2, 3)), ("pooled", (1, 2, 3))]:
    heat = cam.grad_cam(pass_, [1], temporal_weights=weighting).numpy()
    np.testing.assert_allclose(
        heat, (g.mean(axes, keepdims=True) * a).sum(-1), rtol=1e-6,
        atol=1e-9)
    maps_[weighting] = heat
  assert np.abs(maps_["per_step"] - maps_["pooled"]).max() > 1e-3 * np.abs(
      maps_["pooled"]).max()


def test_a_still_clip_is_its_image():
  """A network of images over equal frames is the network of images."""
  of_clips = small_clips.backbone("tiny_cnn")
  of_images = models.build("tiny_cnn", small_clips.CLASSES, image_size=SIZE)
  of_images.stored.set_weights(of_clips.stored.get_weights())
  images = small_clips.clips(2)[:, 0]
  still = images[:, None].repeat(FRAMES, 1)
  np.testing.assert_allclose(of_clips.model(still), of_images.model(images),
                             atol=1e-5)
  for method in ("grad_cam", "guided_backprop"):
    image = attribution.explain(of_images, images, method, [0, 1]).numpy()
    clip = attribution.explain(of_clips, still, method, [0, 1]).numpy()
    for frame in range(FRAMES):
      # Each frame has an equal share of the logit.
      np.testing.assert_allclose(FRAMES * clip[:, frame], image,
                                 atol=1e-4 * np.abs(image).max())


def test_soft_masks_and_similarities_are_of_the_volume():
  m = np.random.default_rng(0).normal(size=[2, 4, 5, 6])
  flat = tf.constant(m.reshape(2, 1, 1, -1))
  volume = tf.constant(m)
  for function in (maps.soft_mask, maps.standardize, maps.min_max):
    np.testing.assert_allclose(
        function(volume).numpy().ravel(), function(flat).numpy().ravel())
  other = tf.constant(m[::-1].copy())
  for similarity in ("pearson", "cross_correlation"):
    np.testing.assert_allclose(
        consistency.SIMILARITIES[similarity](volume, other),
        consistency.SIMILARITIES[similarity](
            flat, tf.reshape(other, flat.shape)))
  np.testing.assert_allclose(maps.ssim(volume, volume), 1, rtol=1e-6)
  assert np.all(maps.ssim(volume, other) < .9)
  pooled = maps.pool(volume, (2, 5, 3)).numpy()
  np.testing.assert_allclose(
      pooled, m.reshape(2, 2, 2, 5, 3, 2).mean((2, 5)), atol=1e-12)


def test_resize_is_linear_along_three_axes():
  t, y, x = np.mgrid[:4, :3, :5].astype(float)
  volume = tf.constant((2 * t - y + 3 * x + 1)[None])
  large = geometry.resize(volume, (7, 5, 9), geometry.ALIGNED).numpy()[0]
  t, y, x = np.meshgrid(np.linspace(0, 3, 7), np.linspace(0, 2, 5),
                        np.linspace(0, 4, 9), indexing="ij")
  np.testing.assert_allclose(large, 2 * t - y + 3 * x + 1, atol=1e-12)


@pytest.mark.parametrize("name, time, space", [
    ("r3d_18", (0, 8), (0, 16)), ("mc3_18", (0, 1), (0, 16)),
    ("tiny_cnn", (0, 1), (3.5, 8))])
def test_geometry_in_time(name, time, space):
  """Torch's padding puts cell n of a stride-8 axis at frame 8 n."""
  with mock.patch.multiple(residual_3d, BLOCKS=1):
    classifier = models.build(name, 2, image_size=64, frames=16, **(
        {} if name == "tiny_cnn" else {"width": .1}))
  assert classifier.geometry == [(time, space, space)]


def test_geometry_is_where_the_gradient_comes_from():
  """Of all-positive kernels, a cell's gradient is centred on its place."""
  with mock.patch.multiple(residual_3d, BLOCKS=1):
    classifier = models.build("r3d_18", 2, image_size=97, frames=25,
                              width=.05, cam_layer=("layer3_0_relu",))
  for variable in classifier.network.trainable_variables:
    if len(variable.shape) == 5:
      variable.assign(np.full(variable.shape, 1e-2))
  x = tf.ones([1, 25, 97, 97, 3])
  with tf.GradientTape() as tape:
    tape.watch(x)
    features = classifier.maps(x, training=False)[0]
    cells = [n // 2 for n in features.shape[1:4]]
    value = features[0, cells[0], cells[1], cells[2], 0]
  weight = tape.gradient(value, x).numpy()[0].sum(-1)
  for axis, (cell, (offset, stride)) in enumerate(zip(
      cells, classifier.geometry[0])):
    along = weight.sum(tuple({0, 1, 2} - {axis}))
    centre = (along * np.arange(len(along))).sum() / along.sum()
    np.testing.assert_allclose(centre, offset + stride * cell, atol=.05)


def test_space_time_masks_find_the_moment():
  """A classifier that looks at the middle of frame 5 alone."""
  clip = keras.Input([FRAMES, SIZE, SIZE, 3])
  weight = np.zeros([FRAMES, SIZE, SIZE, 3, 2])
  weight[5, 8:16, 8:16, :, 1] = 1
  x = keras.layers.Conv3D(3, 1, use_bias=False, name="map")(clip)
  dense = keras.layers.Dense(2)
  model = keras.Model(clip, dense(keras.layers.Flatten()(x)))
  model.get_layer("map").set_weights([np.eye(3)[None, None, None]])
  # Half of the 192 ones on the average of RISE's masks.
  dense.set_weights([weight.reshape(-1, 2), np.array([0, -96])])
  classifier, clips = models.wrap(model), np.ones([1, FRAMES, SIZE, SIZE, 3])
  for method, options in [("occlusion", dict(window=6)),
                          ("rise", dict(masks=200))]:
    heat = attribution.explain(classifier, clips, method, 1, output="logit",
                               **options).numpy()[0]
    assert heat.mean((1, 2)).argmax() in (4, 5, 6), method
    assert heat.mean(0)[8:16, 8:16].mean() > heat.mean(0).mean(), method
  # Squares of 6 x 6 pixels, 3 apart: 7 a side; of 2 frames, 1 apart: 7.
  assert perturbation.windows(classifier.extent, 6) == 7**3


def test_a_users_network_of_clips():
  classifier, _ = _flat_head()
  assert (classifier.frames, classifier.image_size) == (FRAMES, (SIZE, SIZE))
  assert classifier.image_shape == (FRAMES, SIZE, SIZE, 3)
  assert classifier.relus == 1
  with pytest.raises(UserError, match=r"takes \[B, 8, 24, 24, 3\]"):
    attribution.explain(classifier, np.ones([1, SIZE, SIZE, 3]))


def test_only_a_network_of_clips_knows_an_order(networks):
  """Shuffled frames: a mean over frames has the same logits, r3d has not."""
  clips = small_clips.clips(2)
  order = np.random.default_rng(0).permutation(FRAMES)
  for name, classifier in networks.items():
    whole, shuffled = (classifier.model(x).numpy()
                       for x in (clips, clips[:, order]))
    gap = np.abs(whole - shuffled).max() / np.abs(whole).max()
    assert gap < 1e-5 if name == "tiny_cnn" else gap > 1e-3, name
