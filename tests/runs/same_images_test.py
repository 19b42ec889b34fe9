"""Runs of two folders whose images have the same names."""

import shutil
import types

import PIL.Image
import PIL.ImageOps
import pytest

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.runs import same_images
from tests.data import drawn_files


@pytest.fixture
def folder(tmp_path):
  """Class folders, and a copy of them."""
  for drawn in drawn_files.draw(tmp_path / "all", 12):
    path = tmp_path / "photos" / drawn.name / drawn.path
    path.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "all" / drawn.path).rename(path)
  shutil.copytree(tmp_path / "photos", tmp_path / "copy")
  return tmp_path


def _run(path, root):
  files = sorted((root / "photos").rglob("*.png"))
  return types.SimpleNamespace(
      config=Config(dataset="folder", data_dir=str(path),
                    image_size=32).resolve(),
      split={"train_labeled": [], "train_unlabeled": [], "val": [],
             "test": [f.relative_to(root / "photos").as_posix()
                      for f in files]})


def test_a_copy_has_the_same_images(folder):
  runs = _run(folder / "photos", folder), _run(folder / "copy", folder)
  assert same_images.check(*runs, ("a", "b")) == ""
  shutil.rmtree(folder / "copy")
  assert "hold only if images of the same name" in same_images.check(
      *runs, ("a", "b"))
  assert same_images.check(runs[1], runs[1], ("a", "b")) == ""


def test_other_images_of_the_same_names_are_refused(folder):
  for path in (folder / "copy").rglob("*.png"):
    with PIL.Image.open(path) as image:
      PIL.ImageOps.mirror(image).save(path)
  with pytest.raises(UserError, match="a and b were tested on different "
                     "images of the name '.*png'; only runs on the same"):
    same_images.check(_run(folder / "photos", folder),
                      _run(folder / "copy", folder), ("a", "b"))
