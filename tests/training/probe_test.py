"""Probes: against scikit-learn on the same features, and rounds by hand."""

import numpy as np
import pytest
from scipy import optimize
from scipy import special
from sklearn import linear_model

from atcon_tf.training import probe
from tests.training.probe_runs import noisy_task


def _sklearn(features, label, weight=None, strength=.3):
  """Logits of one scikit-learn regression for each class, to the end."""
  columns = []
  for c in range(label.shape[1]):
    model = linear_model.LogisticRegression(C=strength, tol=1e-9,
                                            max_iter=100000)
    model.fit(features, label[:, c],
              None if weight is None else weight[:, c])
    columns.append(model.decision_function(features))
  return np.stack(columns, 1)


def test_unit_length_by_hand():
  found = probe.unit_length([[3, 4], [0, 0]])
  np.testing.assert_allclose(found, [[6, 8], [0, 0]])
  np.testing.assert_allclose(probe.unit_length([[3, 4]], 1), [[.6, .8]])


@pytest.mark.parametrize("count, size", [(30, 80), (80, 30), (40, 40)])
def test_fit_is_that_of_scikit_learn(count, size):
  features, label = noisy_task(count, size)
  fitted = probe.fit(features, label)
  assert fitted.coefficients.shape == (size, 3) and fitted.strength == .3
  want = _sklearn(features, label)
  np.testing.assert_allclose(fitted.logits(features), want, atol=1e-3)
  assert np.abs(want).max() > 1
  # Also of images it was not fitted on, which leave the span of these.
  others, _ = noisy_task(20, size, seed=1)
  model = linear_model.LogisticRegression(C=.3, tol=1e-9, max_iter=100000)
  model.fit(features, label[:, 1])
  np.testing.assert_allclose(fitted.logits(others)[:, 1],
                             model.decision_function(others), atol=1e-3)


def test_the_optimum_of_the_formula_in_the_docstring():
  features, label = noisy_task(12, 3, classes=1)
  weight = np.random.default_rng(3).uniform(.2, 2, size=[12, 1])

  def loss(v):
    z = features @ v[:3] + v[3]
    return v[:3] @ v[:3] / 2 + .7 * np.sum(
        weight[:, 0] * (np.logaddexp(0, z) - label[:, 0] * z))

  best = optimize.minimize(loss, np.zeros(4), tol=1e-12).x
  fitted = probe.fit(features, label, weight, strength=.7)
  np.testing.assert_allclose(fitted.coefficients[:, 0], best[:3], atol=1e-3)
  np.testing.assert_allclose(fitted.bias, best[3:], atol=1e-3)


def test_a_weight_of_2_is_an_image_twice():
  features, label = noisy_task(20, 8)
  weight = np.ones([20, 3])
  weight[:5] = 2
  once = probe.fit(features, label, weight).logits(features)
  twice = probe.fit(np.concatenate([features, features[:5]]),
                    np.concatenate([label, label[:5]])).logits(features)
  np.testing.assert_allclose(once, twice, atol=1e-3)
  np.testing.assert_allclose(once, _sklearn(features, label, weight),
                             atol=1e-3)


@pytest.mark.parametrize("size", [8, 60])
def test_weight_0_leaves_an_image_out_of_a_class(size):
  features, label = noisy_task(30, size)
  weight = np.ones([30, 3])
  weight[:10, 1] = 0
  found = probe.fit(features, label, weight).logits(features)
  np.testing.assert_allclose(found[:, [0, 2]],
                             _sklearn(features, label)[:, [0, 2]], atol=1e-3)
  model = linear_model.LogisticRegression(C=.3, tol=1e-9, max_iter=100000)
  model.fit(features[10:], label[10:, 1])
  np.testing.assert_allclose(found[:, 1], model.decision_function(features),
                             atol=1e-3)
  wrong = label.copy()
  wrong[:10, 1] = 1 - wrong[:10, 1]
  np.testing.assert_array_equal(
      probe.fit(features, wrong, weight).logits(features), found)


def test_a_class_with_one_value_has_a_bias_alone():
  features, label = noisy_task(20, 8, classes=4)
  label[:, 0], label[:, 2] = 0, 1
  weight = np.ones([20, 4])
  weight[:, 3] = 0  # nothing is known of the last
  fitted = probe.fit(features, label, weight)
  np.testing.assert_array_equal(fitted.coefficients[:, [0, 2, 3]], 0)
  # ln(.001 / .999) where nothing shows it or nothing is known.
  np.testing.assert_allclose(fitted.bias[[0, 2, 3]], [-6.9068, 6.9068, -6.9068],
                             atol=1e-4)
  np.testing.assert_allclose(
      fitted.logits(features)[:, 1],
      _sklearn(features, label[:, 1:2])[:, 0], atol=1e-3)


@pytest.mark.parametrize("size", [6, 60])
@pytest.mark.parametrize("classes", [2, 4])
def test_one_label_is_one_multinomial_regression(size, classes):
  features, _ = noisy_task(60, size)
  rng = np.random.default_rng(5)
  chosen = (features @ rng.normal(size=[size, classes])).argmax(1)
  label = np.eye(classes)[chosen]
  assert len(np.unique(chosen)) == classes
  fitted = probe.fit(features, label, multi_label=False)
  model = linear_model.LogisticRegression(C=.3, tol=1e-9, max_iter=100000)
  model.fit(features, chosen)
  found = special.softmax(fitted.logits(features), 1)
  np.testing.assert_allclose(found, model.predict_proba(features), atol=1e-3)
  np.testing.assert_allclose(fitted.coefficients.sum(1), 0, atol=1e-6)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_one_label_without_an_image_of_a_class(missing):
  """It is as unlikely as can be, and the others are as without it."""
  features, _ = noisy_task(20, 6)
  present = [c for c in range(3) if c != missing]
  chosen = np.array(present)[(features[:, 0] > 0).astype(int)]
  label = np.eye(3)[chosen]
  fitted = probe.fit(features, label, multi_label=False)
  p = special.softmax(fitted.logits(features), 1)
  assert p[:, missing].max() < .01
  model = linear_model.LogisticRegression(C=.3, tol=1e-9, max_iter=100000)
  model.fit(features, chosen)
  others = p[:, present] / p[:, present].sum(1, keepdims=True)
  np.testing.assert_allclose(others, model.predict_proba(features), atol=1e-3)


def test_one_label_and_one_class_alone():
  features, _ = noisy_task(5, 6)
  fitted = probe.fit(features, np.eye(3)[[1] * 5], multi_label=False)
  np.testing.assert_array_equal(fitted.logits(features).argmax(1), 1)
  assert np.isfinite(fitted.logits(features)).all()


def test_one_label_a_weight_for_each_image():
  features, _ = noisy_task(30, 6)
  chosen = np.arange(30) % 3
  label, weight = np.eye(3)[chosen], np.where(np.arange(30) < 24, 1., 0)
  found = probe.fit(features, label, weight, multi_label=False)
  want = probe.fit(features[:24], label[:24], multi_label=False)
  np.testing.assert_allclose(found.logits(features), want.logits(features),
                             atol=1e-3)


def _left_out_loss(features, label, strength, multi_label, seed, folds):
  """The log loss of each label left out, by scikit-learn alone.

  The folds: images in a random order, those of a class one after another,
  dealt to the folds in turn.
  """
  rng = np.random.default_rng(seed)
  count, classes = label.shape
  fold = np.zeros(label.shape, int)
  if multi_label:
    for c in range(classes):
      order = rng.permutation(count)
      order = [*order[label[order, c] == 1], *order[label[order, c] == 0]]
      fold[order, c] = np.arange(count) % folds
  else:
    order = rng.permutation(count)
    order = [i for c in range(classes) for i in order if label[i, c]]
    fold[order] = (np.arange(count) % folds)[:, np.newaxis]
  losses = np.zeros(label.shape)
  for k in range(folds):
    for c in range(classes):
      model = linear_model.LogisticRegression(C=strength, tol=1e-8,
                                              max_iter=100000)
      seen = fold[:, c] != k
      if multi_label:
        model.fit(features[seen], label[seen, c])
        p = model.predict_proba(features[~seen])[:, 1]
        losses[~seen, c] = -np.log(np.where(label[~seen, c], p, 1 - p))
      else:
        model.fit(features[seen], label[seen].argmax(1))
        p = model.predict_proba(features[~seen])
        losses[~seen, c] = -np.log(p)[:, c] * label[~seen, c] * classes
  return losses.mean()


@pytest.mark.parametrize("noise, multi_label", [
    (.1, True), (12., True), (.1, False), (12., False)])
def test_the_strength_of_the_lowest_loss_left_out(noise, multi_label):
  rng = np.random.default_rng(0)
  features = probe.unit_length(rng.normal(size=[30, 5]))
  scores = features @ rng.normal(size=[5, 3]) + noise * rng.normal(
      size=[30, 3])
  label = (scores > 0).astype(float) if multi_label else np.eye(3)[
      scores.argmax(1)]
  rare = np.minimum(label.sum(0), (1 - label).sum(0)).min()
  assert rare >= 5  # five folds
  grid = (.003, .03, .3, 3., 30.)
  losses = [_left_out_loss(features, label, c, multi_label, 7, 5)
            for c in grid]
  found = probe.choose_strength(features, label, grid,
                                multi_label=multi_label, seed=7)
  assert found == grid[int(np.argmin(losses))]
  # The task decides: labels of noise want little, clean ones much.
  assert found >= .3 if noise < 1 else found <= .03


def test_a_rare_class_makes_fewer_folds():
  features, label = noisy_task(24, 4)
  label[:, 1] = 0
  label[:3, 1] = 1  # three images: three folds
  grid = (.003, .1, 3.)
  losses = [_left_out_loss(features, label, c, True, 2, 3) for c in grid]
  assert probe.choose_strength(features, label, grid, seed=2) == grid[
      int(np.argmin(losses))]


def test_what_cannot_be_left_out_is_not_asked():
  features, label = noisy_task(24, 4)
  label[:, 1] = 0
  label[3, 1] = 1  # one image
  grid = (.003, .1, 3.)
  found = probe.choose_strength(features, label, grid, seed=4)
  rng, losses = np.random.default_rng(4), []
  fold = np.zeros([24, 3], int)
  for c in range(3):
    order = rng.permutation(24)
    order = [*order[label[order, c] == 1], *order[label[order, c] == 0]]
    fold[order, c] = np.arange(24) % 5
  for strength in grid:
    loss = []
    for c in (0, 2):
      for k in range(5):
        seen = fold[:, c] != k
        model = linear_model.LogisticRegression(C=strength, tol=1e-8)
        model.fit(features[seen], label[seen, c])
        p = model.predict_proba(features[~seen])[:, 1]
        loss += (-np.log(np.where(label[~seen, c], p, 1 - p))).tolist()
    losses.append(np.mean(loss))
  assert found == grid[int(np.argmin(losses))]


@pytest.mark.parametrize("multi_label", [True, False])
def test_the_default_where_nothing_can_be_left_out(multi_label):
  features, _ = noisy_task(3, 4)
  assert probe.choose_strength(features, np.eye(3),
                               multi_label=multi_label) == probe.C
  assert probe.choose_strength(features, np.eye(3), multi_label=multi_label,
                               default=.07) == .07


def test_one_label_a_class_of_one_image_is_not_asked():
  """Nothing is known of such a class once its image is left out."""
  rng = np.random.default_rng(0)
  chosen = np.array([0] * 3 + [1] * 3 + list(range(2, 14)))
  features = rng.normal(size=[18, 3])
  features[:, 0] = 3 * np.where(chosen == 1, -1, 1)
  features, label = probe.unit_length(features), np.eye(14)[chosen]
  grid = (.01, .1)
  # The first two classes are easily told apart: the stronger fit knows them.
  # It is surer, too, that an image of the others is of class 0.
  pair = chosen < 2
  assert probe.choose_strength(features[pair], label[pair, :2], grid,
                               multi_label=False) == .1
  assert probe.choose_strength(features, label, grid, multi_label=False) == .1
