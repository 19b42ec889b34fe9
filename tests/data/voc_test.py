"""VOC: boxes, difficult objects, masks, lists; the real data."""

import pathlib

from absl.testing import parameterized
import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import UserError
from atcon_tf.data.sources import voc
from atcon_tf.data.sources import voc_devkit
from tests.voc_devkit import Case
from tests.voc_devkit import ids_of

DOG, CAT, COW = (voc_devkit.CLASSES.index(c) + 1 for c in ("dog", "cat", "cow"))


class RecordsTest(Case):

  def test_boxes_are_one_based_and_inclusive(self):
    self.simple()
    data = self.load()
    self.assertEqual(data.class_names, voc_devkit.CLASSES)
    self.assertTrue(data.multi_label)
    # The whole image; then pixels 6..15 of 20 and 1..5 of 10.
    np.testing.assert_allclose(data.splits["train"][0].boxes, [[0, 0, 1, 1]])
    np.testing.assert_allclose(data.splits["val"][0].boxes,
                               [[0.25, 0, 0.75, 0.5]])
    both = data.splits["test"][0]
    np.testing.assert_allclose(both.boxes,
                               [[0, 0, 0.2, 0.4], [0.5, 0.5, 1, 1]])
    self.assertEqual(both.box_label.tolist(), [DOG - 1, CAT - 1])
    self.assertEqual(np.flatnonzero(both.label).tolist(), [CAT - 1, DOG - 1])
    self.assertEqual((both.boxes.dtype, both.box_label.dtype,
                      both.label.dtype), (np.float32, np.int32, np.float32))
    self.assertTrue(pathlib.Path(both.image).is_file())
    self.assertIsNone(both.mask)

  def test_difficult_objects_are_neither_labels_nor_boxes(self):
    self.simple()
    self.image("a", ("dog", 1, 1, 20, 10), difficult=[("cow", 1, 1, 4, 4)])
    record = self.load().splits["train"][0]
    self.assertEqual(record.box_label.tolist(), [DOG - 1])
    self.assertEqual(record.label.sum(), 1)
    record = self.load(keep_difficult=True).splits["train"][0]
    self.assertEqual(record.box_label.tolist(), [DOG - 1, COW - 1])
    self.assertEqual(record.label.sum(), 2)

  def test_images_without_a_label_are_left_out(self):
    self.simple()
    self.image("d", difficult=[("cow", 1, 1, 4, 4)])
    self.image("e")
    self.lists(train="dae", val="b", test="c")
    self.assertEqual(ids_of(self.load())["train"], ["a"])
    self.assertEqual(ids_of(self.load(keep_difficult=True))["train"],
                     ["d", "a"])

  def test_classes_in_the_order_given(self):
    self.simple()
    self.image("a", ("dog", 1, 1, 20, 10), ("cow", 1, 1, 4, 4))
    data = self.load(classes=("dog", "cat"))
    self.assertEqual(data.class_names, ("dog", "cat"))
    self.assertEqual([r[0].label.tolist() for r in data.splits.values()],
                     [[1, 0], [0, 1], [1, 1]])
    self.assertLen(data.splits["train"][0].boxes, 1)
    self.refuses("--classes=dog,tiger: no 'tiger'; any of aeroplane, .*tvmon",
                 classes=("dog", "tiger"))
    self.refuses("no image of these classes in the train split of VOC2007",
                 classes=("cat", "sofa"))

  def test_masks(self):
    self.simple()
    self.image("a", ("dog", 1, 1, 20, 10), difficult=[("cow", 1, 1, 4, 4)])
    values = np.zeros([10, 20], np.uint8)
    values[0, :4] = (DOG, CAT, COW, 255)
    mask = PIL.Image.fromarray(values, "P")
    mask.putpalette(list(range(256)) * 3)
    path = self.root / "SegmentationClass" / "a.png"
    mask.save(path)

    def first_row(**options):
      got = self.load(**options).splits["train"][0].mask()
      self.assertEqual((got.shape, got.dtype), ((10, 20), np.uint8))
      self.assertEqual(got[1:].max(), 0)
      return got[0, :5].tolist()

    # The labels have no cat, and the cow is difficult: both unknown.
    self.assertEqual(first_row(), [DOG, 255, 255, 255, 0])
    self.assertEqual(first_row(keep_difficult=True), [DOG, 255, COW, 255, 0])
    # Classes by their place among the chosen; the cow is background now.
    self.assertEqual(first_row(classes=("cat", "dog")), [2, 255, 0, 255, 0])
    PIL.Image.new("RGB", (20, 10)).save(path)
    with self.assertRaisesRegex(UserError, "a.png: .*image of mode RGB"):
      first_row()
    path.write_bytes(b"no image")
    with self.assertRaisesRegex(UserError, "a.png: not a readable mask"):
      first_row()


class ListsTest(Case):

  def many(self, count):
    names = [f"{i:03d}" for i in range(count)]
    for name in names:
      self.image(name, ("dog", 1, 1, 20, 10))
    return names

  def test_devkit_parent_and_year_folder(self):
    self.simple()
    for path in (self.parent, self.devkit, self.root):
      self.assertEqual(ids_of(self.load(path)),
                       {"train": ["a"], "val": ["b"], "test": ["c"]})
      self.assertEqual(self.load(path).drawn, ())
    with self.assertRaisesRegex(UserError, "is VOC2007, but voc_year="):
      self.load(self.root, year=2012)

  def test_val_is_the_test_set_where_there_is_none(self):
    names = self.many(14)
    self.lists(train=names[:10], val=names[10:])
    ids = ids_of(self.load())
    self.assertEqual(ids["test"], names[10:])
    self.assertLen(ids["val"], 2)
    self.assertCountEqual(ids["train"] + ids["val"], names[:10])
    # Drawn by the id, not by the order of the list.
    self.lists(train=reversed(names[:10]))
    self.assertCountEqual(ids_of(self.load())["val"], ids["val"])

  def test_2012_has_no_test_set(self):
    self.year(2012)
    names = self.many(14)
    self.lists(train=names[:10], val=names[10:], test=["unpublished"])
    data = self.load(year=2012)
    self.assertEqual(data.drawn, ("val",))
    ids = ids_of(data)
    self.assertEqual(ids["test"], names[10:])
    self.assertLen(ids["val"], 2)

  def test_segmentation_lists_where_main_is_absent(self):
    names = self.many(7)
    self.lists("Segmentation", train=names[:5], val=names[5:])
    self.assertEqual(ids_of(self.load())["test"], names[5:])
    self.lists(train=names[:1], val=names[1:2], test=names[2:3])
    self.assertEqual(ids_of(self.load())["test"], names[2:3])

  @parameterized.parameters(
      (dict(train="ab", val="bc", test="d"), "val.txt: image b is also in tra"),
      (dict(train="ab", val="c", test="a"), "test.txt: image a is also in tra"),
      (dict(train="aa", val="b"), "train.txt: image a is listed twice"),
      (dict(train="", val="b"), "needs Main/train.txt"),
      (dict(train="a"), "needs Main/train.txt"),
      ({}, "needs Main/train.txt"))
  def test_refuses_lists(self, lists, message):
    for name in "abcd":
      self.image(name, ("dog", 1, 1, 20, 10))
    self.lists(**lists)
    self.refuses(message)


@pytest.mark.parametrize("year, sizes", [
    (2007, (2476, 990, 1000)), (2012, (192, 48, 160))])
def test_real_data(data_dir, year, sizes):
  if not (data_dir / "VOCdevkit" / f"VOC{year}").is_dir():
    pytest.skip(f"no VOCdevkit/VOC{year} in {data_dir}")
  data = voc.load(str(data_dir), year)
  assert tuple(len(data.splits[s]) for s in ("train", "val", "test")) == sizes
  every = [r for records in data.splits.values() for r in records]
  assert len({r.id for r in every}) == sum(sizes)
  for r in every:
    assert ((0 <= r.boxes) & (r.boxes <= 1)).all()
    assert (r.boxes[:, :2] < r.boxes[:, 2:]).all()
    assert set(np.flatnonzero(r.label)) == set(r.box_label)
  if year == 2007:
    labels = np.array([r.label for r in data.splits["train"]])
    counts = dict(zip(data.class_names, labels.sum(0).astype(int)))
    assert [counts[c] for c in ("sheep", "cow", "boat", "person")] == [
        42, 57, 86, 977]
    assert (labels.sum(1) == 1).sum() == 1611
    return
  share = []
  for r in data.splits["test"][:40]:
    mask = r.mask()
    height, width = mask.shape
    assert set(np.unique(mask)) <= {0, 255} | set(1 + r.box_label)
    # Masks lie in the boxes of their class, up to the border, but for
    # difficult objects of a class that is there anyway: these have no box.
    for index in set(r.box_label):
      rows, columns = np.nonzero(mask == 1 + index)
      boxes = r.boxes[r.box_label == index] * [width, height, width, height]
      inside = [(columns >= x1 - 3) & (columns <= x2 + 2) & (rows >= y1 - 3)
                & (rows <= y2 + 2) for x1, y1, x2, y2 in boxes]
      share.append(np.any(inside, 0).mean())
  assert np.median(share) > 0.999 and np.mean(share) > 0.97
