"""Files in COCO's format: boxes, masks, crowds, and what is refused."""

import copy
import json

import numpy as np
from pycocotools import mask as mask_lib
import pytest

from atcon_tf.config import Config
from atcon_tf.data import class_masks
from atcon_tf.data.sources import coco
from tests.data import drawn_files
from tests.refusals import refused


def instances(drawn, first=0):
  """The content of a file of annotations; discs as RLE, squares as polygons."""
  images, annotations = [], []
  for i, one in enumerate(drawn):
    images.append({"id": first + i, "file_name": one.path.rpartition("/")[2],
                   "width": drawn_files.WIDTH, "height": drawn_files.HEIGHT})
    x1, y1, x2, y2 = one.box
    shape = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    if one.name == "disc":
      coded = mask_lib.encode(np.asfortranarray(one.mask.astype(np.uint8)))
      shape = {"size": coded["size"], "counts": coded["counts"].decode()}
    annotations.append({
        "id": i, "image_id": first + i, "iscrowd": 0,
        "category_id": 5 + drawn_files.NAMES.index(one.name),
        "bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": shape})
  return {"images": images, "annotations": annotations, "categories": [
      {"id": 6, "name": "square"}, {"id": 5, "name": "disc"},
      {"id": 9, "name": "unused"}]}


def write(path, content):
  path.parent.mkdir(exist_ok=True)
  path.write_text(json.dumps(content))
  return str(path)


@pytest.fixture(name="data")
def _data(tmp_path):
  """`(drawn pictures, content, path)` of a file beside its pictures."""
  drawn = drawn_files.draw(tmp_path, 20)
  content = instances(drawn)
  return drawn, content, tmp_path / "own.json"


def records(found):
  return {r.id: r for part in found.splits.values() for r in part}


def test_boxes_masks_and_a_drawn_split(data):
  drawn, content, path = data
  found = coco.load(write(path, content))
  assert found.class_names == ("disc", "square") and found.multi_label
  assert found.drawn == ("val", "test")
  assert {p: len(r) for p, r in found.splits.items()} == {
      "train": 12, "val": 4, "test": 4}
  assert "left out: 1 classes without an image: unused" in found.notes
  for one in drawn:
    record = records(found)[one.path]
    c = drawn_files.NAMES.index(one.name)
    assert record.label.tolist() == [c == 0, c == 1]
    np.testing.assert_allclose(
        record.boxes[0] * [48, 40, 48, 40], one.box, atol=1e-4)
    np.testing.assert_array_equal(record.mask(), (1 + c) * one.mask)
    # The masks have the size of their images.
    assert class_masks.drawn(record, 16)[c].any()


def test_crowds_and_empty_images(data):
  _, content, path = data
  crowd = {"image_id": 0, "category_id": 6, "iscrowd": 1,
           "bbox": [0, 0, 4, 40], "segmentation": {
               "size": [40, 48], "counts": [0, 160, 1760]}}
  content["annotations"] += [crowd, {**crowd, "image_id": 2}]
  content["annotations"] = [a for a in content["annotations"]
                            if a["image_id"] not in (1, 2) or a["iscrowd"]]
  found = coco.load(write(path, content))
  known = records(found)
  assert "02.jpg" not in known  # only a crowd
  assert "images that only show crowds" in " ".join(found.notes)
  assert known["01.jpg"].label.tolist() == [0, 0]  # a negative
  first = known["00.png"]
  assert first.label.tolist() == [1, 0] and first.box_label.tolist() == [0]
  left = first.mask()[:, :4]
  assert set(np.unique(left)) <= {1, 255} and (left == 255).any()


def test_small_objects_lie_on_large_ones(data):
  """And an object without a segmentation is unknown inside its box."""
  _, content, path = data
  content["annotations"] = [
      {"image_id": i, "category_id": 5 + i % 2, "bbox": [0, 0, 48, 40],
       "segmentation": [[0, 0, 48, 0, 48, 40, 0, 40]]} for i in range(20)] + [
           {"image_id": 0, "category_id": 6, "bbox": [10, 10, 5, 5],
            "segmentation": [[10, 10, 15, 10, 15, 15, 10, 15]]},
           {"image_id": 0, "category_id": 5, "bbox": [30, 30, 2, 2]}]
  mask = records(coco.load(write(path, content)))["00.png"].mask()
  assert mask[0, 0] == 1 and (mask == 2).sum() == 25
  assert (mask == 255).sum() == 4


def test_three_files_and_the_folders_of_coco(tmp_path):
  files = {}
  for number, (part, count) in enumerate(
      (("train", 10), ("val", 6), ("test", 4))):
    drawn = drawn_files.draw(tmp_path, count, f"{part}2017", seed=number)
    files[part] = write(tmp_path / "annotations" /
                        f"instances_{part}2017.json", instances(drawn))
  found = coco.load(*files.values(), data_dir=str(tmp_path))
  assert {p: len(r) for p, r in found.splits.items()} == {
      "train": 10, "val": 6, "test": 4}
  assert "val2017/00.png" in records(found) and found.drawn == ()
  # Without a test file, val is the test set, as others report it.
  found = coco.load(files["train"], files["val"], data_dir=str(tmp_path))
  assert {p: len(r) for p, r in found.splits.items()} == {
      "train": 8, "val": 2, "test": 6}
  with refused(r"train2017.json, images\[0\]: image 'train2017/00.png' is also "
               r".*train2017.json, images\[0\]"):
    coco.load(files["train"], files["train"], data_dir=str(tmp_path))


def test_some_classes(data):
  _, content, path = data
  content["categories"][2]["name"] = "ring"
  content["annotations"] += [
      {"image_id": i, "category_id": 9, "bbox": [1, 1, 5, 5]}
      for i in range(0, 20, 3)]
  found = coco.load(write(path, content), classes=("ring", "square"))
  assert found.class_names == ("ring", "square")
  assert "left out: 6 images of other classes" in found.notes
  record = records(found)["03.png"]
  assert record.label.tolist() == [1, 1]
  assert sorted(record.box_label.tolist()) == [0, 1]


@pytest.mark.parametrize("place, change, message", [
    (("annotations", 3, "image_id"), 99,
     r"annotations\[3\]: no image of the id 99"),
    (("annotations", 3, "category_id"), 1,
     r"annotations\[3\]: no category of the id 1"),
    (("annotations", 3, "bbox"), [1, 1, -3, 4],
     r"annotations\[3\]: box 1,1,-2,5 is empty or outside"),
    (("annotations", 3, "bbox"), [1, 1, 60, 4], "box 1,1,61,5 is empty or out"),
    (("annotations", 3, "bbox"), [1, 1, 4], r"bbox must be \[x, y, width, "),
    (("annotations", 3, "bbox"), ["1", 1, 4, 3], r"bbox must be \[x, y, wid"),
    (("images", 3, "file_name"), "none.jpg", r"images\[3\]: no image .*none"),
    (("images", 3, "file_name"), "../x.jpg", "'../x.jpg' does not lie below"),
    (("images", 3, "file_name"), "00.png", "image '00.png' is also .*s.0."),
    (("images", 3, "id"), 2, r"images\[3\]: id 2 is there twice"),
    (("images", 3), {}, r"images\[3\]: needs id and file_name"),
    (("categories", 0), {"id": 6}, r"categories\[0\]: needs id and name"),
    (("categories", 0, "id"), 5, r"categories\[1\]: id 5 .* is there twice"),
    (("images",), {}, "no list 'images' in it; needs images, annotations, "),
    (("categories",), [1], "no list 'categories' in it")])
def test_refuses_entries(data, place, change, message):
  _, content, path = data
  inner = content = copy.deepcopy(content)
  for key in place[:-1]:
    inner = inner[key]
  inner[place[-1]] = change
  with refused("own.json.*" + message) as caught:
    coco.load(write(path, content))
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [
    {"size": [2, 2], "counts": [4]}, {"counts": 3}, [[1, 2]], {"size": []}])
def test_refuses_segmentations(data, shape):
  _, content, path = data
  content["annotations"][0]["segmentation"] = shape
  found = coco.load(write(path, content))
  with refused(r"annotations\[0\]: (malformed|a) segmentation"):
    records(found)["00.png"].mask()


def test_refuses_files(tmp_path):
  (tmp_path / "bad.json").write_text("{")
  with refused("--annotations=.*bad.json: not a JSON file"):
    coco.load(str(tmp_path / "bad.json"))
  with refused("--annotations=.*no.json: No such file"):
    coco.load(str(tmp_path / "no.json"))
  with refused("--annotations: needed by --dataset=coco"):
    Config(dataset="coco").resolve()
  with refused("--annotations=x: not used with --dataset=shapes"):
    Config(annotations="x").resolve()
