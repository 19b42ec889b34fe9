"""Thresholds of two classes, and what few negatives cannot show."""

import numpy as np
import pytest
from scipy import stats

from atcon_tf.evaluation.metrics import classification
from atcon_tf.evaluation.metrics import operating_point
from atcon_tf.evaluation.metrics import proportion
from atcon_tf.evaluation import scoring
from atcon_tf.models import probabilities
from atcon_tf.reports import tables
from atcon_tf.reports import two_classes

# Positives score .9 .8 .6 .3, negatives .7 .5 .2 .1.
LABEL = np.array([1, 1, 1, 1, 0, 0, 0, 0])
SCORE = np.array([.9, .8, .6, .3, .7, .5, .2, .1])


@pytest.mark.parametrize("wanted, threshold", [
    ("", .5),
    ("sensitivity:0.5", .75),   # .9 .8 pass: between .8 and .7
    ("sensitivity:0.7", .55),   # three of four: between .6 and .5
    ("sensitivity:1", .25),
    ("precision:1", .75),       # .9 .8, and then a negative
    ("precision:0.75", .55),    # 3 of 4
    ("precision:0.5", .05)])    # everything
def test_thresholds_by_hand(wanted, threshold):
  point = operating_point.choose(LABEL, SCORE, wanted)
  assert point["threshold"] == pytest.approx(threshold)
  assert point.get("reached", True)


def test_what_cannot_be_reached_is_said():
  score = np.array([.9, .6, .95, .1])
  point = operating_point.choose([1, 1, 0, 0], score, "precision:0.9")
  assert not point["reached"]
  assert point["threshold"] == pytest.approx(.35)  # 2 of 3 is the best
  assert not operating_point.choose([1, 1], score[:2],
                                    "sensitivity:0.9")["reached"]


def test_exact_intervals():
  """Clopper and Pearson by the quantiles of the beta distribution."""
  for count, number in [(0, 20), (9, 10), (20, 20), (3, 7)]:
    low, high = proportion.interval(count, number)
    assert low == pytest.approx(
        stats.beta.ppf(.05, count, number - count + 1) if count else 0)
    assert high == pytest.approx(
        stats.beta.ppf(.95, count + 1, number - count)
        if count < number else 1)


def test_a_share_of_groups_is_one_of_fewer_images():
  hits = np.repeat([1, 1, 0, 1], 5)
  group = np.repeat(list("abcd"), 5)
  whole = proportion.of_units(hits)
  assert whole == proportion.interval(15, 20)
  low, high = proportion.of_units(hits, group)
  assert low < whole[0] - .1 and high > whole[1]
  # The images of a group are one image: V = p q / 3, so the number is
  # 20 (p q / 19) / (p q / 3) = 60 / 19, times (t(19) / t(3))^2.
  number = 60 / 19 * (stats.t.ppf(.95, 19) / stats.t.ppf(.95, 3)) ** 2
  np.testing.assert_allclose([low, high], proportion.interval(
      .75 * number, number))
  # All right: as many images as groups, and never a certainty.
  assert proportion.of_units(np.ones(20), group)[0] < proportion.interval(
      4, 4)[0]
  assert proportion.of_units(np.ones(3), ["a"] * 3) is None
  assert proportion.of_units([]) is None


def test_a_perfect_run_is_not_certain():
  """12 of 12 right: an exact interval of shares, none of mAP and F1."""
  label = np.tile(np.eye(2), [6, 1])
  table = {"id": np.arange(12).astype(str), "label": label,
           "probability": .1 + .8 * label, "threshold": np.array(.5),
           "class_names": np.array(["a", "b"]), "multi_label": np.array(False),
           "pointing_game": np.where(label, [np.nan, 1], np.nan),
           "false_alarm_rates": np.array([.5])}
  scores = scoring.judge(table, samples=20)
  for name, count in [("accuracy", 12), ("pointing_game", 6),
                      ("sensitivity_at_0.5", 6)]:
    assert scores[name] == 1
    assert scores["ci90"][name] == proportion.interval(count, count), name
  assert not {"map_macro", "auc_macro", "f1_macro"} & set(scores["ci90"])
  assert "groups" not in scores
  result = {"steps": {"supervised": 1, "consistency": 0, "best": 1},
            "seconds": 1, "test": scores}
  text = tables.scores_table({"run": result})
  assert "1.000 [=]" in text and "[=]: all resamples" in text
  assert "1.000 [0.779, 1.000]" in text and "over images." in text
  grouped = scoring.judge({**table, "group": np.array(list("aabbccddeeff"))},
                          samples=20)
  assert grouped["groups"] == 6
  assert grouped["ci90"]["accuracy"][0] < scores["ci90"]["accuracy"][0]
  interval = grouped["operating_point"]["interval"]
  assert interval["precision"] == proportion.interval(6, 6)
  text = tables.scores_table({"run": {**result, "test": grouped}})
  assert "over 6 groups of images" in text


def test_measured_by_hand():
  found = operating_point.measure(LABEL, SCORE, .55)
  assert (found["sensitivity"], found["specificity"], found["precision"]) == (
      .75, .75, .75)
  assert found["interval"]["precision"] == proportion.interval(3, 4)
  assert "precision" not in operating_point.measure(LABEL, SCORE, .99)


def _table(rates, threshold=None):
  table = {"id": np.arange(8).astype(str), "label": np.eye(2)[LABEL],
           "probability": np.stack([1 - SCORE, SCORE], 1),
           "class_names": np.array(["fine", "stained"]),
           "multi_label": np.array(False),
           "false_alarm_rates": np.array(rates, float)}
  if threshold is not None:
    table["threshold"] = np.array(threshold)
  return table


def test_a_rate_that_the_negatives_cannot_show_is_not_a_number():
  scores = scoring.judge(_table([.001, .25]), samples=20)
  assert "sensitivity_at_0.25" in scores and "sensitivity_at_0.25" in (
      scores["ci90"])
  assert "sensitivity_at_0.001" not in {*scores, *scores["ci90"]}
  known = scores["without_alarm"]
  assert known["rates"] == [.001] and known["negatives"] == 4
  assert known["sensitivity"] == .5  # .9 and .8 are above every negative
  assert known["interval"] == proportion.interval(2, 4)
  assert known["rate_below"] == pytest.approx(1 - .05 ** (1 / 4))
  (note,) = two_classes.notes(scores)
  assert "at 0.001 alarms cannot be measured with 4 negatives" in note
  assert "without_alarm" not in scoring.judge(_table([.25, .5]), samples=0)


def test_the_threshold_decides_every_score():
  half, low = (scoring.judge(_table([.5], t), samples=0) for t in (.5, .25))
  assert half["confusion"] == [[2, 2], [1, 3]]
  assert low["confusion"] == [[2, 2], [0, 4]]
  assert (half["accuracy"], low["accuracy"]) == (5 / 8, 6 / 8)
  assert low["per_class"]["stained"]["recall"] == 1
  assert low["per_class"]["stained"]["precision"] == pytest.approx(4 / 6)
  assert two_classes.rows(low)["operating threshold"] == "0.250"
  assert two_classes.rows(low)["  sensitivity there"].startswith("1.000 [0.4")


def test_a_decision_that_is_no_better_than_chance_is_said():
  always, half = (scoring.judge(_table([.5], t), samples=0) for t in (0., .5))
  assert always["operating_point"]["specificity"] == 0
  (note,) = two_classes.notes(always)
  assert note.endswith("chance does as well.")
  assert two_classes.notes(half) == []


@pytest.mark.parametrize("threshold, multi_label", [
    (None, False), (.3, False), (.5, True)])
def test_labels_are_decided_as_in_the_scores(threshold, multi_label):
  p = np.random.default_rng(0).uniform(size=[9, 2])
  if not multi_label:
    p /= p.sum(1, keepdims=True)
  np.testing.assert_array_equal(
      probabilities.labels(p, multi_label, threshold),
      classification.decide(p, threshold, multi_label))


@pytest.mark.parametrize("chosen, words", [
    (dict(wanted="", threshold=.5), "it is the more probable class"),
    (dict(wanted="sensitivity:0.95", threshold=.2, reached=True),
     "from probability 0.200 on, for a sensitivity of 0.95 on the 8 positive "
     "and 12 negative validation images"),
    (dict(wanted="precision:0.9", threshold=.7, reached=False),
     "No threshold reaches a precision of 0.9")])
def test_the_choice_in_words(chosen, words):
  result = {"operating_point": {**chosen, "class": "stained", "positives": 8,
                                "negatives": 12}}
  assert words in two_classes.decision(result)
  assert bool(two_classes.missed(result)) == bool(chosen["wanted"])
  result["operating_point"]["positives"] = 10
  assert bool(two_classes.missed(result)) == (not chosen.get("reached", True))
