"""Tables of images: what they may hold, and what is refused."""

import json
import pathlib

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import Config
from atcon_tf import data
from atcon_tf.data.sources import labelled_table
from tests.data import drawn_files
from tests.refusals import refused


@pytest.fixture(name="root")
def _root(tmp_path):
  """A folder with 12 pictures, 8 x 6 pixels: 0.png, 1.png, ..."""
  for i in range(12):
    PIL.Image.new("RGB", [8, 6], (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
  return tmp_path


def write(root, *lines, name="table.csv"):
  path = root / name
  path.parent.mkdir(exist_ok=True)
  path.write_text("\n".join(lines) + "\n", "utf-8")
  return str(path)


def rows(line, count=12):
  """A line for each picture; `{i}` is its number, `{n}` a class."""
  return [line.format(i=i, n="ab"[i % 2]) for i in range(count)]


def labels(found):
  """`{id: names of its classes}` of all parts."""
  return {r.id: [n for n, l in zip(found.class_names, r.label) if l]
          for part in found.splits.values() for r in part}


def sizes(found):
  return {part: len(records) for part, records in found.splits.items()}


def test_one_label_and_a_drawn_split(root):
  found = labelled_table.load(write(root, "path,label", *rows("{i}.png,{n}")))
  assert found.class_names == ("a", "b") and not found.multi_label
  assert sizes(found) == {"train": 8, "val": 2, "test": 2}
  assert found.drawn == ("val", "test")
  assert labels(found)["3.png"] == ["b"]
  for part in found.splits.values():  # each class has its share
    assert np.ptp(np.sum([r.label for r in part], 0)) == 0
  again = labelled_table.load(str(root / "table.csv"), seed=1)
  assert [r.id for r in again.splits["val"]] != [
      r.id for r in found.splits["val"]]


def test_numbers_are_in_the_order_of_numbers(root):
  names = [10, 9, 2]
  found = labelled_table.load(write(root, "path;label", *(
      f"{i}.png;{names[i % 3]}" for i in range(12))))
  assert found.class_names == ("2", "9", "10")


def test_columns_of_classes(root):
  """Several, one or none of the classes; empty cells are unknown."""
  lines = [f"{i}.png,1,{i % 2},home" for i in range(10)]
  found = labelled_table.load(write(
      root, "Path, wet ,red,note", *lines, "10.png,0,0,", "11.png,,,",
      name="classes.csv"), classes=("red", "wet"))
  assert found.class_names == ("red", "wet") and found.multi_label
  assert labels(found)["1.png"] == ["red", "wet"]
  assert labels(found)["10.png"] == []
  assert [r.id for r in found.splits["unlabeled"]] == ["11.png"]
  assert any("note: not used of the table: the columns note" == n
             for n in found.notes)


def test_one_hot_columns_are_one_label(root):
  path = write(root, "path,a,b,c", *(
      f"{i}.png,{int(i % 3 == 0)},{int(i % 3 == 1)},{int(i % 3 == 2)}"
      for i in range(12)))
  assert not labelled_table.load(path).multi_label
  # The images of a class that is left out are no negatives of the others.
  some = labelled_table.load(path, classes=("a", "c"))
  assert not some.multi_label and sum(sizes(some).values()) == 8


@pytest.mark.parametrize("cell", ["a|b", "a; b", '"a,b"'])
def test_several_labels(root, cell):
  found = labelled_table.load(write(
      root, "path,labels", *rows("{i}.png,{n}", 11), f"11.png,{cell}"))
  assert found.multi_label and labels(found)["11.png"] == ["a", "b"]


def test_a_comma_in_the_name_of_one_class(root):
  found = labelled_table.load(write(
      root, "path,label", *rows('{i}.png,"{n}, the letter"')))
  assert found.class_names == ("a, the letter", "b, the letter")


def test_given_splits(root):
  lines = [f"{i}.png,{'ab'[i % 2]},{['Training', 'valid', 'test'][i // 4]}"
           for i in range(12)]
  found = labelled_table.load(write(root, "path,label,split", *lines))
  assert sizes(found) == {"train": 4, "val": 4, "test": 4}
  assert found.drawn == ()
  # Without a test set the validation set is one, and a part of train is val.
  found = labelled_table.load(write(
      root, "path,label,split", *lines[:8], name="two.csv"))
  assert found.drawn == ("val",)
  assert {r.id for r in found.splits["test"]} == {f"{i}.png" for i in (
      4, 5, 6, 7)}


def test_boxes_and_masks(root):
  """Boxes in pixels or in units; rows of one image are joined."""
  drawn = drawn_files.draw(root, 12)
  for one in drawn:
    PIL.Image.fromarray(np.uint8(255 * one.mask)).save(
        root / f"{one.path[:2]}m.png")
  lines = [",".join(map(str, (one.path, one.name, f"{one.path[:2]}m.png",
                              *one.box))) for one in drawn]
  found = labelled_table.load(write(
      root, "path,label,mask,x1,y1,x2,y2", *lines,
      lines[0].replace("disc", "square").rpartition(",")[0] + ",40"))
  assert found.multi_label
  known = {r.id: r for part in found.splits.values() for r in part}
  first = known[drawn[0].path]
  assert first.box_label.tolist() == [0, 1] and first.label.tolist() == [1, 1]
  for one in drawn[1:]:
    record = known[one.path]
    c = drawn_files.NAMES.index(one.name)
    assert record.box_label.tolist() == [c]
    np.testing.assert_allclose(
        record.boxes[0] * [48, 40, 48, 40], one.box, atol=1e-4)
    np.testing.assert_array_equal(record.mask(), (1 + c) * one.mask)
  units = [line.split(",") for line in lines]
  units = [",".join((*u[:3], *(str(int(v) / s) for v, s in zip(
      u[3:], (48, 40, 48, 40))))) for u in units]
  again = labelled_table.load(write(
      root, "path,label,mask,x1,y1,x2,y2", *units))
  for part in again.splits.values():
    for record in part:
      np.testing.assert_allclose(record.boxes[0], known[record.id].boxes[0],
                                 atol=1e-6)


def test_masks_of_class_numbers(root):
  values = np.zeros([6, 8], np.uint8)
  values[0, :3] = [1, 2, 255]
  PIL.Image.fromarray(values).save(root / "m.png")
  lines = rows("{i}.png,{n},", 10) + ["10.png,a;b,m.png", "11.png,a,m.png"]
  path = write(root, "path,labels,mask", *lines)
  def read(number, **options):
    found = labelled_table.load(path, **options)
    return next(r for p in found.splits.values() for r in p
                if r.id == f"{number}.png").mask()[0, :4].tolist()
  assert read(10) == [1, 2, 255, 0]
  assert read(11) == [1, 255, 255, 0]  # b is not in its label: unknown
  assert read(10, classes=("b", "a")) == [2, 1, 255, 0]
  values[0, 3] = 7
  PIL.Image.fromarray(values).save(root / "m.png")
  with refused("m.png: holds 7; must be 0, 255, or 1 to 2"):
    read(10)


def test_hugging_face(root):
  """metadata.jsonl in the folders of the parts, with boxes."""
  for part in ("train", "test"):
    drawn = drawn_files.draw(root, 10, part, seed=len(part))
    lines = []
    for one in drawn:
      x1, y1, x2, y2 = one.box
      lines.append(json.dumps({
          "file_name": pathlib.Path(one.path).name, "objects": {
              "bbox": [[x1, y1, x2 - x1, y2 - y1]],
              "categories": [drawn_files.NAMES.index(one.name)]}}))
    write(root, *lines, name=f"{part}/metadata.jsonl")
  found = labelled_table.load(str(root))
  assert found.class_names == ("0", "1") and not found.multi_label
  assert sizes(found) == {"train": 8, "val": 2, "test": 10}
  last = next(r for r in found.splits["test"] if r.id == drawn[-1].path)
  np.testing.assert_allclose(last.boxes[0] * [48, 40, 48, 40], drawn[-1].box,
                             atol=1e-4)


def test_hugging_face_labels(root):
  write(root, *(json.dumps({"file_name": f"{i}.png", "label": i % 2})
                for i in range(12)), name="metadata.jsonl")
  assert labelled_table.load(str(root)).class_names == ("0", "1")
  write(root, "file_name,label", *rows("{i}.png,{n}"), name="metadata.csv")
  found = labelled_table.load(str(root / "metadata.csv"))
  assert found.class_names == ("a", "b")


def test_roboflow(root):
  """_classes.csv in train, valid and test, with spaces after the commas."""
  for part, count in (("train", 6), ("valid", 4), ("test", 4)):
    drawn_files.draw(root, count, part)
    names = sorted(p.name for p in (root / part).iterdir())
    write(root, "filename, disc, square", *(
        f"{name}, {(i + 1) % 2}, {i % 2}" for i, name in enumerate(names)),
        name=f"{part}/_classes.csv")
  found = labelled_table.load(str(root))
  assert found.class_names == ("disc", "square") and not found.multi_label
  assert sizes(found) == {"train": 6, "val": 4, "test": 4}
  assert found.splits["val"][0].id == "valid/00.png"


@pytest.mark.parametrize("name", labelled_table.PATHS)
def test_each_name_of_the_column_of_paths(root, name):
  found = labelled_table.load(write(
      root, f"{name.upper()},label", *rows("{i}.png,{n}")))
  assert len(found.class_names) == 2
  assert sum(sizes(found).values()) == len(rows(""))


def test_unlabelled_images_of_val_and_test_are_left_out(root):
  lines = [f"{i}.png,{'ab'[i % 2]},{['train', 'val', 'test'][i % 3]}"
           for i in range(9)]
  found = labelled_table.load(write(
      root, "path,label,split", *lines, "9.png,,train", "10.png,,test",
      "11.png,,"))
  assert [r.id for r in found.splits["unlabeled"]] == ["9.png", "11.png"]
  assert "left out: 1 images without labels in val or test" in found.notes


def test_paths_of_another_folder_and_of_windows(root):
  (root / "sub").mkdir()
  (root / "0.png").rename(root / "sub" / "0.png")
  path = write(root, "path,label", r"sub\0.png,a", *rows("{i}.png,{n}")[1:],
               name="lists/table.csv")
  found = labelled_table.load(path, data_dir=str(root))
  assert labels(found)["sub/0.png"] == ["a"]
  with refused("table.csv, row 2: no image .*lists"):
    labelled_table.load(write(root, "path,label", "1.png,a",
                              name="lists/table.csv"))


@pytest.mark.parametrize("header, line, message", [
    ("label", "a", "row 1: no column 'path' .*; it has label"),
    ("path", "0.png", "row 1: no column 'label' or 'labels', and no column"),
    ("path,age", "0.png,35", "row 14: column 'age' holds '35'; without"),
    ("path,a,b", "0.png,1,", "row 14: column 'b' is empty; must be 0 or 1"),
    ("path,label,label", "0.png,a,b", "row 1: two columns are called 'label'"),
    ("path,label", "0.png,a,b", "Expected 2 fields in line 14, saw 3"),
    ("path,label", "none.png,a", "row 14: no image .*none.png"),
    ("path,label", "../0.png,a", "row 14: '../0.png' does not lie below"),
    ("path,label", "/etc/passwd,a", "row 14: '/etc/passwd' does not lie"),
    ("path,label", "0.png,b", "row 14: image '0.png' is also in .*row 2"),
    ("path,label,split", "0.png,a,new", "row 14: split 'new' must be train,"),
    ("path,label,x1,y1", "0.png,a,1,1", "row 1: a box needs the columns x1,"),
    ("path,label,x1,y1,x2,y2", "0.png,a,5,1,3,4",
     "row 14: box 5,1,3,4 is empty or outside its image of 8 x 6"),
    ("path,label,x1,y1,x2,y2", "0.png,a,1,1,3,9",
     "row 14: box 1,1,3,9 is empty or outside"),
    ("path,label,x1,y1,x2,y2", "0.png,a,1,1,3,x", "row 14: box 1,1,3,x must"),
    ("path,label,x1,y1,x2,y2", "0.png,a,nan,1,3,3", "row 14: box nan,1,3,3"),
    ("path,label,x1,y1,x2,y2", "0.png,,1,1,3,3",
     "row 14: its box needs one class; it has none"),
    ("path,label,group", "0.png,a,", "row 14: column 'group' is empty"),
    ("path,label,mask", "0.png,a,none.png", "row 14: no image .*none.png")])
def test_refuses_rows(root, header, line, message):
  columns = header.split(",")
  good = {"path": "{i}.png", "label": "{n}", "a": "1", "b": "0", "age": "1",
          "x1": "2", "y1": "2", "x2": "4", "y2": "4", "split": "train",
          "group": "g", "mask": ""}
  lines = rows(",".join(good[c] for c in columns))
  if "is also in" not in message and line.startswith("0.png"):
    lines[0] = lines[0].replace("0.png", "1.png") if (
        "x1" in columns) else ""
  with refused("table.csv(: |, )" + message):
    labelled_table.load(write(root, header, *lines, line))


def test_refuses_files(root):
  good = rows("{i}.png,{n}")
  for table, message in [
      (str(root / "no.csv"), "--table=.*no.csv: No such file"),
      (str(root / "0.png"), "--table=.*0.png: must end in .csv, .tsv, .txt or"),
      (write(root, name="empty.csv"), "empty.csv"),
      (write(root, "path,label", name="short.csv"), "short.csv: no row in it"),
      (write(root, "path,label", *rows("{i}.png,"), name="none.csv"),
       "none.csv: no row has a label"),
      (write(root, "path,label", *rows("{i}.png,a"), name="one.csv"),
       "at least two classes are needed"),
      (write(root, "[1]", name="list.jsonl"), "list.jsonl, row 1: must be an"),
      (write(root, "{", name="bad.jsonl"), "bad.jsonl, row 1: not JSON"),
      (write(root, json.dumps({"file_name": "0.png", "objects": {"bbox": [1]}}),
             name="box.jsonl"), "box.jsonl, row 1: objects must be"),
      (write(root, "path,label,split", *(f"{line},train" for line in good[:11]),
             good[11] + ",", name="some.csv"),
       "some.csv, row 13: no split, but other rows have one"),
      (write(root, "path,label,split", *(f"{line},train" for line in good[:10]),
             "10.png,a,test", "11.png,c,test", name="new.csv"),
       "new.csv, row 13: class 'c' has no training image; --classes=a,b "
       "leaves it out"),
      (str(root / "."), "holds no metadata.csv or metadata.jsonl or")]:
    with refused(message) as caught:
      labelled_table.load(table)
    assert "\n" not in str(caught.value)
  (root / "binary.csv").write_bytes(bytes(range(256)))
  with refused("binary.csv: not a UTF-8 text file"):
    labelled_table.load(str(root / "binary.csv"))
  with refused("--data_dir=.*: not used with a folder as --table"):
    labelled_table.load(str(root), data_dir=str(root))


def test_settings(root):
  with refused("--table: needed by --dataset=csv"):
    Config(dataset="csv").resolve()
  with refused("--table=t.csv: not used with --dataset=shapes"):
    Config(table="t.csv").resolve()
  with refused("--group_pattern=x: not used with --group_column"):
    Config(dataset="csv", table="t", group_pattern="x",
           group_column="y").resolve()
  path = write(root, "path,label", *rows("{i}.png,{n}"))
  with refused("--group_column=patient: .*table.csv has no such column; it "
               "has path, label"):
    data.load(Config(dataset="csv", table=path,
                     group_column="patient").resolve())
