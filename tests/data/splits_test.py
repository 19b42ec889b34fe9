"""Few-shot splits: how many, which, and what a splits.json may hold."""

import json

from absl.testing import parameterized
import numpy as np
import pytest

from atcon_tf.config import UserError
from atcon_tf.data import Dataset
from atcon_tf.data import Record
from atcon_tf.data import splits


def labels_of(*images):
  """`labels_of("a", "ab")`: one row per image, one column per letter."""
  letters = sorted(set("".join(images)))
  return np.array([[letter in image for letter in letters]
                   for image in images], np.float32)


def dataset_of(train, val="ab", test="ab"):
  """A data set whose images have one label each, a letter."""
  made = {}
  for split, letters in (("train", train), ("val", val), ("test", test)):
    made[split] = [
        Record(f"{split}{i}", "", np.array([c == "a", c == "b"], float))
        for i, c in enumerate(letters)]
  return Dataset(("ant", "bee"), True, made)


class DrawTest(parameterized.TestCase):

  def test_shots_images_for_every_class(self):
    labels = np.eye(3)[np.arange(60) % 3]
    got = splits.draw(labels, 5, 0, "abc")
    self.assertLen(set(got.tolist()), 15)
    np.testing.assert_array_equal(labels[got].sum(0), [5, 5, 5])

  def test_single_labels_come_first(self):
    # Three pure images of each class: with 3 shots no "ab" is needed.
    labels = labels_of("ab", "a", "b", "ab", "a", "b", "ab", "a", "b")
    got = splits.draw(labels, 3, 7, "ab")
    np.testing.assert_array_equal(got, [1, 2, 4, 5, 7, 8])

  def test_no_shots_are_all(self):
    labels = labels_of("ab", "a", "b", "ab")
    np.testing.assert_array_equal(splits.draw(labels, 0, 7, "ab"),
                                  [0, 1, 2, 3])
    np.testing.assert_array_equal(
        splits.draw(labels, 0, 7, "ab", single_label_only=True), [1, 2])
    with self.assertRaisesRegex(UserError, "no training image has one label"):
      splits.draw(labels_of("ab", "ab"), 0, 0, "ab", single_label_only=True)

  def test_then_images_with_several_labels(self):
    # b has one pure image and must take both "ab"; a has its own two.
    labels = labels_of("a", "a", "a", "b", "ab", "ab")
    got = splits.draw(labels, 3, 1, "ab")
    np.testing.assert_array_equal(got, [0, 1, 2, 3, 4, 5])

  def test_single_label_only(self):
    labels = labels_of("a", "a", "b", "b", "ab", "ab")
    got = splits.draw(labels, 2, 0, "ab", single_label_only=True)
    np.testing.assert_array_equal(got, [0, 1, 2, 3])
    with self.assertRaisesRegex(
        UserError, "shots=3: class 'ant' has only 2 single-label"):
      splits.draw(labels, 3, 0, ("ant", "bee"), single_label_only=True)

  def test_the_rarest_class_chooses_first(self):
    # One image shows both: it is all that c has, so b must not take it.
    for seed in range(8):
      got = splits.draw(labels_of("bc", "b", "b"), 1, seed, "bc")
      self.assertIn(0, got)

  @parameterized.parameters(0, 1, 2)
  def test_fewer_shots_are_a_subset(self, seed):
    labels = np.random.default_rng(5).random([300, 6]) < 0.25
    labels = labels[labels.any(1)]
    sets = [set(splits.draw(labels, k, seed, "abcdef").tolist())
            for k in (1, 2, 4, 8)]
    self.assertEqual([len(s) for s in sets], [6, 12, 24, 48])
    for few, more in zip(sets, sets[1:]):
      self.assertLess(few, more)

  def test_seed_alone_decides(self):
    labels = np.eye(2)[np.arange(100) % 2]
    np.random.seed(1)
    first = splits.draw(labels, 4, 3, "ab")
    np.random.seed(2)
    np.testing.assert_array_equal(first, splits.draw(labels, 4, 3, "ab"))
    self.assertNotEqual(first.tolist(),
                        splits.draw(labels, 4, 4, "ab").tolist())

  def test_too_few_images_name_the_class(self):
    with self.assertRaisesRegex(UserError, "shots=2: class 'bee' has only 1"):
      splits.draw(labels_of("a", "a", "b"), 2, 0, ("ant", "bee"))


class MakeTest(parameterized.TestCase):

  def test_all_is_the_rest_of_train(self):
    got = splits.make(dataset_of("aaabbb"), 2)
    self.assertLen(got["train_labeled"], 4)
    self.assertCountEqual(got["train_labeled"] + got["train_unlabeled"],
                          [f"train{i}" for i in range(6)])
    self.assertEqual((got["val"], got["test"]),
                     (["val0", "val1"], ["test0", "test1"]))
    self.assertEqual((got["shots"], got["seed"]), (2, 0))

  def test_labeled_is_the_labelled_again(self):
    got = splits.make(dataset_of("aaabbb"), 2, "labeled")
    self.assertEqual(got["train_unlabeled"], got["train_labeled"])

  def test_a_number_is_drawn_from_the_rest(self):
    data = dataset_of("aaaaabbbbb")
    rest = splits.make(data, 2)["train_unlabeled"]
    three = splits.make(data, 2, "3")["train_unlabeled"]
    self.assertLen(three, 3)
    self.assertLess(set(three), set(rest))
    self.assertEqual(splits.make(data, 2, "6")["train_unlabeled"], rest)
    with self.assertRaisesRegex(UserError, "unlabeled='7': only 6 .* the 4"):
      splits.make(data, 2, "7")


class ReadTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def _folder(self, tmp_path):
    self.path = tmp_path / "splits.json"

  def test_what_was_saved(self):
    data = dataset_of("aaabbb")
    made = splits.make(data, 2, "1", seed=4)
    splits.save(made, self.path)
    self.assertEqual(splits.read(self.path, data), made)

  @parameterized.parameters(
      ({"train_labeled": ["train9"]}, "train_labeled: no image 'train9'"),
      ({"train_labeled": [0]}, "no image '0'"),
      ({"train_labeled": [["train0"]]}, "no image"),
      ({"train_labeled": []}, "train_labeled: no image in it"),
      ({"val": "val0"}, "no list 'val'"),
      ({"val": ["val0", "val0"]}, "val: an image is there twice"),
      ({"test": ["train0"]}, "'train0' is in both train and test"),
      ({"val": ["train1"]}, "'train1' is in both train and val"),
      ({"val": ["test0"]}, "'test0' is in both val and test"))
  def test_refuses(self, change, message):
    good = {"train_labeled": ["train0"], "train_unlabeled": ["train1"],
            "val": ["val0"], "test": ["test0"]}
    self.path.write_text(json.dumps({**good, **change}))
    with self.assertRaisesRegex(UserError, message) as caught:
      splits.read(self.path, dataset_of("ab"))
    self.assertIn(str(self.path), str(caught.exception))

  @parameterized.parameters("", "{", "[]", "7", b"\xff\xfe\x00")
  def test_refuses_what_is_no_split(self, text):
    self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with self.assertRaisesRegex(UserError, "splits.json': (not a JSON|no list)"):
      splits.read(self.path, dataset_of("ab"))

  def test_refuses_a_missing_file(self):
    with self.assertRaisesRegex(UserError, "splits.json': No such file"):
      splits.read(self.path, dataset_of("ab"))
