"""Cross-entropy with and without weights of the classes, by hand."""

import numpy as np
import pytest

from atcon_tf.objectives import supervised
from atcon_tf.training import one_run
from atcon_tf.training.run_state import RunState
from tests.tiny_runs import tiny


def test_balanced_weights():
  label = np.array([[1, 0, 0]] * 6 + [[0, 1, 0]] * 2)
  # N / (classes n) = 8 / (3 * 6) and 8 / (3 * 2); the third has no image.
  np.testing.assert_allclose(supervised.balanced(label, False),
                             [8 / 18, 8 / 6, 1])
  # (N - n) / n = 2 / 6 and 6 / 2.
  np.testing.assert_allclose(supervised.balanced(label, True), [1 / 3, 3, 1])
  # A class in every image has no negatives to weigh up.
  np.testing.assert_allclose(supervised.balanced(np.ones([4, 1]), True), [1])


class _Logits:
  """A classifier whose logits are its images."""

  def model(self, images, training):
    return images


def _term(label, logits, multi_label, weights):
  loss = supervised.Supervised(_Logits(), multi_label, weights)
  value, weight = loss.call({"image": np.float32(logits),
                             "label": np.float32(label)})["supervised"]
  return value.numpy(), weight.numpy()


def test_an_image_weighs_as_its_class():
  label, logits = [[1, 0], [0, 1]], [[0, 0], [0, np.log(3)]]
  value, weight = _term(label, logits, False, [0.5, 2.0])
  np.testing.assert_allclose(value, [np.log(2), -np.log(3 / 4)], rtol=1e-6)
  np.testing.assert_allclose(weight, [0.5, 2])
  np.testing.assert_allclose(_term(label, logits, False, None)[1], [1, 1])


def test_positives_weigh_as_their_class():
  # At logit 0 every term is log 2; the positive one counts three times.
  value, weight = _term([[1, 0]], [[0, 0]], True, [3.0, 5.0])
  np.testing.assert_allclose(value, [(3 + 1) / 2 * np.log(2)], rtol=1e-6)
  np.testing.assert_allclose(weight, [1])


@pytest.mark.parametrize("objective", ["supervised", "atcon"])
def test_a_run_weighs_by_its_own_labels(objective, tmp_path):
  """Another split has other weights, also in the same compiled step."""
  def prepared(seed, like=None):
    return one_run.prepare(
        tiny(objective=objective, class_weights="balanced", seed=seed),
        tmp_path / f"{objective}{seed}.json", like)

  def weights(run):
    return run.trainer.objectives["supervised"].state[0].numpy()

  first = prepared(0)
  label = np.stack([r.label for r in first.data.records["train_labeled"]])
  np.testing.assert_allclose(
      weights(first), supervised.balanced(label, first.data.multi_label))
  next(first.steps(RunState()))
  second = prepared(1, first)
  label = np.stack([r.label for r in second.data.records["train_labeled"]])
  assert second.trainer is first.trainer
  np.testing.assert_allclose(
      weights(second), supervised.balanced(label, second.data.multi_label))
