"""What the check of a data set finds, and the command around it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from atcon_tf.data import image_check
from atcon_tf.data import record
from atcon_tf.data.sources import folder
from atcon_tf.reports import check_sheet
from tests.conftest import ROOT


@pytest.fixture(name="root")
def _root(tmp_path):
  """Class folders in three parts; each picture has a structure of its own."""
  rng = np.random.default_rng(0)
  for part, count in (("train", 6), ("val", 3), ("test", 3)):
    for name in ("cat", "dog"):
      place = tmp_path / "photos" / part / name
      place.mkdir(parents=True)
      for i in range(count):
        coarse = PIL.Image.fromarray(rng.integers(0, 255, [6, 6, 3], np.uint8))
        coarse.resize([96, 80], PIL.Image.Resampling.BICUBIC).save(
            place / f"{i}.png")
  return tmp_path / "photos"


def checked(root, **options):
  return image_check.check(folder.load(str(root)), **options)


def kinds(findings, wrong=True):
  return [(f.kind, *sorted(f.images)) for f in findings if f.wrong == wrong]


def test_nothing_is_wrong(root):
  counts, findings = checked(root)
  assert findings == []
  assert counts["images"] == {"train": 12, "val": 6, "test": 6}
  assert counts["classes"]["cat"] == {"train": 6, "val": 3, "test": 3}
  assert counts["labels"] == {"1": 24} and counts["together"] == {}
  assert check_sheet.text(counts, findings).endswith("nothing is wrong")
  assert check_sheet.draw(folder.load(str(root)), findings) is None


def test_the_same_image_in_two_parts(root):
  shutil.copy(root / "train/cat/0.png", root / "test/cat/9.png")
  shutil.copy(root / "train/cat/1.png", root / "train/cat/8.png")
  shutil.copy(root / "train/cat/2.png", root / "train/dog/7.png")
  # The same pixels in another file format.
  PIL.Image.open(root / "val/dog/0.png").save(root / "test/dog/8.bmp")
  _, findings = checked(root)
  assert sorted(kinds(findings)) == [
      ("duplicate", "test/cat/9.png", "train/cat/0.png"),
      ("duplicate", "test/dog/8.bmp", "val/dog/0.png"),
      ("other labels", "train/cat/2.png", "train/dog/7.png")]
  # Twice in one part is a note.
  assert kinds(findings, False) == [
      ("duplicate", "train/cat/1.png", "train/cat/8.png")]


def test_images_that_look_alike(root):
  image = PIL.Image.open(root / "train/cat/0.png")
  image.resize([150, 130], PIL.Image.Resampling.LANCZOS).save(
      root / "test/cat/9.jpg", quality=70)
  image = PIL.Image.open(root / "train/dog/0.png")
  image.point(lambda v: int(.9 * v + 10)).save(root / "val/dog/9.png")
  image.rotate(180).save(root / "val/dog/8.png")
  _, findings = checked(root)
  assert sorted(kinds(findings)) == [
      ("near duplicate", "test/cat/9.jpg", "train/cat/0.png"),
      ("near duplicate", "train/dog/0.png", "val/dog/9.png")]
  assert all(f.distance <= 4 for f in findings)


def test_other_parts_of_one_product_are_suspicious_not_wrong(root):
  """A hash sees no fine structure; the pixels do."""
  pixels = np.asarray(PIL.Image.open(root / "train/cat/0.png"), float)
  fine = 30 * (np.indices(pixels.shape[:2]).sum(0) // 3 % 2 * 2 - 1)
  PIL.Image.fromarray((.7 * pixels + 38 + fine[..., None]).astype(
      np.uint8)).save(root / "test/cat/9.png")
  counts, findings = checked(root, near=8)
  assert kinds(findings) == []
  assert kinds(findings, False) == [
      ("suspicious", "test/cat/9.png", "train/cat/0.png")]
  text = check_sheet.text(counts, findings)
  assert "note   'train/cat/0.png'" in text and "nothing is wrong" in text


def test_images_without_structure_do_not_look_alike(root):
  for part, value in (("train", 0), ("val", 1), ("test", 200)):
    PIL.Image.new("RGB", [20, 20], (value,) * 3).save(
        root / part / "cat/flat.png")
  assert checked(root)[1] == []
  PIL.Image.new("RGB", [20, 20], (0,) * 3).save(root / "test/cat/flat.png")
  assert kinds(checked(root)[1]) == [
      ("duplicate", "test/cat/flat.png", "train/cat/flat.png")]


def test_files_that_do_not_decode(root):
  (root / "val/cat/0.png").write_bytes(b"no picture")
  counts, findings = checked(root)
  assert kinds(findings) == [("unreadable", "val/cat/0.png")]
  assert str(root / "val/cat/0.png") in findings[0].text
  text = check_sheet.text(counts, findings)
  assert "unreadable: 1\n  wrong  " in text
  assert "wrong: 1 of the findings" in text


def test_a_jpeg_that_decodes_with_a_grey_part(root):
  """A block of zeros, as a lost sector leaves; PIL says nothing."""
  path = root / "val/cat/9.jpg"
  rng = np.random.default_rng(1)
  PIL.Image.fromarray(rng.integers(0, 255, [64, 64, 3], np.uint8)).save(path)
  assert kinds(checked(root)[1]) == []
  content = path.read_bytes()
  middle = len(content) // 2
  path.write_bytes(content[:middle] + bytes(1500) + content[middle + 1500:])
  PIL.Image.open(path).load()
  _, findings = checked(root)
  assert kinds(findings) == [("damaged", "val/cat/9.jpg")]
  assert "decodes, but may be damaged (Corrupt JPEG data" in findings[0].text


def test_labels_and_boxes():
  """Classes without images, co-occurrence, boxes outside."""
  rng = np.random.default_rng(1)
  def one(name, label, *boxes):
    pixels = rng.integers(0, 255, [8, 8, 3], np.uint8)
    return record.Record(
        name, lambda: pixels, np.array(label, np.float32),
        np.array(boxes, np.float32).reshape([-1, 4]),
        np.zeros([len(boxes)], np.int32))
  data = record.Dataset(("a", "b", "c"), True, {
      "train": [one("1", [1, 1, 0], [0, 0, .5, .5], [0, 0, .05, .05]),
                one("2", [1, 1, 0], [.5, 0, 1.2, 1]), one("3", [0, 0, 1])],
      # Exactly 1 %, and in float32 a little less.
      "val": [one("4", [1, 0, 0], [.7, .8, .8, .9]), one("5", [0, 1, 0])],
      "test": [one("6", [1, 0, 1]), one("7", [0, 0, 0])]})
  counts, findings = image_check.check(data)
  assert counts["labels"] == {"0": 1, "1": 3, "2": 3}
  assert counts["together"] == {"a + b": 2, "a + c": 1}
  assert counts["boxes"] == {"number": 4, "images": 3, "median_area": .13,
                             "smaller_than_1_percent": 1}
  found = {f.kind: f.text for f in findings}
  assert found["box"] == ("'2': the box 0.5,0,1.2,1 of 'a' is empty or outside "
                          "its image")
  assert {f.text for f in findings if f.kind == "no image"} == {
      "class 'b' has no test image", "class 'c' has no val image"}
  text = check_sheet.text(counts, findings)
  assert "labels of an image: 0 in 1, 1 in 3, 2 in 3" in text
  assert "most often together: a + b (2), a + c (1)" in text
  assert "4 boxes in 3 images" in text
  assert check_sheet.draw(data, findings) is not None


def test_the_command(root, tmp_path):
  """Status 1 and a sheet; status 0 without one; status 2 for no data."""
  def run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "atcon_tf.check", "--dataset=folder",
         f"--data_dir={root}", f"--out={tmp_path / 'out.json'}", *flags],
        cwd=ROOT, capture_output=True, text=True)
  shutil.copy(root / "train/cat/0.png", root / "test/cat/9.png")
  image = PIL.Image.open(root / "train/dog/0.png")
  image.save(root / "val/dog/9.jpg", quality=80)
  done = run()
  assert done.returncode == 1, done.stderr[-2000:]
  assert "are the same image" in done.stdout
  stored = json.loads((tmp_path / "out.json").read_text())
  assert "--group_pattern" in done.stdout and "--near=0" in done.stdout
  assert stored["wrong"] == 2 and stored["findings"][0]["images"] == [
      "train/cat/0.png", "test/cat/9.png"]
  with PIL.Image.open(tmp_path / "out.png") as sheet:
    assert sheet.size[0] > 500
  (root / "test/cat/9.png").unlink()
  (root / "val/dog/9.jpg").unlink()
  done = run()
  assert done.returncode == 0, done.stderr[-2000:]
  assert "nothing is wrong" in done.stdout and "--near" not in done.stdout
  assert not (tmp_path / "out.png").exists()
  done = run("--data_dir=none")
  assert done.returncode == 2 and "--data_dir=none: no such" in done.stderr


def test_help_shows_the_flags_of_data_alone():
  """Training flags are accepted, as in a run's flag file, but not shown."""
  code = ("from atcon_tf.config import cli, config_flags; "
          "cli.run(print, config_flags.define_flags, "
          "hidden=config_flags.not_of_data())")
  def run(flag):
    return subprocess.run([sys.executable, "-c", code, flag], cwd=ROOT,
                          capture_output=True, text=True).stdout
  shown = run("--help")
  for name in ("dataset", "data_dir", "group_pattern", "seed", "frames"):
    assert f"--{name}:" in shown, name
  for name in ("learning_rate", "objective", "shots", "steps", "alpha"):
    assert f"--{name}:" not in shown, name
  assert run("--learning_rate=0.1").strip() == "['-c']"
  # A default that the text says does not stand beside it as 0.
  assert "default: --seed" in shown and "'-1'" not in shown
