"""The order of batches, and what they hold."""

import numpy as np
import pytest

from atcon_tf.config import settings
from atcon_tf.data import image_store
from atcon_tf.data import pipeline
from tests.data.drawn_records import drawn
from tests.data.drawn_records import record


@pytest.mark.parametrize("count, batch_size", [(10, 4), (3, 8), (5, 5),
                                               (1, 2)])
def test_each_epoch_is_a_permutation(count, batch_size):
  batches = [pipeline.order(count, batch_size, 7, 1, k)
             for k in range(count * 3)]
  assert {len(b) for b in batches} == {batch_size}
  epochs = np.concatenate(batches).reshape(-1, count)
  for epoch in epochs:
    assert sorted(epoch) == list(range(count))
  if count > 2:
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_order_depends_on_seed_and_stream_alone():
  def indices(*arguments):
    return pipeline.order(100, 50, *arguments).tolist()

  first = indices(0, 1, 5)
  np.random.default_rng(0).permutation(9)
  assert indices(0, 1, 5) == first
  others = [indices(*a) for a in [(1, 1, 5), (0, 2, 5), (0, 1, 6)]]
  assert all(other != first for other in others)


@pytest.mark.parametrize("share, count", [(0.25, 2), (0.5, 4), (0.9, 7)])
def test_balanced_batches(share, count):
  positive = np.arange(20) < 3
  batches = [pipeline.balanced_order(positive, share, 8, 7, 1, k)
             for k in range(30)]
  for batch in batches:
    assert positive[batch].sum() == count and len(batch) == 8
  # Each goes through its own images evenly.
  times = np.bincount(np.concatenate(batches), minlength=20)
  for part in (times[positive], times[~positive]):
    assert part.max() - part.min() <= 1
  # Positives do not always come first, and a batch can be drawn again.
  assert len({tuple(positive[b]) for b in batches}) > 5
  np.testing.assert_array_equal(
      batches[9], pipeline.balanced_order(positive, share, 8, 7, 1, 9))


# Batches.


def _values(batches):
  return [{k: v.numpy() for k, v in batch.items()} for batch in batches]


def _noise(count, size=8):
  rng = np.random.default_rng(0)
  return [record(lambda p=rng.integers(0, 256, [size, size, 3], np.uint8): p,
                 n, [n, 1]) for n in range(count)]


def test_batches_are_what_order_says():
  records = drawn(6)
  images = image_store.Images(records, 4)
  # Some of the records, in another order than the images.
  chosen = [records[i] for i in (5, 1, 3, 0)]
  batches = _values(pipeline.training_batches(images, chosen, 3, 0, 1, 0, 4))
  assert len(batches) == 4
  for number, batch in enumerate(batches):
    index = pipeline.order(4, 3, 0, 1, number)
    expected = np.array([5, 1, 3, 0])[index]
    np.testing.assert_allclose(batch["image"][:, 1, 2, 0], expected / 255)
    np.testing.assert_array_equal(batch["label"][:, 0], expected)
    assert batch["image"].dtype == batch["label"].dtype == np.float32


@pytest.mark.parametrize("augment", [(), settings.AUGMENTATIONS],
                         ids=["plain", "augmented"])
def test_a_stream_can_be_taken_up_anywhere(augment):
  records = _noise(5)
  images = image_store.Images(records, 8)
  stream = lambda start, seed=0, number=1: _values(pipeline.training_batches(
      images, records, 4, seed, number, start, 6, augment))
  whole, tail = stream(0), stream(3)
  assert len(tail) == 3
  for a, b in zip(whole[3:], tail):
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])
  assert np.any(whole[0]["image"] != stream(0, seed=1)[0]["image"])
  assert np.any(whole[0]["image"] != stream(0, number=2)[0]["image"])


def test_the_same_image_is_changed_anew_in_each_batch():
  records = _noise(1)
  images = image_store.Images(records, 8)
  batches = np.concatenate([b["image"] for b in _values(
      pipeline.training_batches(images, records, 2, 0, 1, 0, 3, ("crop",)))])
  for i in range(6):
    for j in range(i):
      assert np.abs(batches[i] - batches[j]).max() > .01


def test_evaluation_batches():
  records = drawn(5)
  images = image_store.Images(records, 4)
  parts = list(pipeline.evaluation_batches(images, records[::-1], 2))
  assert [len(r) for r, _ in parts] == [2, 2, 1]
  assert [r.id for part, _ in parts for r in part] == [
      "id4", "id3", "id2", "id1", "id0"]
  np.testing.assert_allclose(
      np.concatenate([p for _, p in parts])[:, 0, 0, 0],
      np.array([4, 3, 2, 1, 0], np.float32) / 255)
