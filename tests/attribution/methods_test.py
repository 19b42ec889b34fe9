"""Maps against closed forms; baselines, windows, fusion, refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution.methods import perturbation
from atcon_tf.attribution import registry
from atcon_tf.attribution import variations
from atcon_tf.config import UserError
from atcon_tf import models
from atcon_tf.models.classifier import enlarge
from atcon_tf.models import probabilities
from atcon_tf.models import vit

SIZE = 8


def _images(count=2):
  return np.random.default_rng(0).uniform(
      size=[count, SIZE, SIZE, 3]).astype(np.float32)


def _linear():
  """Logits = mean over the pixels of x W, no bias: all is known."""
  keras.utils.set_random_seed(0)
  images = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.Conv2D(4, 1, use_bias=False, name="map")(images)
  x = keras.layers.GlobalAveragePooling2D()(x)
  model = keras.Model(images, keras.layers.Dense(3, use_bias=False)(x))
  kernel = model.layers[1].kernel.numpy()[0, 0] @ model.layers[-1].kernel
  return models.wrap(model), np.asarray(kernel)


def _tiny():
  keras.utils.set_random_seed(0)
  return models.build("tiny_cnn", 3, image_size=32)


def test_cam_is_the_logit_cell_by_cell():
  classifier, kernel = _linear()
  expected = (_images() @ kernel)[..., 1]
  for method in ("cam", "hires_cam"):
    heat = attribution.explain(classifier, _images(), method, 1)
    scale = 1 if method == "cam" else SIZE**2
    np.testing.assert_allclose(heat * scale, expected, atol=1e-5)


def test_gradients_of_a_linear_network():
  classifier, kernel = _linear()
  slope = kernel[:, 2] / SIZE**2
  x = _images()
  for method, expected in [
      ("gradient", np.abs(slope).sum() * np.ones([2, SIZE, SIZE])),
      ("input_x_gradient", np.abs(x * slope).sum(-1)),
      ("integrated_gradients", np.abs(x * slope).sum(-1)),
      ("smooth_grad", np.abs(slope).sum() * np.ones([2, SIZE, SIZE])),
      ("var_grad", np.zeros([2, SIZE, SIZE]))]:
    np.testing.assert_allclose(
        attribution.explain(classifier, x, method, 2), expected, atol=1e-6,
        err_msg=method)


def test_occlusion_of_a_linear_network():
  """Each pixel's value is the mean over its windows of what they hold."""
  classifier, kernel = _linear()
  x = _images(1)
  heat = attribution.explain(classifier, x, "occlusion", 0, window=4,
                             stride=4, output="logit")
  parts = (x @ kernel)[0, ..., 0].reshape(2, 4, 2, 4).sum((1, 3)) / SIZE**2
  np.testing.assert_allclose(heat[0], parts.repeat(4, 0).repeat(4, 1),
                             atol=1e-6)
  assert perturbation.windows((8, 8), 4, 4) == 4
  # The last window ends at the edge: 0..3, 3..6, 4..7.
  assert perturbation.windows((8, 8), 4, 3) == 9


def test_ablation_cam_of_a_linear_head():
  classifier, _ = _linear()
  model = classifier.head
  features = classifier.features(_images())
  share = np.asarray(features).mean((1, 2)) * np.asarray(
      model.layers[-1].kernel)[:, 1]
  logit = share.sum(1, keepdims=True)
  expected = np.einsum("bk,bhwk->bhw", share / np.abs(logit), features)
  np.testing.assert_allclose(
      attribution.explain(classifier, _images(), "ablation_cam", 1), expected,
      rtol=1e-3, atol=1e-5)


def test_eigen_cam_is_the_first_singular_vector():
  classifier, _ = _linear()
  a = np.asarray(classifier.features(_images(1)))[0].reshape(-1, 4)
  u, s, _ = np.linalg.svd(a)
  expected = u[:, 0] * s[0] * np.sign(u[:, 0].sum())
  heat = attribution.explain(classifier, _images(1), "eigen_cam", 0)
  np.testing.assert_allclose(heat[0], expected.reshape(SIZE, SIZE),
                             rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("baseline", integrated_gradients.BASELINES)
def test_integrated_gradients_are_complete(baseline):
  classifier = _tiny()
  x = tf.random.stateless_uniform([2, 32, 32, 3], [0, 0])
  pass_ = forward_pass.forward(classifier, x)
  target = tf.constant([0, 2])
  ig = integrated_gradients.ig_attributions(pass_, target, 300, baseline,
                                            batch_size=64)
  start = integrated_gradients.baseline_images(pass_, baseline)
  gain = forward_pass.pick(pass_.logits, target) - forward_pass.score(
      classifier, start, target)
  np.testing.assert_allclose(tf.reduce_sum(ig, [1, 2, 3]), gain, rtol=.01,
                             atol=2e-3)


def test_quadrature():
  # A line is integrated exactly wherever the points are: int a da = 1/2; of
  # a^2 at 0, 1/4, 1: .5 / 16 + .375.
  for rule in ("trapezoid", "graded"):
    a, weights = integrated_gradients.quadrature(7, rule)
    assert (weights.sum(), weights @ a) == (pytest.approx(1), pytest.approx(.5))
  a, weights = integrated_gradients.quadrature(2, "graded")
  assert weights @ a**2 == .5 / 16 + .375
  np.testing.assert_allclose(integrated_gradients.quadrature(3, "mean")[1],
                             [.25] * 4)


def test_completeness_of_a_trained_network():
  """To 1 % of the change of the logit."""
  classifier = _tiny()
  rng = np.random.default_rng(0)
  label = rng.integers(3, size=64)
  x = rng.uniform(0, .4, size=[64, 32, 32, 3]).astype(np.float32)
  for image, c in zip(x, label):  # a bright square in the class's colour
    top, left = rng.integers(20, size=2)
    image[top:top + 12, left:left + 12, c] = 1
  optimizer = keras.optimizers.Adam(2e-3)
  classifier.model.compile(optimizer, keras.losses.
                           SparseCategoricalCrossentropy(from_logits=True))
  classifier.model.fit(x, label, batch_size=16, epochs=8, verbose=0)
  pass_ = forward_pass.forward(classifier, tf.constant(x[:4]))
  target = tf.constant(label[:4])
  assert np.mean(tf.argmax(pass_.logits, -1) == label[:4]) == 1
  gain = forward_pass.pick(pass_.logits, target) - forward_pass.score(
      classifier, tf.zeros_like(pass_.normalized), target)
  for rule in ("trapezoid", "graded"):
    ig = integrated_gradients.ig_attributions(pass_, target, 256, rule=rule,
                                              batch_size=64)
    np.testing.assert_allclose(tf.reduce_sum(ig, [1, 2, 3]), gain, rtol=.01,
                               err_msg=rule)


def test_no_more_images_at_once_than_the_batch_size():
  seen = []

  def part(image, sample):
    seen.append(len(image))
    return [tf.cast(10 * image + sample, tf.float32)]

  total, = variations.total(part, [tf.zeros([3])], 5, batch_size=4)
  np.testing.assert_array_equal(total, [10, 60, 110])  # 0..4 + 5 * 10 b
  assert max(seen) <= 4 and len(seen) == 4


def test_as_many_images_at_once_as_the_bound_holds(monkeypatch):
  classifier, _ = _linear()
  assert variations.at_once(classifier) == variations.MOST
  # Images of 3 and a map of 4 channels, then vectors of 4 and 3.
  size = 4 * (SIZE * SIZE * (3 + 4) + 4 + 3)
  monkeypatch.setattr(variations, "BOUND", 5 * size)
  assert variations.at_once(classifier) == 5
  monkeypatch.setattr(variations, "BOUND", 1)
  assert variations.at_once(classifier) == 1


@pytest.mark.parametrize("batch_size", [3, 100])
@pytest.mark.parametrize("method", sorted(
    m.name for m in registry.METHODS.values() if m.many))
def test_the_batch_size_does_not_matter(method, batch_size):
  small = {"rise": dict(masks=5), "meaningful_perturbation": dict(steps=2),
           "integrated_gradients": dict(steps=2), "score_cam": dict(channels=4),
           "smooth_grad": dict(samples=2), "var_grad": dict(samples=2),
           "sobol": dict(masks=20, cells=2), "hsic": dict(masks=8, cells=2)}
  classifier, _ = _linear()
  one, other = (attribution.explain(classifier, _images(), method, [0, 1],
                                    batch_size=size, **small.get(method, {}))
                for size in (7, batch_size))
  np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_several_layers_are_fused_on_the_largest_grid():
  classifier = _tiny()
  x = np.random.default_rng(0).uniform(size=[2, 32, 32, 3])
  fused = classifier.with_cam_layers(["relu2", "relu4"])
  heat = attribution.explain(fused, x, "layer_cam", 1).numpy()
  assert heat.shape == (2, 16, 16)
  parts = []
  for layer in ("relu2", "relu4"):
    one = tf.nn.relu(attribution.explain(
        classifier.with_cam_layers([layer]), x, "layer_cam", 1)).numpy()
    parts.append(one / one.max((1, 2), keepdims=True))
  # Cell n of 16 lies at pixel 2 n + .5, cell m of 4 at 8 m + 3.5.
  position = np.clip((np.arange(16) * 2 + .5 - 3.5) / 8, 0, 3)
  weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(4)))
  large = np.einsum("yh,bhw,xw->byx", weights, parts[1], weights)
  np.testing.assert_allclose(heat, (parts[0] + large) / 2, atol=1e-4)


def test_smooth_views_of_a_mirrored_image_are_mirrored():
  classifier = _tiny()
  x = np.random.default_rng(0).uniform(size=[1, 32, 32, 3])
  heat, mirrored = (attribution.explain(
      classifier, image, "gradient", 1, smooth_views=True)
                    for image in (x, x[:, :, ::-1]))
  np.testing.assert_allclose(heat[:, :, ::-1], mirrored, atol=1e-6)


def test_rollout_of_uniform_attention_is_uniform():
  model = vit.build(3, image_size=16, patch=4, width=8, depth=2, heads=2)
  for layer in model.layers:
    if "query" in layer.name:
      layer.kernel.assign(0 * layer.kernel)
  x = np.random.default_rng(0).uniform(size=[2, 16, 16, 3])
  heat = attribution.explain(model, x, "attention_rollout")
  np.testing.assert_allclose(heat, np.full([2, 4, 4], 1 / 16), rtol=1e-5)


def test_rollout_of_a_nested_transformer_is_that_of_a_flat_one():
  inner = vit.build(3, image_size=16, patch=4, width=8, depth=2, heads=2)
  images = keras.Input([16, 16, 3])
  nested = keras.Model(images, inner(images))
  x = np.random.default_rng(0).uniform(size=[2, 16, 16, 3])
  for method in ("attention_rollout", "gradient_rollout"):
    np.testing.assert_allclose(attribution.explain(nested, x, method, 1),
                               attribution.explain(inner, x, method, 1),
                               rtol=1e-5)


def test_probability_of_tensors_and_of_numbers():
  logits = np.array([[0., np.log(3.)]])
  np.testing.assert_allclose(probabilities.probability(logits, True),
                             [[1 / 2, 3 / 4]])
  np.testing.assert_allclose(probabilities.probability(logits, False),
                             [[1 / 4, 3 / 4]])
  for multi_label in (True, False):
    tensor = probabilities.probability(
        tf.constant(logits, tf.float32), multi_label)
    assert tensor.dtype == tf.float32
    np.testing.assert_allclose(
        tensor, probabilities.probability(logits, multi_label), rtol=1e-6)


def test_only_differentiable_methods_are_for_losses():
  with pytest.raises(UserError, match="^method='rise': must be one of cam"):
    registry.of_pass("rise")


def test_forward_passes_an_image():
  classifier = _tiny()  # 96 channels; windows of 6 pixels at steps of 3
  wanted = {"grad_cam": 1, "ablation_cam": 1, "score_cam": 97,
            "integrated_gradients": 34, "smooth_grad": 26, "var_grad": 26,
            "rise": 501, "occlusion": 101, "meaningful_perturbation": 151,
            "shapley_cam": 1, "guided_integrated_gradients": 51,
            "sobol": 801, "hsic": 513, "legrad": 1}
  assert {name: registry.METHODS[name].passes(classifier)
          for name in wanted} == wanted


def test_a_vision_transformer_is_saved_and_loaded(tmp_path):
  model = vit.build(3, image_size=16, patch=4, width=8, depth=1, heads=2)
  model.save(tmp_path / "vit.keras")
  again = keras.saving.load_model(tmp_path / "vit.keras")
  x = np.random.default_rng(0).uniform(size=[2, 16, 16, 3])
  np.testing.assert_allclose(model(x), again(x), atol=1e-6)
  heat = [attribution.explain(m, x, "gradient_rollout", 1)
          for m in (model, again)]
  np.testing.assert_allclose(*heat, rtol=1e-4)


def test_a_keras_model_is_explained_as_it_is():
  """Images are what it expects; its softmax is taken off; it is kept."""
  images = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.Rescaling(1 / 255)(images)
  x = keras.layers.Conv2D(4, 3, activation="relu")(x)
  x = keras.layers.GlobalAveragePooling2D()(x)
  model = keras.Model(images, keras.layers.Dense(3, activation="softmax")(x))
  heat = attribution.explain(model, 255 * _images())
  assert heat.shape == (2, 6, 6) and np.abs(heat).max() > 0
  assert model.layers[-1].activation is keras.activations.softmax


def _dense_head():
  images = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.Conv2D(4, 3, activation="gelu")(images)
  x = keras.layers.Flatten()(x)
  x = keras.layers.Dense(8, activation="gelu")(x)
  return keras.Model(images, keras.layers.Dense(3)(x))


def _no_map():
  images = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.Flatten()(images)
  return keras.Model(images, keras.layers.Dense(3)(x))


@pytest.mark.parametrize("make, method, options, message", [
    (_dense_head, "cam", {}, "not a global average"),
    (_dense_head, "guided_backprop", {}, "has no ReLU"),
    (_dense_head, "guided_grad_cam", {}, "has no ReLU"),
    (_dense_head, "smooth_grad", {"of": "guided_backprop"}, "no ReLU"),
    (_dense_head, "attention_rollout", {}, "has no attention to read"),
    (_no_map, "grad_cam", {}, "no layer with a spatial map"),
    (_dense_head, "integrated_gradients", {"baseline": "white"},
     "baseline='white': must be one of zero, black"),
    (_dense_head, "rise", {"share": 1.0}, "share=1.0"),
    (_dense_head, "occlusion", {"window": 99}, "window=99: the image is only"),
    (_dense_head, "score_cam", {"output": "odds"}, "output='odds'"),
    (_dense_head, "meaningful_perturbation", {"fill": "ink"}, "fill='ink'"),
    (_dense_head, "camcam", {}, "unknown method 'camcam'"),
])
def test_refused(make, method, options, message):
  with pytest.raises(UserError, match=message):
    attribution.explain(make(), _images(), method, 0, **options)


def test_images_that_do_not_fit_or_are_not_finite():
  classifier, _ = _linear()
  with pytest.raises(UserError, match=r"takes \[B, 8, 8, 3\], not"):
    attribution.explain(classifier, _images()[..., :1])
  broken = _images()
  broken[1] = np.nan
  with pytest.raises(UserError, match="map of image 1 is not finite"):
    attribution.explain(classifier, broken, "input_x_gradient", 0)
  with pytest.raises(UserError, match="must be a Classifier or a Keras model"):
    attribution.explain("resnet", _images())


def test_enlarged_maps_have_the_images_size():
  classifier = _tiny()
  x = np.random.default_rng(0).uniform(size=[1, 32, 32, 3])
  heat = attribution.explain(classifier, x)
  assert enlarge(classifier, heat).shape == (1, 32, 32)
