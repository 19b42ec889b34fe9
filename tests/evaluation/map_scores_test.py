"""Scores of removed pixels, changed images and masks, by hand."""

import numpy as np
import pytest

from atcon_tf.evaluation import method_scores
from atcon_tf.evaluation.metrics import adcc
from atcon_tf.evaluation.metrics import algorithmic_stability
from atcon_tf.evaluation.metrics import complexity
from atcon_tf.evaluation.metrics import removal_correlation
from atcon_tf.evaluation.metrics import sanity
from atcon_tf.evaluation.metrics import segment_removal
from atcon_tf.evaluation.metrics import segmentation
from atcon_tf.evaluation.metrics import sensitivity


def _sum(images, pairs):
  """A classifier whose probability is the sum of the pixels."""
  del pairs
  return images.sum((1, 2, 3))


def _three_maps(size=10):
  """An image, its perfect map, that map with the other sign, and a flat one."""
  heat = np.random.default_rng(0).uniform(size=[1, size, size])
  return np.repeat(heat[..., None], 3, 0), np.concatenate(
      [heat, -heat, np.ones_like(heat)])


@pytest.mark.parametrize("score", [
    removal_correlation.faithfulness_correlation,
    removal_correlation.sensitivity_n, removal_correlation.mu_fidelity,
    removal_correlation.faithfulness_estimate])
def test_correlations_of_drops(score):
  images, maps = _three_maps()
  found = score(_sum, images, maps)
  np.testing.assert_allclose(found[:2], [1, -1], atol=1e-9)
  assert abs(found[2]) < 1e-9 or score is removal_correlation.mu_fidelity
  # A classifier that looks at nothing.
  np.testing.assert_array_equal(
      score(lambda x, pairs: np.ones(len(x)), images, maps), 0)


def test_faithfulness_estimate_removes_one_set_at_a_time():
  image = np.array([[[[.1], [.2]], [[.3], [.4]]]])
  heat = np.array([[[1., 2.], [3., 10.]]])
  expected = np.corrcoef([10, 3, 2, 1], [.4, .3, .2, .1])[0, 1]
  assert removal_correlation.faithfulness_estimate(
      _sum, image, heat, steps=4) == pytest.approx([expected])


def test_monotonicity():
  images, maps = _three_maps(4)
  assert removal_correlation.monotonicity(
      _sum, images, maps, steps=16).tolist() == [1, 1, 1]
  falls = lambda x, pairs: -x.sum((1, 2, 3))
  assert not removal_correlation.monotonicity(falls, images, maps).any()


def test_irof_of_two_halves():
  image = np.zeros([4, 8, 1])
  image[:, :4] = 1
  part = segment_removal.slic(image, count=2)
  assert part[:, :4].max() != part[:, 4:].min() and set(part.flat) == {0, 1}
  images = np.stack([image, image])
  heat = np.stack([image[..., 0], 1 - image[..., 0]])
  left = lambda x, pairs: x[:, :, :4].mean((1, 2, 3))
  # The left half becomes .5 in the first or in the second step: the curves
  # are 1, .5, .5 and 1, 1, .5.
  np.testing.assert_allclose(
      segment_removal.irof(left, images, heat, count=2),
      [1 - .625, 1 - .875])


def test_superpixels_follow_the_colours():
  image = np.random.default_rng(0).uniform(0, .1, [20, 30, 3])
  image[3:9, 10:22] += 1
  part = segment_removal.slic(image, count=12)
  assert sorted(set(part.flat)) == list(range(part.max() + 1))
  inside = np.zeros([20, 30], bool)
  inside[3:9, 10:22] = True
  assert not set(part[inside]) & set(part[~inside])


def test_coherency_and_adcc():
  images = np.random.default_rng(0).uniform(size=[2, 6, 6, 1])
  heat = images[..., 0]
  # The map of a masked image is x H, and H = unit(x).
  unit = (heat - heat.min((1, 2), keepdims=True)) / np.ptp(
      heat, (1, 2), keepdims=True)
  expected = [(1 + np.corrcoef(a.ravel(), (a * u).ravel())[0, 1]) / 2
              for a, u in zip(heat, unit)]
  np.testing.assert_allclose(
      adcc.coherency(lambda x: x[..., 0], images, heat), expected)
  assert adcc.coherency(lambda x: 0 * x[..., 0], images, heat).tolist() == [
      .5, .5]
  np.testing.assert_allclose(adcc.map_size(heat), unit.mean((1, 2)))
  # 3 / (1 / .5 + 1 / .75 + 1 / .8); no coherency: 0.
  np.testing.assert_allclose(adcc.adcc(
      np.array([.5, .5]), np.array([.4, .4]), np.array([.5, 0]),
      np.array([.25, .25])), [3 / (2 + 4 / 3 + 1.25), 0])


def test_complexity():
  maps = [[[0, -3], [1, 0]], [[0, 0], [0, 0]]]
  p = np.array([.75, .25])
  np.testing.assert_allclose(complexity.complexity(maps),
                             [-(p * np.log(p)).sum(), np.log(4)])


def test_sensitivities_and_random_logit():
  images, maps = _three_maps()
  explain = lambda x: x[..., 0]
  worst, mean = (f(explain, images, images[..., 0]) for f in (
      sensitivity.max_sensitivity, sensitivity.average_sensitivity))
  assert np.all(worst > mean) and np.all(mean > 0)
  np.testing.assert_allclose(sensitivity.random_logit(maps, maps), 1)
  assert sensitivity.random_logit(maps[:1], maps[1:2]) < 0
  other = method_scores.another_class(np.array([0, 1, 2, 2]), 3)
  assert np.all(other != [0, 1, 2, 2]) and set(other) <= {0, 1, 2}


def test_relative_input_stability_is_in_percent_of_map_and_image():
  """A map that is twice the image changes as much, in percent."""
  images, _ = _three_maps()
  images = np.abs(images) + 1
  explain = lambda x: 2 * x[..., 0]
  score = lambda explain: sensitivity.relative_input_stability(
      explain, images[..., :1], explain(images[..., :1]))
  np.testing.assert_allclose(score(explain), 1)
  np.testing.assert_allclose(score(lambda x: x[..., 0]**2), 2, rtol=.1)
  dead = images[..., :1] * 0 + 1
  dead[0, 0, 0] = 0  # a pixel that is 0 is divided by 1e-6
  assert np.isfinite(sensitivity.relative_input_stability(
      lambda x: x[..., 0], dead, dead[..., 0])).all()


def test_maps_of_two_networks():
  """By hand: S= is .1 and .3, S!= is .2 and .9; the last pair is neither."""
  d = np.array([.1, .3, .2, .9, 0.])
  first, second = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 1, 0]], bool)
  assert algorithmic_stability.mean_generalizability(
      d, first, second) == pytest.approx(1 / 1.2)
  # At .3 both of S= are below, and one of S!= above: 1 + 1/2 - 1.
  assert algorithmic_stability.relative_consistency(
      d, first, second) == pytest.approx(.5)
  assert np.isnan(algorithmic_stability.relative_consistency(
      d, first, first))
  maps = np.random.default_rng(0).normal(size=[2, 8, 8])
  np.testing.assert_allclose(algorithmic_stability.distances(
      maps, -maps), 0, atol=1e-6)
  assert np.all(algorithmic_stability.distances(
      maps, np.abs(maps)) > .5)  # the signs count


def test_relevance_accuracies():
  heat = np.array([[[4., 1.], [3., -9.]]] * 3)
  masks = np.array([[[1, 0], [0, 1]], [[1, 0], [255, 0]], [[0, 0], [0, 255]]],
                   np.uint8)
  # Of 4 + 1 + 3 the mask has 4; without the unknown 3 it is 4 of 5.
  np.testing.assert_allclose(
      segmentation.relevance_mass_accuracy(heat, masks), [.5, .8, np.nan])
  # The two highest are 4 and 3; the highest one is 4.
  np.testing.assert_allclose(
      segmentation.relevance_rank_accuracy(heat, masks), [.5, 1, np.nan])
  assert segmentation.relevance_mass_accuracy(-heat * 0, masks)[0] == 0


def test_independent_randomization():
  """Each layer alone, or, cascading, on top of those before it."""
  random = np.random.default_rng(0)
  trained = {name: random.normal(size=[1, 16, 16]) for name in "ab"}
  def rows(restore):
    weights = dict(trained)
    def randomize(name):
      weights[name] = np.random.default_rng(1).normal(size=[1, 16, 16])
    return sanity.parameter_randomization(
        lambda: weights["a"] + 9 * weights["b"], randomize, ["b", "a"],
        (lambda: weights.update(trained)) if restore else None)
  cascading, independent = rows(False), rows(True)
  assert cascading[0] == independent[0]
  assert abs(cascading[1]["similarity"]) < .3 and (
      independent[1]["similarity"] > .9)
  assert cascading[1]["ssim"] < .3 and independent[1]["ssim"] > .5
