"""VOC folders with something missing or wrong, each refused in one line."""

from absl.testing import parameterized

from atcon_tf.config import UserError
from tests.voc_devkit import Case
from tests.voc_devkit import XML


class BrokenTest(Case):

  def setUp(self):
    super().setUp()
    self.simple()

  def test_folders(self):
    empty = self.parent / "empty"
    empty.mkdir()
    with self.assertRaisesRegex(UserError, "empty': no VOC2007/Annotations"):
      self.load(empty)
    with self.assertRaisesRegex(UserError, "none': no such folder"):
      self.load(self.parent / "none")
    self.refuses("no VOC2012/Annotations", year=2012)

  def test_missing_files(self):
    self.xml("b").unlink()
    self.refuses("b.xml: annotation of a listed image: No such file")
    (self.root / "JPEGImages" / "a.jpg").unlink()
    self.refuses("a.jpg: no such image, but ImageSets lists it")

  @parameterized.parameters(
      ("", "malformed XML: no element found"),
      ("<annotation><size>", "malformed XML"),
      (b"\xff\xfe\x00\x01", "malformed XML"),
      ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "malformed XML: Entit"),
      (XML.format(width="wide", height=10, objects=""), "<size> must hold"),
      (XML.format(width=20, height=10, objects="<object><name>dog</name>"
                  "</object>"), "<bndbox> must hold the numbers xmin, ymin"),
      (XML.format(width=20, height=10, objects="<object/>"),
       "an .* has no <name>"),
      (XML.format(width=10, height=20, objects=""),
       "<size> is 10 x 20, but .*b.jpg has 20 x 10 pixels"))
  def test_xml(self, text, message):
    self.xml("b").write_bytes(text if isinstance(text, bytes)
                              else text.encode())
    self.refuses("b.xml: " + message)

  def test_two_images_of_one_id(self):
    (self.root / "JPEGImages" / "a.PNG").write_bytes(b"x")
    self.refuses("a.PNG: a.jpg has the same name")

  @parameterized.parameters(
      (-1, 1, 5, 5), (1, -1, 5, 5), (1, 1, 22, 5), (1, 1, 5, 12), (6, 1, 5, 5),
      (1, 6, 5, 5), ("nan", 1, 5, 5), (0, 0, 0, 0), (21, 1, 21, 5))
  def test_boxes_outside_or_empty(self, *box):
    self.image("b", ("cat", *box))
    self.refuses("b.xml: box .* of 'cat' is empty or outside its image of 20 x")
