"""SVHN from its .mat files."""

import pathlib

import numpy as np
import pytest
import scipy.io

from atcon_tf.config import Config
from atcon_tf import data
from atcon_tf.data.sources import svhn
from tests.data import svhn_files
from tests.refusals import refused


@pytest.fixture(name="root")
def _root(tmp_path):
  svhn_files.write(tmp_path, train=100, test=30, extra=20)
  return tmp_path


def test_digits_and_parts(root):
  found = svhn.load(str(root))
  assert found.class_names == tuple("0123456789") and not found.multi_label
  assert {p: len(r) for p, r in found.splits.items()} == {
      "train": 80, "val": 20, "test": 30}
  assert found.drawn == ("val",)
  images = scipy.io.loadmat(root / "train_32x32.mat")["X"]
  for record in found.splits["train"]:
    number = int(record.id.removeprefix("train/"))
    assert record.label.argmax() == number % 10  # 10 is the digit 0
    np.testing.assert_array_equal(record.image(), images[..., number])
  other = svhn.load(str(root), seed=1)
  assert [r.id for r in other.splits["val"]] != [
      r.id for r in found.splits["val"]]


def test_some_digits_and_the_extra_images(root):
  found = data.load(Config(
      dataset="svhn", data_dir=str(root), svhn_extra=True,
      classes=("7", "1")).resolve())
  assert found.class_names == ("7", "1")
  assert [r.id for r in found.splits["test"]] == [
      f"test/{i:06d}" for i in (1, 7, 11, 17, 21, 27)]
  pool = found.splits["unlabeled"]
  assert len(pool) == 20 and not np.any([r.label for r in pool])
  with refused("--svhn_extra=True: not used with --dataset=shapes"):
    Config(svhn_extra=True).resolve()


@pytest.mark.parametrize("content, message", [
    (None, "train_32x32.mat: no such file"),
    (b"", "train_32x32.mat: not a MATLAB file of version 5"),
    (b"no such file" * 100, "train_32x32.mat: not a MATLAB file"),
    (b"MATLAB 7.3 MAT-file" + bytes(105) + b"\0\2IM", "not a MATLAB file"),
    ({"X": np.zeros([32, 32, 3, 2], np.uint8)}, "no variable 'y' in it"),
    ({"X": np.zeros([32, 32, 3, 2], np.uint8), "y": [1, 2, 3]},
     r"X is uint8 \[32, 32, 3, 2\] and y has 3 labels"),
    ({"X": np.zeros([32, 32, 3, 2]), "y": [1, 2]}, "X is float64"),
    ({"X": np.zeros([32, 32, 3, 2], np.uint8), "y": [1, 0]},
     r"y\[1\] is 0; must be 1 to 10")])
def test_refuses_files(root, content, message):
  path = pathlib.Path(root, "train_32x32.mat")
  path.unlink()
  if isinstance(content, bytes):
    path.write_bytes(content)
  elif content:
    scipy.io.savemat(path, content)
  with refused(message) as caught:
    svhn.load(str(root))
  assert "\n" not in str(caught.value)


def test_a_truncated_file(root):
  path = root / "test_32x32.mat"
  path.write_bytes(path.read_bytes()[:2000])
  with refused("test_32x32.mat: not a MATLAB file"):
    svhn.load(str(root))
