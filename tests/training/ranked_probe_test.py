"""The pool joins a probe by its ranks, a round for each share."""

import numpy as np
import pytest
from sklearn import linear_model

from atcon_tf.objectives import rank_labels
from atcon_tf.training import probe
from tests.training.probe_runs import noisy_task


@pytest.mark.parametrize("multi_label", [True, False])
def test_an_empty_pool_changes_nothing(multi_label):
  features, label = noisy_task(20, 6)
  if not multi_label:
    label = np.eye(3)[np.arange(20) % 3]
  alone = probe.fit(features, label, multi_label=multi_label)
  ranked = probe.fit_ranked(features, label, features[:0], [.5] * 3,
                            multi_label=multi_label)
  np.testing.assert_array_equal(ranked.coefficients, alone.coefficients)
  np.testing.assert_array_equal(ranked.bias, alone.bias)


def test_one_round_by_hand():
  """Pseudo-labels of weight .2 beside the labels, by scikit-learn alone."""
  features, label = noisy_task(12, 6)
  pool, _ = noisy_task(50, 6, seed=9)
  prior = [.6, .1, .4]
  logits = np.stack([linear_model.LogisticRegression(
      C=.3, tol=1e-9).fit(features, label[:, c]).decision_function(pool)
                     for c in range(3)], 1)
  found = probe.fit_ranked(features, label, pool, prior, shares=(.5,),
                           pool_weight=.2)
  for c, size in enumerate([15, 10, 10]):  # .5 * 50 * prior, at least 10
    order = np.argsort(-logits[:, c])
    chosen = [*order[:size], *order[-30:]]  # 60 % are negatives
    model = linear_model.LogisticRegression(C=.3, tol=1e-9, max_iter=10000)
    model.fit(np.concatenate([features, pool[chosen]]),
              [*label[:, c], *[1] * size, *[0] * 30],
              [1] * 12 + [.2] * (size + 30))
    np.testing.assert_allclose(
        found.logits(pool)[:, c], model.decision_function(pool), atol=1e-3)


def test_each_round_ranks_with_the_probe_of_the_one_before(monkeypatch):
  features, label = noisy_task(12, 6)
  pool, _ = noisy_task(100, 6, seed=9)
  seen, rule = [], rank_labels.rank_labels

  def spy(logits, sizes):
    seen.append((logits, sizes))
    return rule(logits, sizes)

  monkeypatch.setattr(rank_labels, "rank_labels", spy)
  last = probe.fit_ranked(features, label, pool, [.8] * 3)
  # .2, .35 and .5 of 80 expected images.
  assert [s.tolist() for _, s in seen] == [[16] * 3, [28] * 3, [40] * 3]
  np.testing.assert_array_equal(seen[0][0],
                                probe.fit(features, label).logits(pool))
  one = probe.fit_ranked(features, label, pool, [.8] * 3, shares=(.2,))
  np.testing.assert_array_equal(seen[1][0], one.logits(pool))
  assert np.abs(last.logits(pool) - one.logits(pool)).max() > .1


def _clusters(multi_label, seed=0):
  """Few labels far from the centres of their classes, and a pool."""
  rng = np.random.default_rng(seed)
  centre = rng.normal(size=[3, 20])
  chosen = np.repeat(np.arange(3), 101)
  points = probe.unit_length(centre[chosen] + 1.2 * rng.normal(
      size=[303, 20]))
  first = np.arange(303) % 101 == 0
  label = np.eye(3)[chosen]
  return points[first], label[first], points[~first], chosen[~first]


@pytest.mark.parametrize("multi_label", [True, False])
def test_the_pool_helps(multi_label):
  right = []
  for seed in range(5):
    features, label, pool, chosen = _clusters(multi_label, seed)
    fitted = [probe.fit(features, label, multi_label=multi_label),
              probe.fit_ranked(features, label, pool, [1 / 3] * 3,
                               multi_label=multi_label)]
    right.append([(f.logits(pool).argmax(1) == chosen).mean()
                  for f in fitted])
  alone, ranked = np.mean(right, 0)
  assert alone < .9 and ranked > alone + .05
