"""Scores of maps against numbers done by hand."""

import numpy as np
import pytest

from atcon_tf.evaluation.metrics import complexity
from atcon_tf.evaluation.metrics import faithfulness
from atcon_tf.evaluation.metrics import sanity
from atcon_tf.evaluation.metrics import sensitivity


def _sum(images, pairs):
  """A classifier whose probability is the sum of the pixels."""
  del pairs
  return images.sum((1, 2, 3))


# One image of 2x2 pixels whose probability is .1 + .2 + .3 + .4 = 1.
IMAGE = np.array([[[[.1], [.2]], [[.3], [.4]]]])
SAME = IMAGE[..., 0]  # the perfect map


def test_keep_top():
  maps = np.array([[[1., 2.], [2., 3.]]])
  # Half of 4 pixels: below the 2nd smallest (2) is 1; then the first 2.
  np.testing.assert_array_equal(faithfulness.keep_top(maps, .5),
                                [[[0, 0], [2, 3]]])
  np.testing.assert_array_equal(faithfulness.keep_top(maps, 0), maps)
  with pytest.raises(ValueError, match="dropped must be in"):
    faithfulness.keep_top(maps, 1)


def test_drop_increase_and_gain():
  whole, masked = np.array([.5, .8]), np.array([.25, .9])
  np.testing.assert_allclose(faithfulness.average_drop(whole, masked), [50, 0])
  np.testing.assert_allclose(
      faithfulness.increase_in_confidence(whole, masked), [0, 100])
  # .1 of the .2 that were left.
  np.testing.assert_allclose(faithfulness.average_gain(whole, masked),
                             [0, 50])


def test_masked_probabilities():
  # The map from 0 to 1 is 0, 1/3, 2/3, 1: .2/3 + .6/3 + .4 = 2/3.
  np.testing.assert_allclose(faithfulness.probabilities(_sum, IMAGE), [1])
  masked = faithfulness.masked_probabilities(_sum, IMAGE, SAME)
  np.testing.assert_allclose(masked, [2 / 3])
  # Without the lower half: .2 + .4.
  masked = faithfulness.masked_probabilities(_sum, IMAGE, SAME, .5)
  np.testing.assert_allclose(masked, [.6])
  # Towards .1: .1 + (.1 + .1 / 3) + (.1 + .2 * 2 / 3) + .4.
  masked = faithfulness.masked_probabilities(_sum, IMAGE, SAME, black=.1)
  np.testing.assert_allclose(masked, [2.6 / 3])


def test_deletion_and_its_worst_case():
  # y is 1, .6, .3, .1, 0: trapezoids (1.6 + .9 + .4 + .1) / 8.
  np.testing.assert_allclose(
      faithfulness.deletion(_sum, IMAGE, SAME, steps=4), [.375])
  # The other way round: 1, .9, .7, .4, 0.
  np.testing.assert_allclose(
      faithfulness.deletion(_sum, IMAGE, -SAME, steps=4), [.625])


def test_insertion_onto_a_blur():
  # The blur keeps the mean of a constant image: the curve is flat.
  flat = np.full([1, 8, 8, 1], 1 / 64)
  heat = np.arange(64.).reshape(1, 8, 8)
  np.testing.assert_allclose(faithfulness.insertion(_sum, flat, heat), [1])
  assert faithfulness.deletion_blur(_sum, flat, heat) == pytest.approx([1])


def test_max_sensitivity():
  constant = lambda images: np.ones(images.shape[:3])
  assert sensitivity.max_sensitivity(constant, IMAGE, constant(IMAGE)) == 0
  # Phi(x) = x: at most |r| / |x| with |r| up to 2 * reach, |x|^2 = .3.
  moved = sensitivity.max_sensitivity(lambda x: x[..., 0], IMAGE, SAME,
                                      radius=.1, samples=50)
  assert 0 < moved[0] <= 2 * .03 / np.sqrt(.3)


def test_infidelity():
  """A map proportional to the summands explains every drop."""
  image = np.random.default_rng(0).uniform(size=[1, 10, 10, 1])
  heat = image[..., 0]
  assert faithfulness.infidelity(_sum, image, 7 * heat) == pytest.approx(0)
  assert faithfulness.infidelity(_sum, image, 0 * heat) == pytest.approx(1)


def test_sparseness():
  # One of four pixels: 1 - 1/4. All the same: 0.
  maps = np.array([[[0, 0], [0, -2.]], [[1, 1], [1, 1]]])
  np.testing.assert_allclose(complexity.sparseness(maps), [.75, 0])


def test_similarity_is_of_ranks_and_sizes():
  a = np.array([[[1., 2.], [3., 4.]]])
  assert sanity.similarity(a, a**3) == pytest.approx(1)
  assert sanity.similarity(a, -a) == pytest.approx(1)
  assert sanity.similarity(a, 5 - a) == pytest.approx(-1)
  assert sanity.similarity(a, np.ones_like(a)) == 0


def test_parameter_randomization_and_its_verdict():
  """A map of the weights passes; a map of the image alone fails."""
  rng = np.random.default_rng(0)
  weights = {"logits": rng.normal(size=[1, 20, 20]),
             "conv": rng.normal(size=[1, 20, 20])}

  def randomize(layer):
    weights[layer] = rng.normal(size=[1, 20, 20])

  learned = lambda: weights["logits"] * weights["conv"]
  rows = sanity.parameter_randomization(learned, randomize,
                                        ["logits", "conv"])
  assert [row["layer"] for row in rows] == ["logits", "conv"]
  assert sanity.verdict([r["similarity"] for r in rows]) == "passes"
  edges = rng.normal(size=[1, 20, 20])
  rows = sanity.parameter_randomization(lambda: edges, randomize, ["conv"])
  assert rows == [{"layer": "conv", "similarity": pytest.approx(1),
                   "ssim": pytest.approx(1)}]
  assert sanity.verdict([r["similarity"] for r in rows]) == "fails"
  assert sanity.data_randomization(edges, edges) == pytest.approx(1)
  assert sanity.verdict(0.45) == sanity.verdict(np.nan) == "unclear"
