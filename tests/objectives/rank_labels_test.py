"""Pseudo-labels by rank: ranks, sizes of classes and labels by hand."""

import numpy as np
import pytest

from atcon_tf.objectives import rank_labels

# Five images, two classes.
LOGITS = np.array([[3., -1], [1, 5], [2, 4], [-2, 0], [0, -3]])


def test_ranks_by_hand():
  np.testing.assert_array_equal(
      rank_labels.ranks(LOGITS), [[0, 3], [2, 0], [1, 1], [4, 2], [3, 4]])
  # Equal logits rank in the order of the images: again the same each time.
  np.testing.assert_array_equal(
      rank_labels.ranks([[1.], [2.], [1.], [2.]]), [[2], [0], [3], [1]])


@pytest.mark.parametrize("prior, count, share, sizes", [
    # .5 of 40, 1 and 15 expected images; at least 10.
    ([.4, .01, .15], 100, .5, [20, 10, 10]),
    ([.4, .01, .15], 1000, .2, [80, 10, 30]),
    # 10 are more than half of a pool of 9: at least 4.
    ([.4, 1., 0], 9, .5, [4, 4, 4]),
    ([.4, 1., 0], 9, 1., [4, 9, 4]),
    ([.4, 1., 0], 1, .5, [1, 1, 1]),
    # .5 * .25 * 100 = 12.5 goes to the even number.
    ([.25], 100, .5, [12])])
def test_class_sizes_by_hand(prior, count, share, sizes):
  found = rank_labels.class_sizes(prior, count, share)
  np.testing.assert_array_equal(found, sizes)
  assert found.dtype.kind == "i"


def test_the_least_of_a_class():
  np.testing.assert_array_equal(
      rank_labels.class_sizes([.1, .4], 100, .5, least=2), [5, 20])


def test_a_size_for_each_class():
  label, weight = rank_labels.rank_labels(LOGITS, np.array([1, 3]), .2)
  # Class 0: image 0 first. Class 1: images 1, 2, 3 are the first three.
  np.testing.assert_array_equal(label, [[1, 0], [0, 1], [0, 1], [0, 1],
                                        [0, 0]])
  # A fifth of five, one image, is negative: image 3 of class 0, 4 of 1.
  np.testing.assert_array_equal(weight, [[1, 0], [0, 1], [0, 1], [1, 1],
                                         [0, 1]])
  assert label.dtype == weight.dtype == np.float32


def test_positives_go_before_negatives():
  """Where shares overlap, what ranks among the first is no negative."""
  label, weight = rank_labels.rank_labels(LOGITS, 3, 1.)
  np.testing.assert_array_equal(label.sum(0), [3, 3])
  assert weight.all()


def test_the_class_of_one_label_counts_in_parts_of_its_size():
  logits = np.log([[.6, .4], [.5, .5], [.3, .7], [.1, .9]])
  # Image 1 is second of 2 in class 0, third of 4 in class 1: 1/2 of each; the
  # tie goes to the first class. Image 0 is fourth of 4 in class 1: 3/4.
  label, weight = rank_labels.best_rank_labels(logits, np.array([2, 4]))
  np.testing.assert_array_equal(label, [[1, 0], [1, 0], [0, 1], [0, 1]])
  assert weight.all()
  # Of sizes 1 and 2: image 2 is second of 2 in class 1, image 1 is nowhere.
  label, weight = rank_labels.best_rank_labels(logits, np.array([1, 2]))
  np.testing.assert_array_equal(label, [[1, 0], [0, 0], [0, 1], [0, 1]])
  np.testing.assert_array_equal(weight, [[1, 1], [0, 0], [1, 1], [1, 1]])


def test_one_label_ranks_probabilities():
  """Logits of one image are all high: that says nothing of its class."""
  logits = np.array([[9., 9], [1, 0], [0, 1]])
  # The probabilities of class 0: .5, .73, .27.
  label, _ = rank_labels.best_rank_labels(logits, 1)
  np.testing.assert_array_equal(label, [[0, 0], [1, 0], [0, 1]])


def test_rank_labels_by_hand():
  label, weight = rank_labels.rank_labels(LOGITS, 1, 0.6)
  # Class 0 ranks images 0, 2, 1, 4, 3; class 1 ranks 1, 2, 3, 0, 4.
  np.testing.assert_array_equal(label, [[1, 0], [0, 1], [0, 0], [0, 0],
                                        [0, 0]])
  # The lowest 60 % of five, three images, are negatives: of class 0 images
  # 1, 4, 3; of class 1 images 3, 0, 4. The others say nothing.
  np.testing.assert_array_equal(weight, [[1, 1], [1, 1], [0, 0], [1, 1],
                                         [1, 1]])


def test_every_class_has_as_many_positives():
  logits = np.random.default_rng(0).normal(size=[200, 7]) + 5 * np.arange(7)
  label, weight = rank_labels.rank_labels(logits, 9, 0.5)
  np.testing.assert_array_equal(label.sum(0), 9)
  np.testing.assert_array_equal(weight.sum(0), 9 + 100)


def test_an_image_of_one_label_goes_where_it_ranks_highest():
  logits = np.log([[.6, .4], [.5, .5], [.3, .7], [.1, .9]])
  # Class 0 ranks 0, 1, 2, 3; class 1 ranks 3, 2, 1, 0. With three each,
  # image 1 is second of class 0 and third of class 1.
  label, weight = rank_labels.best_rank_labels(logits, 3)
  np.testing.assert_array_equal(label, [[1, 0], [1, 0], [0, 1], [0, 1]])
  assert weight.all()
  label, weight = rank_labels.best_rank_labels(logits, 1)
  np.testing.assert_array_equal(label, [[1, 0], [0, 0], [0, 0], [0, 1]])
  np.testing.assert_array_equal(weight[:, 0], [1, 0, 0, 1])
