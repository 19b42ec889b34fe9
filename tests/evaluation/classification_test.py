"""Scores of probabilities, by hand and against scikit-learn."""

import json

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
from sklearn import metrics

from atcon_tf.evaluation.metrics import classification

# Two classes of four images. Class 0 by rank: hit, miss, hit, miss. Class 1:
# hit, miss, miss, miss.
LABEL = np.array([[1, 0], [0, 1], [1, 0], [0, 0]])
PROBABILITY = np.array([[.9, .4], [.8, .7], [.6, .2], [.1, .3]])


class EvaluateTest(parameterized.TestCase):

  def test_multi_label_by_hand(self):
    scores = classification.evaluate(LABEL, PROBABILITY, 0.35)
    # At 0.35 class 0 predicts images 0, 1, 2: TP 2, FP 1, FN 0 -> 4/5.
    # Class 1 predicts images 0, 1: TP 1, FP 1, FN 0 -> 2/3.
    self.assertAlmostEqual(scores["f1_macro"], (4 / 5 + 2 / 3) / 2)
    # In one pot: TP 3, FP 2, FN 0 -> 6/8.
    self.assertAlmostEqual(scores["f1_micro"], 6 / 8)
    # At 0.5 class 0 is unchanged and class 1 predicts image 1 alone.
    self.assertAlmostEqual(scores["f1_macro_at_half"], (4 / 5 + 1) / 2)
    # Class 0: precision 1/1 and 2/3 at its positives; class 1: 1/1.
    self.assertAlmostEqual(scores["map_macro"], (5 / 6 + 1) / 2)
    self.assertAlmostEqual(scores["map_weighted"], (2 * 5 / 6 + 1) / 3)
    # Class 0 orders 3 of 4 pairs of a positive and a negative, class 1 all.
    self.assertAlmostEqual(scores["auc_macro"], (3 / 4 + 1) / 2)
    # The probability that each of the eight labels was given.
    given = [.9, .2, .6, .9, .6, .7, .8, .7]
    self.assertAlmostEqual(scores["loss"], -np.mean(np.log(given)))
    self.assertNotIn("accuracy", scores)

  def test_single_label_by_hand(self):
    label = np.eye(3)[[0, 1, 2, 2]]
    probability = [[.5, .3, .2], [.6, .3, .1], [.2, .2, .6], [.1, .1, .8]]
    scores = classification.evaluate(label, probability, multi_label=False)
    # Predicted 0, 0, 2, 2: three of four.
    self.assertEqual(scores["accuracy"], 3 / 4)
    # Class 0: TP 1, FP 1 -> 2/3; class 1: FN 1 -> 0; class 2: 1.
    self.assertAlmostEqual(scores["f1_macro"], (2 / 3 + 0 + 1) / 3)
    self.assertAlmostEqual(scores["f1_micro"], 3 / 4)
    self.assertAlmostEqual(scores["loss"],
                           -np.mean(np.log([.5, .3, .6, .8])))
    self.assertNotIn("f1_macro_at_half", scores)

  @parameterized.parameters(False, True)
  def test_agrees_with_sklearn(self, ties):
    random = np.random.default_rng(0)
    label = (random.random([60, 5]) < [.05, .2, .5, .8, .95]).astype(int)
    label[:2] = [[0] * 5, [1] * 5]
    probability = random.random([60, 5])
    if ties:
      probability = np.round(probability, 1)
    scores = classification.evaluate(label, probability, 0.3)
    decision = probability >= 0.3
    for name, expected in {
        "f1_macro": metrics.f1_score(label, decision, average="macro"),
        "f1_micro": metrics.f1_score(label, decision, average="micro"),
        "map_macro": metrics.average_precision_score(label, probability),
        "map_weighted": metrics.average_precision_score(
            label, probability, average="weighted"),
        "auc_macro": metrics.roc_auc_score(label, probability),
    }.items():
      self.assertAlmostEqual(scores[name], expected, 12, name)
    each = classification.per_class(label, probability, 0.3)
    for name, expected in {
        "f1": metrics.f1_score(label, decision, average=None),
        "ap": metrics.average_precision_score(
            label, probability, average=None),
        "auc": metrics.roc_auc_score(label, probability, average=None),
        "support": label.sum(0)}.items():
      np.testing.assert_allclose(each[name], expected, rtol=1e-12)

  def test_class_without_positives_is_left_out(self):
    label = np.column_stack([LABEL, [0, 0, 0, 0], [1, 1, 1, 1]])
    probability = np.column_stack([PROBABILITY, PROBABILITY])
    scores = classification.evaluate(label, probability, 0.35)
    # AP of class 3, all positive, is 1; of class 2 there is none.
    self.assertAlmostEqual(scores["map_macro"], (5 / 6 + 1 + 1) / 3)
    self.assertAlmostEqual(scores["auc_macro"], (3 / 4 + 1) / 2)
    # There is no F1 of class 2; class 3 finds 2 of 4 -> 4/6.
    self.assertAlmostEqual(scores["f1_macro"], (4 / 5 + 2 / 3 + 2 / 3) / 3)
    shown = [0, 1, 3]
    self.assertAlmostEqual(scores["f1_macro"], metrics.f1_score(
        label, probability >= 0.35, average="macro", labels=shown))
    each = classification.per_class(label, probability, 0.35)
    self.assertEqual(each["ap"][2:], [None, 1.0])
    self.assertEqual(each["auc"][2:], [None, None])
    json.dumps(each, allow_nan=False)

  def test_nothing_to_rank_is_absent(self):
    scores = classification.evaluate([[0], [0]], [[.1], [.9]], 0.5)
    self.assertEqual(set(scores), {"f1_micro", "loss"})

  def test_all_right_is_perfect_in_each_resample(self):
    label = np.eye(3)
    for rows in ([0, 0, 1], [2, 2, 2], [0, 1, 2]):
      scores = classification.evaluate(label[rows], label[rows],
                                       multi_label=False)
      self.assertEqual(scores["f1_macro"], 1)

  def test_certain_and_wrong_has_a_finite_loss(self):
    scores = classification.evaluate([[1.0]], [[0.0]], 0.5)
    self.assertAlmostEqual(scores["loss"], -np.log(1e-7))

  @parameterized.parameters(
      ([[1, 0]], [[.5]], "must be .images, classes."),
      ([1, 0], [.5, .5], "must be .images, classes."),
      ([[2, 0]], [[.5, .5]], "label must be 0 or 1"),
      ([[1, 0]], [[3.1, .5]], "logits need"),
      ([[1, 0]], [[np.nan, .5]], "must be in .0, 1."))
  def test_refuses(self, label, probability, message):
    with self.assertRaisesRegex(ValueError, message):
      classification.evaluate(label, probability, 0.5)

  def test_refuses_a_wrong_kind_of_decision(self):
    with self.assertRaisesRegex(ValueError, "need a threshold"):
      classification.evaluate(LABEL, PROBABILITY)
    with self.assertRaisesRegex(ValueError, "exactly one 1"):
      classification.evaluate(LABEL, PROBABILITY, multi_label=False)


class BestThresholdTest(parameterized.TestCase):

  @parameterized.parameters(
      # Perfect from above .2 to .6.
      ([1, 1, 0], [.9, .6, .2], .4),
      # Predicting all is best, at any threshold up to .2.
      ([0, 1, 1], [.9, .6, .2], .1),
      # F1 of the highest k: 2/4, 2/5, 4/6, 4/7, 6/8; all five, so 0 alone.
      ([1, 0, 1, 0, 1], [.9, .8, .5, .3, 0], 0),
      # F1 of the highest k: 2/3, 2/4, 4/5, 4/6; three, so (.1, .3].
      ([1, 0, 1, 0], [.9, .8, .3, .1], .2),
      # Two with .3 are predicted together: 2/3, then 4/5.
      ([1, 1, 0], [.9, .3, .3], .15))
  def test_by_hand(self, label, probability, expected):
    threshold = classification.best_threshold(
        np.reshape(label, [-1, 1]), np.reshape(probability, [-1, 1]))
    self.assertAlmostEqual(threshold, expected)

  def test_widest_of_equal_ranges(self):
    # F1 of the highest k: 2/3, 2/4, 2/5, 4/6. (.6, .9] and (0, .1] are equally
    # good; the first is wider.
    threshold = classification.best_threshold(
        np.array([[1], [0], [0], [1]]), np.array([[.9], [.6], [.5], [.1]]))
    self.assertAlmostEqual(threshold, .75)

  def test_one_threshold_for_two_classes(self):
    # Class 0 alone wants (.4, .9], class 1 alone (.2, .5]: both (.4, .5].
    threshold = classification.best_threshold(
        np.array([[1, 1], [0, 0]]), np.array([[.9, .5], [.4, .2]]))
    self.assertAlmostEqual(threshold, .45)

  @parameterized.parameters(0, 1, 2)
  def test_no_threshold_is_better(self, seed):
    random = np.random.default_rng(seed)
    label = random.random([30, 4]) < 0.3
    probability = np.round(random.random([30, 4]), 2).astype(np.float32)
    found = classification.best_threshold(label, probability)
    scores = [classification.evaluate(label, probability, t)["f1_macro"]
              for t in np.append(np.unique(probability), found)]
    self.assertAlmostEqual(scores[-1], max(scores))

  def test_refuses_without_positives(self):
    with self.assertRaisesRegex(ValueError, "no positive label"):
      classification.best_threshold([[0]], [[.5]])


class BinaryTest(parameterized.TestCase):

  # By falling score: 1, 0, 1, 0 with two equal scores at the end.
  LABEL, SCORE = np.array([1, 0, 1, 0]), np.array([4., 3., 1., 1.])

  def test_roc_and_auc_by_hand(self):
    alarms, sensitivity, thresholds = classification.roc(
        self.LABEL, self.SCORE)
    np.testing.assert_allclose(alarms, [0, 0, .5, 1])
    np.testing.assert_allclose(sensitivity, [0, .5, .5, 1])
    np.testing.assert_allclose(thresholds, [np.inf, 4, 3, 1])
    # Pairs: 4 > 3, 4 > 1, 1 < 3, 1 = 1: 2.5 of 4.
    self.assertEqual(classification.auc(self.LABEL, self.SCORE), 2.5 / 4)

  def test_corners_by_hand(self):
    # Of the three hits that come first, the second lies between the others.
    alarms, sensitivity, thresholds = classification.roc(
        [1, 1, 1, 0, 1], [5., 4., 3., 2., 1.], corners=True)
    np.testing.assert_allclose(alarms, [0, 0, 0, 1, 1])
    np.testing.assert_allclose(sensitivity, [0, 1 / 4, 3 / 4, 3 / 4, 1])
    np.testing.assert_allclose(thresholds, [np.inf, 5, 3, 2, 1])

  def test_sensitivities_by_hand(self):
    score = self.SCORE / 10
    probability = np.stack([1 - score, score], 1)
    label = np.stack([1 - self.LABEL, self.LABEL], 1)
    # No threshold has a rate between those of (0.5, 0.5) and (1, 1).
    self.assertEqual(
        classification.sensitivities(label, probability, [0.5, 0.75]),
        {"sensitivity_at_0.5": 0.5, "sensitivity_at_0.75": 0.5})
    self.assertEqual(classification.sensitivities(
        label[:1], probability[:1], [0.5]), {})

  def test_what_is_binary(self):
    self.assertTrue(classification.is_binary([[1, 0]], False))
    self.assertFalse(classification.is_binary([[1, 0]], True))
    self.assertFalse(classification.is_binary([[1, 0, 0]], False))

  def test_operating_points_by_hand(self):
    sensitivity, thresholds = classification.operating_points(
        self.LABEL, self.SCORE, [0, .5, .75, 1])
    # From (.5, .5) the next one is (1, 1).
    np.testing.assert_allclose(sensitivity, [.5, .5, .5, 1])
    np.testing.assert_allclose(thresholds, [4, 3, 3, 1])

  def test_silence_is_the_only_way(self):
    sensitivity, threshold = classification.operating_points(
        [1, 0], [0., 1.], [0.5])
    # Between (0, 0) and (1, 1): no score keeps the rate.
    self.assertEqual(sensitivity, 0)
    self.assertEqual(threshold, np.inf)

  def test_reference_convention_by_hand(self):
    # Negatives 0, 2; positives 1, 4. Just below t = 2 one negative in two and
    # one positive in two are above; from t = 2 on, no negative.
    sensitivity = classification.sensitivity_at(
        [0, 1, 0, 1], [0., 1., 2., 4.], [0.0, 0.5], "reference")
    # At rate .5 the lowest such t, just above 0, finds both positives.
    np.testing.assert_allclose(sensitivity, [.5, 1])

  @parameterized.parameters(
      ([1, 1], [.1, .2], {}, "0 and 1, both"),
      ([1, 0], [.1], {}, "must be .N."),
      ([1, 0], [.1, np.nan], {}, "no score NaN"),
      ([1, 0], [.1, .2], {"convention": "roc"}, "'roc'; one of: exact"),
      ([1, 0], [.1, .2], {"false_alarm_rates": [1.5]}, "1.5"))
  def test_refuses(self, label, score, options, message):
    options = {"false_alarm_rates": [.1], **options}
    with self.assertRaisesRegex(ValueError, message):
      classification.operating_points(label, score, **options)


if __name__ == "__main__":
  absltest.main()
