"""Data sets of TFDS that are prepared on the disk."""

import unittest.mock

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import Config
from atcon_tf import data
from atcon_tf.data.sources import tfds_images
from tests.data import drawn_files
from tests.data import tiny_builders
from tests.refusals import refused


@pytest.fixture(name="prepared", scope="module")
def _prepared(tmp_path_factory):
  """A folder with the three data sets."""
  root = tmp_path_factory.mktemp("tfds")
  for builder in (tiny_builders.TinyShapes, tiny_builders.TinyObjects,
                  tiny_builders.TinyTags):
    tiny_builders.prepare(builder, root)
  return root


@pytest.fixture(autouse=True)
def _no_network():
  with unittest.mock.patch("socket.socket.connect",
                           side_effect=OSError("no network")):
    yield


def named(found):
  """`{path of the picture: record}`."""
  return {r.id.split("/", 2)[2]: r for part in found.splits.values()
          for r in part}


def test_one_label(prepared):
  found = data.load(Config(dataset="tfds:tiny_shapes", no_download=True,
                           data_dir=str(prepared)).resolve())
  assert found.class_names == ("disc", "square") and not found.multi_label
  assert {p: len(r) for p, r in found.splits.items()} == {
      "train": 20, "val": 6, "test": 6}
  for one in drawn_files.draw(prepared / "again", 20, "train", 5):
    record = named(found)[one.path]
    assert record.label.argmax() == drawn_files.NAMES.index(one.name)
    assert record.id.startswith("train-00000/0000")
    image = PIL.Image.open(prepared / "pictures" / one.path)
    np.testing.assert_array_equal(record.image(), np.asarray(image))


def test_another_format_gives_the_same(prepared, tmp_path):
  tiny_builders.prepare(tiny_builders.TinyShapes, tmp_path, "array_record")
  first, second = (tfds_images.load("tiny_shapes:1.0.0", str(folder), True)
                   for folder in (prepared, tmp_path))
  assert named(first).keys() == named(second).keys()
  for name, record in named(first).items():
    np.testing.assert_array_equal(record.label, named(second)[name].label)
    np.testing.assert_array_equal(record.image(), named(second)[name].image())


def test_objects(prepared):
  """Boxes of one split alone; the parts are drawn."""
  found = tfds_images.load("tiny_objects", str(prepared))
  assert found.multi_label and found.drawn == ("val", "test")
  assert {p: len(r) for p, r in found.splits.items()} == {
      "train": 12, "val": 4, "test": 4}
  for one in drawn_files.draw(prepared / "again", 20, "train", 5):
    record = named(found)[one.path]
    assert record.box_label.tolist() == [drawn_files.NAMES.index(one.name)]
    np.testing.assert_allclose(
        record.boxes[0] * [48, 40, 48, 40], one.box, atol=1e-4)


def test_several_labels(prepared):
  found = tfds_images.load("tiny_tags", str(prepared))
  assert found.class_names == ("disc", "square", "all")
  assert all(r.label.sum() == 2 for r in found.splits["train"])


def test_splits_in_the_syntax_of_tfds(prepared):
  found = data.load(Config(
      dataset="tfds:tiny_shapes", data_dir=str(prepared),
      tfds_splits=("train[:50%]", "train[50%:]", "test")).resolve())
  assert {p: len(r) for p, r in found.splits.items()} == {
      "train": 10, "val": 10, "test": 6}
  assert found.drawn == ()
  with refused("--tfds_splits=train,train.*: image 'train-00000/.*' is in two"):
    tfds_images.load("tiny_shapes", str(prepared), splits=(
        "train", "train[:3]"))
  with refused("--tfds_splits=trian: no such split of tiny_shapes/1.0.0; it "
               "has .*train"):
    tfds_images.load("tiny_shapes", str(prepared), splits=("trian",))
  with refused("--tfds_splits=a,b,c,d: must be one, two or three"):
    tfds_images.load("tiny_shapes", str(prepared), splits=tuple("abcd"))


def test_a_pool(prepared):
  found = tfds_images.load("tiny_shapes", str(prepared), pool="validation",
                           splits=("train", "test"))
  assert len(found.splits["unlabeled"]) == 6
  assert {p: len(r) for p, r in found.splits.items() if p != "unlabeled"} == {
      "train": 16, "val": 4, "test": 6}


def test_a_group_is_found_in_the_name_of_the_file(prepared):
  found = data.load(Config(
      dataset="tfds:tiny_objects", data_dir=str(prepared),
      group_pattern=r"(\d)\.(?:jpg|png)$").resolve())
  parts = [{r.group for r in records} for records in found.splits.values()]
  assert sum(map(len, parts)) == len(set.union(*parts)) == 10


def test_names(prepared):
  for name, message in [
      ("tiny_shape", "no 'tiny_shape' in .*, nor in TFDS; nearest: "),
      ("imagenet", "no 'imagenet' in .*, nor in TFDS; nearest: imagenet"),
      ("a b", r"must be tfds:NAME\[/CONFIG\]\[:VERSION\]"),
      ("", "must be tfds:NAME")]:
    with refused(f"--dataset=tfds:{name}: {message}") as caught:
      data.load(Config(dataset=f"tfds:{name}",
                       data_dir=str(prepared)).resolve())
    assert "\n" not in str(caught.value)


def test_without_a_network(tmp_path):
  """With --no_download nothing is tried; else one line tells what failed."""
  with unittest.mock.patch("requests.head", side_effect=OSError("off")) as head:
    with refused("--no_download=True: mnist is not in .*; where there is a "
                 "network, 'tfds build mnist --data_dir=DIR' prepares it"):
      tfds_images.load("mnist", str(tmp_path), no_download=True)
    head.assert_not_called()
    with refused(r"--dataset=tfds:mnist: is not in .* \(OSError: off\); where"):
      tfds_images.load("mnist", str(tmp_path))
  with refused("--no_download=True: svhn_cropped is not in"):
    (tmp_path / "svhn_cropped").mkdir()
    data.load(Config(dataset="svhn", data_dir=str(tmp_path),
                     no_download=True).resolve())


def test_configurations(prepared, tmp_path):
  source = prepared / "tiny_shapes" / "1.0.0"
  for name in ("small", "large"):
    (tmp_path / "tiny" / name).mkdir(parents=True)
    (tmp_path / "tiny" / name / "1.0.0").symlink_to(source)
  with refused("--dataset=tfds:tiny: has several configurations in .*; one of "
               "tfds:tiny/large, tfds:tiny/small"):
    tfds_images.load("tiny", str(tmp_path))
  assert len(tfds_images.load("tiny/small", str(tmp_path)).splits["train"]
             ) == 20
  with refused("no 'tiny' in"):
    tfds_images.load("tiny/small:2.0.0", str(tmp_path))


def test_a_broken_file(prepared, tmp_path):
  place = tmp_path / "tiny_shapes" / "1.0.0"
  place.mkdir(parents=True)
  for path in (prepared / "tiny_shapes" / "1.0.0").iterdir():
    content = path.read_bytes()
    (place / path.name).write_bytes(
        content[:len(content) // 2] if "train" in path.name else content)
  with refused(r"tiny_shapes-train.tfrecord-00000-of-00001: example \d+ is "
               "broken"):
    tfds_images.load("tiny_shapes", str(tmp_path))
  (place / "dataset_info.json").write_text("{")
  with refused("1.0.0: not a data set that TFDS prepared"):
    tfds_images.load("tiny_shapes", str(tmp_path))
