"""Intervals and tests: known cases, coverage, and numbers by hand."""

import json

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
from scipy import stats

from atcon_tf.evaluation.metrics import statistics


def _mean_of(values, name="mean"):
  values = np.asarray(values, float)
  return lambda indices: {name: values[indices].mean()}


class BootstrapTest(parameterized.TestCase):

  def test_normal_mean(self):
    values = np.random.default_rng(1).normal(size=400)
    low, high = statistics.bootstrap(_mean_of(values), 400)["mean"]
    # The mean's standard error is s / sqrt(400); 90 % are +- 1.645 of them.
    half = 1.645 * values.std() / 20
    np.testing.assert_allclose(
        [low, high], values.mean() + [-half, half], atol=0.015)

  def test_coverage(self):
    random = np.random.default_rng(0)
    inside = 0
    for seed in range(100):
      interval = statistics.bootstrap(
          _mean_of(random.normal(size=30)), 30, samples=100, seed=seed)
      low, high = interval["mean"]
      inside += low <= 0 <= high
    # 90 expected, standard deviation 3; a few less for so few images.
    self.assertBetween(inside, 79, 97)

  def test_seed_and_level(self):
    statistic = _mean_of(np.arange(10))
    first = statistics.bootstrap(statistic, 10)
    self.assertEqual(first, statistics.bootstrap(statistic, 10))
    self.assertNotEqual(first, statistics.bootstrap(statistic, 10, seed=1))
    low, high = first["mean"]
    wide_low, wide_high = statistics.bootstrap(
        statistic, 10, level=.99)["mean"]
    self.assertLess(wide_low, low)
    self.assertGreater(wide_high, high)

  def test_absent_and_nan(self):
    def statistic(indices):
      scores = {"often": float(indices[0]), "never": np.nan}
      if indices[0] == 0:  # one resample in ten
        scores["rare"] = 1.0
        scores["often"] = np.nan
      return scores

    found = statistics.bootstrap(statistic, 10)
    self.assertEqual(set(found), {"often"})
    self.assertEqual(found["often"], [1.0, 9.0])
    json.dumps(found, allow_nan=False)

  def test_groups_are_the_units(self):
    """The means of groups of equal images vary as the groups alone do."""
    values = np.random.default_rng(1).normal(size=40)
    expected = statistics.bootstrap(_mean_of(values), 40)
    found = statistics.bootstrap(_mean_of(np.repeat(values, 5)), 200,
                                 units=np.repeat(np.arange(40), 5))
    np.testing.assert_allclose(found["mean"], expected["mean"])
    self.assertEqual(expected, statistics.bootstrap(
        _mean_of(values), 40, units=np.arange(40)))

  def test_groups_of_any_size_are_drawn_with_all_images(self):
    units = np.array(["b", "a", "b", "c", "b", "a"])
    drawn = []
    statistics.bootstrap(lambda i: drawn.append(units[i]) or {}, 6, 20,
                         units=units)
    for one in drawn:
      times = [np.mean(one == u) * len(one) / (units == u).sum() for u in "abc"]
      self.assertEqual(sum(times), 3)

  def test_no_resamples(self):
    self.assertEqual(statistics.bootstrap(_mean_of([1]), 1, samples=0), {})

  @parameterized.parameters(
      dict(n=0), dict(n=5, level=90), dict(n=5, samples=-1))
  def test_refuses(self, **arguments):
    with self.assertRaisesRegex(ValueError, "level between 0 and 1, not"):
      statistics.bootstrap(_mean_of(np.ones(5)), **arguments)


class PairedTest(parameterized.TestCase):

  def test_a_constant_difference_is_certain(self):
    values = np.random.default_rng(0).normal(size=50)
    found = statistics.paired_bootstrap(
        _mean_of(values + 1), _mean_of(values), 50, samples=99)["mean"]
    self.assertAlmostEqual(found["difference"], 1)
    np.testing.assert_allclose(found["interval"], [1, 1])
    # No resample at or below 0: 2 (0 + 1) / (99 + 1).
    self.assertAlmostEqual(found["p"], 0.02)

  def test_no_difference(self):
    values = np.arange(9)
    found = statistics.paired_bootstrap(
        _mean_of(values), _mean_of(values), 9)["mean"]
    self.assertEqual(found, {"difference": 0, "interval": [0, 0], "p": 1})

  def test_only_common_names(self):
    found = statistics.paired_bootstrap(
        _mean_of([1, 2], "a"), _mean_of([1, 2], "b"), 2)
    self.assertEqual(found, {})

  def test_p_is_that_of_a_normal_mean(self):
    a = np.random.default_rng(2).normal(0.15, 1, size=200)
    b = np.zeros(200)
    p = stats.ttest_1samp(a, 0).pvalue
    found = statistics.paired_bootstrap(
        _mean_of(a), _mean_of(b), 200, samples=2000)["mean"]["p"]
    self.assertAlmostEqual(found, p, delta=0.03)


class SeedsTest(parameterized.TestCase):

  def test_by_hand(self):
    found = statistics.paired_seeds_test([[1, 3], [3, 5]])
    self.assertEqual(found["difference"], 3)
    # Means 2 and 4: standard deviation sqrt(2), error 1.
    half = stats.t.ppf(.95, 1)
    np.testing.assert_allclose(found["interval"], [3 - half, 3 + half])
    self.assertAlmostEqual(found["p"], 2 * stats.t.sf(3, 1))
    self.assertAlmostEqual(found["p"], .2, places=2)
    self.assertEqual(found["seeds"], 2)

  def test_one_stratum_is_the_t_test(self):
    values = np.random.default_rng(0).normal(1, 1, size=6)
    found = statistics.paired_seeds_test(values[:, None], level=.95)
    expected = stats.ttest_1samp(values, 0)
    np.testing.assert_allclose(found["interval"],
                               expected.confidence_interval(.95))
    self.assertAlmostEqual(found["p"], expected.pvalue)

  def test_strata_that_differ_cost_nothing(self):
    """The spread between strata is not noise of the method."""
    found = statistics.paired_seeds_test([[8.1, 4, .9], [8, 4.1, 1],
                                          [8.1, 4.2, 1]])
    low, high = found["interval"]
    self.assertLess(high - low, 0.3)
    self.assertLess(found["p"], 1e-3)

  @parameterized.parameters(([[2, 4], [3, 3]], 3, 0), ([[1, -1]] * 3, 0, 1))
  def test_seeds_that_agree(self, differences, mean, p):
    found = statistics.paired_seeds_test(differences)
    self.assertEqual(found["interval"], [mean, mean])
    self.assertEqual(found["p"], p)

  @parameterized.parameters(0.0, 3.0)
  def test_coverage(self, shared):
    """Also where the runs of a seed have luck in common."""
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
      noise = random.normal(size=[3, 3]) * [3, 2, 1]
      noise += shared * random.normal(size=[3, 1])
      low, high = statistics.paired_seeds_test(noise)["interval"]
      inside += low <= 0 <= high
    # 270 expected, standard deviation 5.
    self.assertBetween(inside, 255, 285)

  @parameterized.parameters([[[1, 2]]], [[1, 2]], [[[1], [np.nan]]])
  def test_refuses(self, differences):
    with self.assertRaisesRegex(ValueError, "two seeds or more"):
      statistics.paired_seeds_test(differences)

  def test_fits_json(self):
    found = statistics.paired_seeds_test([[1, 2], [3, 6]])
    self.assertEqual(json.loads(json.dumps(found)), found)


if __name__ == "__main__":
  absltest.main()
