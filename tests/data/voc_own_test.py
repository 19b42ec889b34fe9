"""Folders of one's own in VOC's layout: classes, endings, boxes, lists."""

import numpy as np
import PIL.Image

from atcon_tf.data import image_store
from tests.voc_devkit import Case
from tests.voc_devkit import ids_of


class OwnTest(Case):

  def test_classes_are_those_of_the_annotations(self):
    self.simple()
    self.image("a", ("scratch", 1, 1, 20, 10))
    self.image("b", ("dent", 6, 1, 15, 5), ("scratch", 1, 1, 4, 4))
    mask = PIL.Image.new("L", (20, 10), 3)
    mask.save(self.root / "SegmentationClass" / "a.png")
    self.lists(train="a", val="b", test="c")
    data = self.load()
    self.assertEqual(data.class_names, ("cat", "dent", "dog", "scratch"))
    self.assertEqual(data.splits["val"][0].label.tolist(), [0, 1, 0, 1])
    self.assertIsNone(data.splits["train"][0].mask)
    self.assertIn("4 classes of their own: cat, dent, dog, scratch",
                  data.notes[0])
    self.assertIn("masks are not used", data.notes[1])
    self.image("c", ("dent", 1, 1, 4, 4), ("cat", 1, 1, 4, 4))
    chosen = self.load(classes=("scratch", "dent"))
    self.assertEqual(chosen.class_names, ("scratch", "dent"))
    self.assertEqual([r[0].label.tolist() for r in chosen.splits.values()],
                     [[1, 0], [1, 1], [0, 1]])
    self.refuses("classes=dent,dog: no 'dog'; any of cat, dent, scratch",
                 classes=("dent", "dog"))

  def test_pictures_of_every_ending(self):
    self.simple()
    for name, ending in (("a", "JPG"), ("b", "png"), ("c", "Tiff")):
      image = PIL.Image.open(self.root / "JPEGImages" / f"{name}.jpg")
      image.save(self.root / "JPEGImages" / f"{name}.{ending}")
      (self.root / "JPEGImages" / f"{name}.jpg").unlink()
    records = [r[0] for r in self.load().splits.values()]
    self.assertEqual([r.image.rpartition("/")[2] for r in records],
                     ["a.JPG", "b.png", "c.Tiff"])
    self.assertEqual(image_store.Images(records, 4).pixels.shape,
                     (3, 4, 4, 3))

  def test_boxes_a_pixel_outside_are_clipped_and_counted(self):
    self.simple()
    # From 0; to a pixel beyond 20 x 10; and one that fits.
    self.image("a", ("dog", 0, 0, 5, 5), ("cat", 11, 6, 21, 11),
               ("cat", 1, 1, 20, 10))
    data = self.load()
    np.testing.assert_allclose(data.splits["train"][0].boxes, [
        [0, 0, .25, .5], [.5, .5, 1, 1], [0, 0, 1, 1]])
    note, = data.notes
    self.assertIn("2 boxes reach a pixel beyond their image", note)
    self.assertIn("a.xml", note)

  def test_a_size_of_zero_is_that_of_the_image(self):
    self.simple()
    for text in ("<size><width>0</width><height>0</height></size>", ""):
      xml = self.xml("b").read_text()
      start, end = xml.find("<size>"), xml.find("</size>") + len("</size>")
      self.xml("b").write_text(xml[:start] + text + xml[end:])
      np.testing.assert_allclose(self.load().splits["val"][0].boxes,
                                 [[0.25, 0, 0.75, 0.5]])

  def test_an_image_made_smaller_after_it_was_annotated(self):
    """Boxes in the pixels of the annotated size keep their places."""
    self.simple()
    PIL.Image.new("RGB", (10, 5)).save(self.root / "JPEGImages" / "b.jpg")
    np.testing.assert_allclose(self.load().splits["val"][0].boxes,
                               [[0.25, 0, 0.75, 0.5]])

  def test_a_photo_that_its_exif_data_turn(self):
    """Its boxes lie in the stored pixels; which are shown turned."""
    self.simple()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (20, 10)).save(
        self.root / "JPEGImages" / "b.jpg", exif=exif)
    self.refuses("b.xml: <size> is 20 x 10, but .*b.jpg has 10 x 20")

  def test_lists_with_a_mark_with_spaces_endings_and_flags(self):
    self.simple()
    for old, new in (("a", "my photo"), ("b", "b 1")):
      for folder, ending in (("JPEGImages", "jpg"), ("Annotations", "xml")):
        (self.root / folder / f"{old}.{ending}").rename(
            self.root / folder / f"{new}.{ending}")
    lists = self.root / "ImageSets" / "Main"
    (lists / "train.txt").write_text("my photo\r\n", "utf-8-sig")
    (lists / "val.txt").write_text("b 1.jpg\n")
    (lists / "test.txt").write_text("c  1\n")
    self.assertEqual(ids_of(self.load()), {
        "train": ["my photo"], "val": ["b 1"], "test": ["c"]})
