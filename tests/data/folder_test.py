"""Class folders: layouts, splits, and what is wrong with a folder."""

import pathlib

from absl.testing import parameterized
import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import UserError
from atcon_tf.data.sources import folder


class FolderTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def _folder(self, tmp_path):
    self.root = tmp_path / "photos"
    self.root.mkdir()

  def images(self, below, count, extension="jpg", first=0):
    """Writes small images into a class folder."""
    made = self.root / below
    made.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
      PIL.Image.new("RGB", (8, 6), (10 * i, 0, 0)).save(
          made / f"{i}.{extension}")

  def load(self, **options):
    return folder.load(str(self.root), **options)

  def ids(self, **options):
    return {split: [r.id for r in records]
            for split, records in self.load(**options).splits.items()}

  def refuses(self, message, **options):
    with self.assertRaisesRegex(UserError, message) as caught:
      self.load(**options)
    self.assertNotIn("\n", str(caught.exception))

  def test_cuts_every_class_60_20_20(self):
    self.images("cat", 10)
    self.images("dog", 5)
    data = self.load()
    self.assertEqual(data.class_names, ("cat", "dog"))
    self.assertFalse(data.multi_label)
    counts = {split: np.sum([r.label for r in records], 0).tolist()
              for split, records in data.splits.items()}
    self.assertEqual(counts, {"train": [6, 3], "val": [2, 1], "test": [2, 1]})
    every = [r for records in data.splits.values() for r in records]
    self.assertLen({r.id for r in every}, 15)
    for r in every:
      self.assertEqual(pathlib.Path(r.image), self.root / r.id)
      self.assertEqual(r.id.split("/")[0],
                       data.class_names[int(r.label.argmax())])
      self.assertEqual(r.label.dtype, np.float32)
      self.assertIsNone(r.mask)
      self.assertEqual(r.boxes.shape, (0, 4))

  def test_a_folder_that_judges_a_run_is_all_test(self):
    """Also one class alone, or one image; --classes leaves folders out."""
    self.images("dog", 2)
    self.images("wolf", 1)
    self.refuses(r"has other classes \(wolf\) than the run \(cat, dog\)",
                 judged=("cat", "dog"))
    data = self.load(judged=("cat", "dog"), classes=("dog", "cat"))
    self.assertEqual(data.class_names, ("cat", "dog"))
    self.assertEqual([r.label.tolist() for r in data.splits["test"]],
                     [[0, 1], [0, 1]])
    self.assertEqual((data.splits["train"], data.splits["val"]), ([], []))

  def test_split_does_not_depend_on_the_disk(self):
    # The same names made in another order, with another class beside them.
    self.images("cat", 10)
    self.images("dog", 5)
    first = self.ids()
    for path in sorted((self.root / "cat").iterdir(), reverse=True):
      content = path.read_bytes()
      path.unlink()
      path.write_bytes(content)
    self.images("emu", 3)
    again = {split: [i for i in ids if "emu" not in i]
             for split, ids in self.ids().items()}
    self.assertEqual(again, first)
    self.assertNotEqual(self.ids(seed=1), self.ids())

  def test_extensions_in_any_case_and_nothing_else(self):
    for i, extension in enumerate(
        ["jpg", "JPEG", "png", "BMP", "gif", "WebP"]):
      self.images("cat", 1, extension, first=i)
    self.images("dog", 3)
    (self.root / "cat" / "notes.txt").write_text("no image")
    (self.root / "cat" / ".hidden.jpg").write_text("no image")
    (self.root / ".git").mkdir()
    (self.root / "readme.md").write_text("no class")
    self.assertLen([i for ids in self.ids().values() for i in ids
                    if i.startswith("cat/")], 6)

  @parameterized.parameters("val", "validation", "valid")
  def test_published_splits(self, val):
    for split, count in (("train", 4), (val, 2), ("test", 1)):
      self.images(f"{split}/cat", count)
      self.images(f"{split}/dog", count)
    ids = self.ids()
    self.assertEqual([len(ids[s]) for s in ("train", "val", "test")],
                     [8, 4, 2])
    self.assertEqual(ids["test"], ["test/cat/0.jpg", "test/dog/0.jpg"])
    self.assertTrue(all(i.startswith(val + "/") for i in ids["val"]))

  @parameterized.parameters(
      ("Train", "Test"), ("Training", "Testing"), ("TRAIN", "VAL"))
  def test_split_folders_in_capitals_and_long(self, train, test):
    for name in ("cat", "dog"):
      self.images(f"{train}/{name}", 5)
      self.images(f"{test}/{name}", 2)
    data = self.load()
    self.assertEqual(data.class_names, ("cat", "dog"))
    self.assertEqual([r.id for r in data.splits["test"]],
                     [f"{test}/{n}/{i}.jpg" for n in ("cat", "dog")
                      for i in range(2)])

  def test_images_below_a_class_folder_are_its_own(self):
    self.images("cat", 3)
    self.images("cat/may/late", 2, "TIF", first=3)
    self.images("dog", 4)
    (self.root / "dog" / "loop").symlink_to(self.root / "dog")
    data = self.load()
    self.assertEqual({r.id: r.label.argmax() for records in
                      data.splits.values() for r in records}, {
                          **{f"cat/{i}.jpg": 0 for i in range(3)},
                          **{f"cat/may/late/{i}.TIF": 0 for i in (3, 4)},
                          **{f"dog/{i}.jpg": 1 for i in range(4)}})
    self.assertEqual(data.notes, (
        "note: 2 images lie in folders of their class folder, 2 of them below "
        f"{self.root}/cat",))

  def test_what_is_left_out_is_counted(self):
    self.images("cat", 3)
    self.images("dog", 3)
    self.images(".", 2)
    for name in ("a.heic", "b.HEIC", "notes.txt", "Makefile"):
      (self.root / "cat" / name).write_text("no image")
    (self.root / "dog" / "gone.jpg").symlink_to("nowhere")
    # What other systems leave behind is not spoken of.
    for name in ("__MACOSX/cat", ".ipynb_checkpoints"):
      (self.root / name).mkdir(parents=True)
    (self.root / "__MACOSX/cat/._0.jpg").write_text("no image")
    (self.root / "cat" / "._0.jpg").write_text("no image")
    data = self.load()
    self.assertEqual(data.class_names, ("cat", "dog"))
    self.assertEqual(data.notes, (
        f"left out of {self.root}: 2 images in no class folder",
        f"left out of {self.root}: 5 files that are no pictures (2 .heic, "
        "1 .txt, 1 no ending, 1 no file behind the name)"))

  def test_refuses_splits_of_other_names(self):
    for split in ("seg_train", "seg_test"):
      self.images(f"{split}/cat", 3)
      self.images(f"{split}/dog", 3)
    self.refuses("seg_train and seg_test both hold cat; if they are splits, "
                 "name them train, val and test")

  def test_a_folder_around_the_classes_is_named(self):
    self.images("photos/cat", 3)
    self.images("photos/dog", 3)
    self.refuses("only one class folder, 'photos'.*photos holds 2 folders: "
                 "perhaps data_dir=.*/photos/photos")

  def test_a_name_that_systems_write_in_two_ways_is_one_class(self):
    self.images("train/caf\xe9", 3)
    self.images("test/cafe\u0301", 2)
    for split in ("train", "test"):
      self.images(f"{split}/dog", 2)
    data = self.load()
    self.assertEqual(data.class_names, ("caf\xe9", "dog"))
    self.assertLen(data.splits["test"], 4)
    self.assertEqual(self.load(classes=("cafe\u0301", "dog")).class_names,
                     ("caf\xe9", "dog"))
    self.images("train/cafe\u0301", 1)
    self.refuses("has the same name, written with other Unicode characters")

  def test_validation_is_carved_out_of_train(self):
    self.images("train/cat", 10)
    self.images("train/dog", 5)
    self.images("test/cat", 2)
    self.images("test/dog", 2)
    ids = self.ids()
    self.assertEqual([len(ids[s]) for s in ("train", "val", "test")],
                     [12, 3, 4])
    self.assertTrue(all(i.startswith("train/") for i in ids["val"]))
    self.assertTrue(all(i.startswith("test/") for i in ids["test"]))
    self.assertEmpty(set(ids["train"]) & set(ids["val"]))

  def test_val_stands_in_for_a_missing_test(self):
    for name in ("cat", "dog"):
      self.images(f"train/{name}", 5)
      self.images(f"val/{name}", 2)
    ids = self.ids()
    self.assertTrue(all(i.startswith("val/") for i in ids["test"]))
    self.assertTrue(all(i.startswith("train/") for i in ids["val"]))

  def test_a_class_may_be_called_train(self):
    self.images("train", 3)
    self.images("bus", 3)
    self.assertEqual(self.load().class_names, ("bus", "train"))

  def test_classes_in_the_order_given(self):
    for name in ("cat", "dog", "emu"):
      self.images(name, 3)
    data = self.load(classes=("emu", "cat"))
    self.assertEqual(data.class_names, ("emu", "cat"))
    self.assertEqual({r.id.split("/")[0] for r in data.splits["train"]},
                     {"emu", "cat"})

  @parameterized.parameters(
      (("cat", "cow"), "no 'cow'; any of cat, dog"),
      (("cat", "cat"), "'cat' is given twice"),
      (("cat",), "at least two classes"))
  def test_refuses_classes(self, classes, message):
    self.images("cat", 3)
    self.images("dog", 3)
    self.refuses(f"--classes={','.join(classes)}: {message}", classes=classes)

  def test_refuses_an_absent_folder(self):
    with self.assertRaisesRegex(UserError, "no such folder"):
      folder.load(str(self.root / "none"))

  def test_refuses_a_folder_without_classes(self):
    (self.root / "a.jpg").write_text("")
    self.refuses("no class folders")

  def test_refuses_one_class(self):
    self.images("cat", 5)
    self.refuses("only one class folder, 'cat'")

  def test_refuses_a_class_without_images(self):
    self.images("cat", 3)
    (self.root / "dog").mkdir()
    (self.root / "dog" / "a.heic").write_bytes(b"x")
    self.refuses("dog: no images .*webp.*but 1 file .*1 .heic")

  def test_refuses_too_few_images_to_cut(self):
    self.images("cat", 3)
    self.images("dog", 2)
    self.refuses("dog: 2 .*at least 3")

  def test_refuses_splits_with_other_classes(self):
    for split in ("train", "test"):
      self.images(f"{split}/cat", 3)
      self.images(f"{split}/dog", 3)
    self.images("test/emu", 1)
    self.refuses("emu: class 'emu' is not in .*train")
    self.images("train/emu", 3)
    self.images("train/fox", 3)
    self.refuses("test: no class folder 'fox'")
    # Classes that were not asked for may be missing.
    self.load(classes=("cat", "dog"))

  def test_refuses_train_alone(self):
    self.images("train/cat", 3)
    self.images("train/dog", 3)
    self.refuses("neither test/ nor val/")

  def test_refuses_unknown_split_folders(self):
    for below in ("train", "test", "vall"):
      self.images(f"{below}/cat", 3)
      self.images(f"{below}/dog", 3)
    self.refuses("vall: beside train/ there may only be the folders val/ and "
                 "test/")

  def test_refuses_two_validation_folders(self):
    for below in ("train", "val", "valid"):
      self.images(f"{below}/cat", 3)
      self.images(f"{below}/dog", 3)
    self.refuses("valid: a second val folder")

  def test_refuses_a_train_folder_with_one_image(self):
    for below in ("train", "test"):
      self.images(f"{below}/cat", 1)
      self.images(f"{below}/dog", 2)
    self.refuses("cat: 2 image.* leave none for the train split")
