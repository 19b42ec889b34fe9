"""Lists of images: what they may hold, ILSVRC's layout, what is refused."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from atcon_tf.data.sources import image_list
from tests import quiet_process
from tests.refusals import refused


@pytest.fixture(name="root")
def _root(tmp_path):
  root = tmp_path / "photos"
  root.mkdir()
  return root


def jpeg(root, path, value=0):
  """Writes a JPEG of one grey value."""
  (root / path).parent.mkdir(parents=True, exist_ok=True)
  PIL.Image.new("RGB", (12, 10), (value,) * 3).save(root / path, "JPEG")


def write(root, name, *lines):
  path = root.parent / name
  path.write_text("\n".join(lines) + "\n")
  return str(path)


def pairs(root, part, classes=("cat", "dog"), count=2):
  """A list of `count` images of each class."""
  lines = []
  for i, name in enumerate(classes):
    for k in range(count):
      jpeg(root, f"{part}/{name} {k}.jpg", 40 * i + k)
      lines.append(f"{part}/{name} {k}.jpg {name}")
  return write(root, f"{part}.txt", *lines)


def shown(data):
  """`{split: {id: class name}}`."""
  return {split: {r.id: data.class_names[int(r.label.argmax())]
                  for r in records} for split, records in data.splits.items()}


def refuses(message, *args, **options):
  with refused(message) as caught:
    image_list.load(*args, **options)
  assert "\n" not in str(caught.value)


def test_lists_of_other_systems(root):
  """Backslashes, CRLF and a mark from Windows; e and accent from macOS."""
  jpeg(root, "train/caf\xe9/1.jpg")
  jpeg(root, "train/dog/2.jpg")
  jpeg(root, "train/dog/3.jpg")
  jpeg(root, "test/cafe\u0301/4.jpg")
  train = root.parent / "train.txt"
  train.write_bytes("\ufefftrain\\cafe\u0301\\1.jpg cafe\u0301\r\n"
                    "dog\\2.jpg dog\r\ntrain/dog/3.jpg dog\r\n".encode())
  test = write(root, "test.txt", "test/caf\xe9/4.jpg caf\xe9")
  data = image_list.load(str(root), str(train), test_list=test)
  assert data.class_names == ("caf\xe9", "dog")
  found = {i: name for split in shown(data).values()
           for i, name in split.items()}
  assert found == {"train/caf\xe9/1.jpg": "caf\xe9",
                   "train/dog/2.jpg": "dog", "train/dog/3.jpg": "dog",
                   "test/cafe\u0301/4.jpg": "caf\xe9"}


def test_three_lists_of_names_and_paths_with_spaces(root):
  lists = [pairs(root, part) for part in ("train", "val", "test")]
  data = image_list.load(str(root), *lists)
  assert data.class_names == ("cat", "dog") and not data.multi_label
  assert shown(data)["val"] == {
      "val/cat 0.jpg": "cat", "val/cat 1.jpg": "cat",
      "val/dog 0.jpg": "dog", "val/dog 1.jpg": "dog"}
  record = data.splits["test"][3]
  assert pathlib.Path(record.image) == root / "test/dog 1.jpg"
  # The very file: a JPEG of the value 41.
  assert np.asarray(PIL.Image.open(record.image)).mean() == 41
  np.testing.assert_array_equal(record.label, [0, 1])
  assert record.label.dtype == np.float32 and record.boxes.shape == (0, 4)


def test_numbers_and_a_file_of_names(root):
  for name in "abcd":
    jpeg(root, f"{name}.jpg")
  train = write(root, "train.txt", "a.jpg 1", "", "b.jpg  0  ")
  test = write(root, "test.txt", "c.jpg 0", "d.jpg\tgive way")
  names = write(root, "names.txt", "stop", "give way")
  more = ["e.jpg 1", "f.jpg 0"] + [f"{i}.jpg {i % 2}" for i in range(2)]
  for line in more:
    jpeg(root, line.split()[0])
  val = write(root, "val.txt", *more)
  data = image_list.load(str(root), train, val, test, names)
  assert data.class_names == ("stop", "give way")
  assert shown(data)["train"] == {"a.jpg": "give way", "b.jpg": "stop"}
  assert shown(data)["test"] == {"c.jpg": "stop", "d.jpg": "give way"}
  # A class that is called 1 is meant by "1", whatever its number.
  odd = write(root, "odd.txt", "1", "0")
  test = write(root, "test.txt", "c.jpg 1")
  data = image_list.load(str(root), train, val, test, odd)
  assert shown(data)["test"] == {"c.jpg": "1"}
  assert data.splits["test"][0].label.tolist() == [1, 0]


def test_some_classes_in_the_order_wanted(root):
  lists = [pairs(root, part, ("cat", "cow", "dog"))
           for part in ("train", "val", "test")]
  data = image_list.load(str(root), *lists, classes=("dog", "cat"))
  assert data.class_names == ("dog", "cat")
  assert [len(records) for records in data.splits.values()] == [4, 4, 4]
  assert data.splits["train"][0].label.tolist() == [0, 1]


def test_the_layout_of_ilsvrc(root):
  """Class folders below train/, a flat val/ whose list has no folder."""
  for k in range(5):
    jpeg(root, f"train/n02/n02_{k}.JPEG")
    jpeg(root, f"train/n01/n01_{k}.JPEG")
  for k in range(1, 4):
    jpeg(root, f"val/ILSVRC2012_val_0000000{k}.JPEG")
  val = write(root, "val.txt", "ILSVRC2012_val_00000001.JPEG 1",
              "ILSVRC2012_val_00000002 n01", "val/ILSVRC2012_val_00000003 1")
  data = image_list.load(str(root), val_list=val)
  assert data.class_names == ("n01", "n02")
  got = shown(data)
  # val, which others report, is the test set; a fifth of train is val.
  assert got["test"] == {"val/ILSVRC2012_val_00000001.JPEG": "n02",
                         "val/ILSVRC2012_val_00000002.JPEG": "n01",
                         "val/ILSVRC2012_val_00000003.JPEG": "n02"}
  assert (len(got["train"]), len(got["val"])) == (8, 2)
  assert all(i == f"train/{c}/{i.split('/')[-1]}"
             for i, c in {**got["train"], **got["val"]}.items())
  # A training list chooses among them; it has no names.
  write(root, "val.txt", "ILSVRC2012_val_00000001 1")
  train = write(root, "train.txt", *(
      f"n0{c}/n0{c}_{k} {c - 1}" for c in (1, 2) for k in (0, 3)))
  data = image_list.load(str(root), train, val, seed=1)
  assert sum(len(data.splits[s]) for s in ("train", "val")) == 4
  assert "train/n01/n01_3.JPEG" in {**shown(data)["train"],
                                    **shown(data)["val"]}


def test_another_seed_takes_another_validation_set(root):
  train, val = pairs(root, "train", count=10), pairs(root, "val")
  carved = {tuple(shown(image_list.load(str(root), train, val, seed=s))["val"])
            for s in (0, 0, 1)}
  assert len(carved) == 2


def test_refuses_lines(root):
  val = pairs(root, "val")
  jpeg(root, "a.jpg")
  jpeg(root, "b.jpg")
  good = ("a.jpg cat", "b.jpg dog")
  for line, message in [
      ("c.jpg", "line 3: no label; must be 'path label', not 'c.jpg'"),
      ("c.jpg cat", "line 3: no image .*photos/c.jpg"),
      ("a.jpg dog", "line 3: image 'a.jpg' is also in .*line 1")]:
    refuses("train.txt, " + message, str(root),
            write(root, "train.txt", *good, line), val)
  train = write(root, "train.txt", *good)
  for label, message in [("2", "label 2 is out of range; must be from 0 to 1"),
                         ("-1", "no class '-1'; any of cat, dog"),
                         ("cow", "no class 'cow'; any of cat, dog")]:
    refuses("bad.txt, line 1: " + message, str(root), train,
            write(root, "bad.txt", f"a.jpg {label}"))
  refuses("val.txt, line 1: image .* is also in .*val.txt, line 1",
          str(root), val, val)


def test_refuses_files(root):
  train, val = pairs(root, "train"), pairs(root, "val")
  refuses("no such folder", str(root / "x"), train, val)
  (root / "x").mkdir()
  refuses("--train_list: needed, .* no .*photos/x/train", str(root / "x"),
          val_list=val)
  refuses("--train_list=none.txt: No such file", str(root), "none.txt", val)
  refuses("--val_list=.*empty.txt: no image in it", str(root), train,
          write(root, "empty.txt", "", " "))
  picture = root / "val/cat 0.jpg"
  refuses("--val_list=.*cat 0.jpg: not a UTF-8 text", str(root), train,
          str(picture))
  refuses("--class_list=.*: 'cat' is listed twice", str(root), train, val,
          class_list=write(root, "names.txt", "cat", "dog", "cat"))
  refuses("labels up to 3, but no image has 0; labels count from 0", str(root),
          write(root, "n.txt", "train/cat 0.jpg 1", "train/dog 0.jpg 3"), val)
  refuses("leave none for the train split", str(root),
          write(root, "one.txt", "train/cat 0.jpg cat"), val,
          class_list=write(root, "names.txt", "cat", "dog"))
  refuses("no 'cow'; any of cat, dog", str(root), train, val,
          classes=("cat", "cow"))


def _train(root, *flags):
  return subprocess.run(
      [sys.executable, "-m", "atcon_tf.train", "--dataset=image_list",
       f"--data_dir={root}", "--model=tiny_cnn", "--image_size=32",
       "--objective=supervised", "--shots=2", "--steps=2", "--bootstrap=0",
       "--summary_images=0", f"--workdir={root.parent / 'run'}", *flags],
      capture_output=True, text=True)


def test_a_run_of_lists(root):
  """A real command, then what it stored; and its mistakes."""
  train, val = pairs(root, "train", count=6), pairs(root, "val")
  done = _train(root, f"--train_list={train}", f"--val_list={val}")
  quiet_process.output(done)
  run = root.parent / "run"
  result = json.loads((run / "result.json").read_text())
  assert result["data"]["test"] == 4 and 0 <= result["test"]["accuracy"] <= 1
  assert json.loads((run / "splits.json").read_text())["test"] == [
      "val/cat 0.jpg", "val/cat 1.jpg", "val/dog 0.jpg", "val/dog 1.jpg"]
  bad = write(root, "bad.txt", "val/cat 0.jpg 7")
  done = _train(root, f"--train_list={train}", f"--val_list={bad}",
                "--overwrite")
  assert done.returncode == 2
  line, = [l for l in done.stderr.splitlines() if l.startswith("error: ")]
  assert line.endswith(
      "bad.txt, line 1: label 7 is out of range; must be from 0 to 1")
  assert "Traceback" not in done.stderr


def test_an_image_by_any_other_name_is_the_same(root):
  train = pairs(root, "train")
  (root / "link").symlink_to(root / "train")
  for path in ("./train//cat 0.jpg", str(root / "train/cat 0.jpg"),
               "link/cat 0.jpg"):
    test = write(root, "test.txt", f"{path} cat")
    refuses("test.txt, line 1: image '.*cat 0.jpg' is also in .*tra",
            str(root), train, "", test)


def test_a_label_keeps_no_other_in_memory(root):
  record = image_list.load(str(root), *(
      pairs(root, part) for part in ("train", "val"))).splits["train"][0]
  base = record.label if record.label.base is None else record.label.base
  assert base.nbytes == 2 * 4
