"""A VOCdevkit that a test writes: real JPEGs, annotations and lists."""

from absl.testing import parameterized
import PIL.Image
import pytest

from atcon_tf.config import UserError
from atcon_tf.data.sources import voc

XML = """<annotation><size><width>{width}</width><height>{height}</height>
<depth>3</depth></size>{objects}</annotation>"""
OBJECT = """<object><name>{0}</name><pose>Left</pose><truncated>0</truncated>
<difficult>{difficult}</difficult><bndbox><xmin>{1}</xmin><ymin>{2}</ymin>
<xmax>{3}</xmax><ymax>{4}</ymax></bndbox><part><name>head</name></part>
</object>"""


class Case(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def _folder(self, tmp_path):
    self.parent = tmp_path
    self.devkit = tmp_path / "VOCdevkit"
    self.year(2007)

  def year(self, year):
    self.root = self.devkit / f"VOC{year}"
    for folder in ("Annotations", "JPEGImages", "SegmentationClass"):
      (self.root / folder).mkdir(parents=True, exist_ok=True)

  def lists(self, task="Main", **ids):
    folder = self.root / "ImageSets" / task
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in ids.items():
      (folder / f"{split}.txt").write_text("".join(f"{i}\n" for i in names))

  def image(self, name, *objects, difficult=(), width=20, height=10):
    """A real JPEG and its XML; objects are (class, xmin, ymin, xmax, ymax)."""
    PIL.Image.new("RGB", (width, height), (200, 30, 30)).save(
        self.root / "JPEGImages" / f"{name}.jpg")
    text = "".join(OBJECT.format(*o, difficult=0) for o in objects)
    text += "".join(OBJECT.format(*o, difficult=1) for o in difficult)
    self.xml(name).write_text(
        XML.format(width=width, height=height, objects=text))

  def xml(self, name):
    return self.root / "Annotations" / f"{name}.xml"

  def simple(self):
    """One image a split: a dog, a cat and both."""
    self.image("a", ("dog", 1, 1, 20, 10))
    self.image("b", ("cat", 6, 1, 15, 5))
    self.image("c", ("dog", 1, 1, 4, 4), ("cat", 11, 6, 20, 10))
    self.lists(train="a", val="b", test="c")

  def load(self, path=None, **options):
    return voc.load(str(path or self.devkit), **options)

  def refuses(self, message, **options):
    with self.assertRaisesRegex(UserError, message) as caught:
      self.load(**options)
    self.assertNotIn("\n", str(caught.exception))


def ids_of(data):
  return {split: [r.id for r in records]
          for split, records in data.splits.items()}
