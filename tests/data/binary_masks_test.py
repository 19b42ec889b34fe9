"""Binary inspection data: the layout of its files and the refusals."""

import shutil

from absl.testing import parameterized
import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import UserError
from atcon_tf.data import class_masks
from atcon_tf.data import decoding
from atcon_tf.data.sources import binary_masks

POSITIVES = "training/positives"


class LayoutTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def _folder(self, tmp_path):
    self.root = tmp_path / "parts"

  def make(self, *splits, positives="positives", negatives="negatives"):
    """Five images of each class in each split."""
    for split in splits or ("training", "validation"):
      for below in (positives, negatives):
        for i in range(5):
          self.save(f"{split}/{below}/{i}.jpg", np.zeros([6, 8, 3]))

  def save(self, name, values, mode=None):
    path = self.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.fromarray(np.asarray(values, np.uint8))
    (image.convert(mode) if mode else image).save(path)
    return path

  def mask(self):
    """Two stains of 6 x 8 pixels: the left column, and two that touch."""
    values = np.zeros([6, 8])
    values[:, 0] = values[2, 4] = values[3, 5] = 255
    return values

  def ids(self, **options):
    return {split: [r.id for r in records] for split, records in
            binary_masks.load(str(self.root), **options).splits.items()}

  def refuses(self, message):
    with self.assertRaisesRegex(UserError, message) as caught:
      binary_masks.load(str(self.root))
    self.assertNotIn("\n", str(caught.exception))

  def test_a_mask_and_its_boxes(self):
    self.make()
    self.save(f"{POSITIVES}/3m.png", self.mask())
    data = binary_masks.load(str(self.root))
    self.assertEqual(data.class_names, ("negative", "positive"))
    self.assertFalse(data.multi_label)
    every = {r.id: r for part in data.splits.values() for r in part}
    self.assertLen(every, 20)
    record = every.pop(f"{POSITIVES}/3.jpg")
    np.testing.assert_array_equal(record.label, [0, 1])
    np.testing.assert_array_equal(record.mask(), self.mask() / 255 * 2)
    # Columns 0 to 1 of 8; columns 4 to 6, rows 2 to 4 of 6.
    np.testing.assert_allclose(
        record.boxes, [[0, 0, 1 / 8, 1], [1 / 2, 1 / 3, 3 / 4, 2 / 3]])
    np.testing.assert_array_equal(record.box_label, [1, 1])
    for other in every.values():
      self.assertIsNone(other.mask)
      self.assertEqual(other.boxes.shape, (0, 4))
      self.assertEqual(other.label[1], "positives" in other.id)

  def test_a_mask_is_of_the_photo_as_it_is_shown(self):
    self.make()
    photo = PIL.Image.open(self.save(f"{POSITIVES}/3.jpg",
                                     np.zeros([8, 6, 3])))
    exif = photo.getexif()
    exif[0x0112] = 6  # stored lying, shown standing
    photo.save(self.root / POSITIVES / "3.jpg", exif=exif)
    self.save(f"{POSITIVES}/3m.png", self.mask())
    every = sum(binary_masks.load(str(self.root)).splits.values(), [])
    marked, = (r for r in every if r.mask)
    self.assertEqual(marked.mask().shape, decoding.to_rgb(
        PIL.Image.open(marked.image)).size[::-1])
    class_masks.ClassMasks([marked], 16)[[0]]
    self.save(f"{POSITIVES}/3m.png", self.mask().T)
    self.refuses("3m.png: a mask of 6 x 8 pixels, but its image 3.jpg has 8")

  @parameterized.parameters("1", "L", "P")
  def test_kinds_of_masks(self, mode):
    self.make()
    values = self.mask() / 255  # 0 and 1
    bits = mode == "1"
    path = self.save(f"{POSITIVES}/0m.png", values * (255 if bits else 1),
                     "1" if bits else None)
    if mode == "P":
      image = PIL.Image.fromarray(values.astype(np.uint8))
      image.putpalette([0, 0, 0, 200, 30, 30])
      image.save(path)
    with PIL.Image.open(path) as stored:
      self.assertEqual(stored.mode, mode)
    every = sum(binary_masks.load(str(self.root)).splits.values(), [])
    mask, = (r.mask() for r in every if r.mask)
    np.testing.assert_array_equal(mask, 2 * values)

  def test_the_names_of_the_re_implementation(self):
    self.make(positives="Pos", negatives="Neg")
    self.save("training/Pos/1m.png", self.mask())
    self.save("training/Neg/film.jpg", np.zeros([6, 8, 3]))
    ids = sum(self.ids().values(), [])
    self.assertIn("training/Neg/film.jpg", ids)
    self.assertNotIn("training/Pos/1m.png", ids)

  def test_without_testing_validation_tests(self):
    self.make()
    ids = self.ids()
    self.assertEqual({s: len(i) for s, i in ids.items()},
                     {"train": 8, "val": 2, "test": 10})
    self.assertTrue(all(i.startswith("validation/") for i in ids["test"]))
    # A fifth of each class.
    self.assertEqual(sorted(i.split("/")[1] for i in ids["val"]),
                     ["negatives", "positives"])
    self.assertNotEqual({tuple(self.ids(seed=s)["val"]) for s in range(9)},
                        {tuple(ids["val"])})

  def test_testing_tests(self):
    self.make("training", "validation", "testing")
    ids = self.ids()
    for split, name in [("train", "training"), ("val", "validation"),
                        ("test", "testing")]:
      self.assertLen(ids[split], 10)
      self.assertTrue(all(i.startswith(name) for i in ids[split]))

  @parameterized.parameters(
      (np.zeros([6, 8]), "L", "0m.png: a mask must mark the object somewhere"),
      (np.full([5, 8], 255), "L", "0m.png: a mask of 8 x 5 pixels, but its "
       "image 0.jpg has 8 x 6"),
      (np.full([6, 8], 7), "L", "0m.png: a mask must be 0 and 255, or 0 and 1; "
       "it holds 7"),
      (np.tile([[0, 1, 255, 0]], [6, 2]), "L", "it holds 1 beside 255"),
      (np.full([6, 8, 3], 255), "RGB", "0m.png: a mask must have one channel "
       "of 8 bits or less; the file is an image of mode RGB"))
  def test_refuses_a_mask(self, values, mode, message):
    self.make()
    self.save(f"{POSITIVES}/0m.png", values, mode)
    self.refuses(message)

  def test_refuses_a_16_bit_mask(self):
    self.make()
    PIL.Image.fromarray(np.full([6, 8], 256, np.uint16)).save(
        self.root / POSITIVES / "0m.png")
    self.refuses("mode I;16")

  def test_refuses_a_broken_mask(self):
    self.make()
    (self.root / POSITIVES / "0m.png").write_text("nothing")
    self.refuses("0m.png: not a readable mask")

  def test_refuses_a_jpeg_mask(self):
    self.make()
    self.save(f"{POSITIVES}/0m.jpg", self.mask())
    self.refuses("0m.jpg: a mask must be stored without loss, as .png")

  def test_refuses_a_mask_without_its_image(self):
    self.make()
    self.save(f"{POSITIVES}/9m.png", self.mask())
    self.refuses("9m.png: a mask .its name ends in m. without its image 9;")

  def test_refuses_a_mask_of_a_negative(self):
    self.make()
    self.save("training/negatives/0m.png", self.mask())
    self.refuses("negatives/0m.png: a mask of 0.jpg, but negatives have none")

  def test_refuses_one_name_twice(self):
    self.make()
    self.save(f"{POSITIVES}/0.png", np.zeros([6, 8, 3]))
    self.refuses("0.png: 0.jpg has the same name")

  def test_refuses_other_folders(self):
    self.make("training", "validation", "test")
    self.refuses("test: there may only be the folders training, validation, "
                 "testing")
    shutil.rmtree(self.root / "test")
    self.make("training", positives="Pos")
    self.refuses("one folder of positives .or Pos. and one of negatives")

  def test_refuses_what_is_missing(self):
    self.refuses("no such folder")
    self.make("training")
    self.refuses("no folder validation in it")
    self.make("validation")
    for path in (self.root / POSITIVES).iterdir():
      path.unlink()
    self.refuses("training: no positives in it")
    self.save(f"{POSITIVES}/0.jpg", np.zeros([6, 8, 3]))
    self.refuses("6 positive images leave none for the train split")

  def test_a_broken_image_is_left_to_max_bad_images(self):
    self.make()
    self.save(f"{POSITIVES}/0m.png", self.mask())
    (self.root / POSITIVES / "0.jpg").write_text("nothing")
    self.assertLen(sum(self.ids().values(), []), 20)
