"""Groups: no two of train, validation and test share one."""

import dataclasses
import json

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import Config
from atcon_tf import data
from atcon_tf.data import groups
from atcon_tf.data import record
from atcon_tf.data.sources import rules
from atcon_tf.data import splits
from atcon_tf.runs import run_data
from tests.refusals import refused


@pytest.fixture(name="root")
def _root(tmp_path):
  """Ten patients in two class folders, three pictures each."""
  for p in range(10):
    for name in ("ill", "well"):
      for i in range(3):
        path = tmp_path / "photos" / name / f"p{p}_{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", [8, 8], (20 * p, i, 0)).save(path)
  return tmp_path


def _folder(root, **changes):
  return Config(dataset="folder", data_dir=str(root / "photos"), shots=2,
                **{"group_pattern": r"/(p\d+)_", **changes}).resolve()


def test_drawn_parts_share_no_group(root):
  """Without groups the same folder divides patients."""
  plain = data.load(_folder(root, group_pattern=""))
  patients = [{r.id.split("/")[1][:2] for r in plain.splits[part]}
              for part in ("train", "test")]
  assert patients[0] & patients[1]
  found = data.load(_folder(root))
  parts = {part: {r.group for r in records}
           for part, records in found.splits.items()}
  assert parts["train"] | parts["val"] | parts["test"] == {
      f"p{p}" for p in range(10)}
  assert {part: len(names) for part, names in parts.items()} == {
      "train": 6, "val": 2, "test": 2}
  assert {r.id for p in found.splits.values() for r in p} == {
      r.id for p in plain.splits.values() for r in p}
  assert {part: {r.group for r in records} for part, records in
          data.load(_folder(root, seed=1)).splits.items()} != parts


def test_a_run_that_is_judged_knows_its_groups(root, capsys):
  """Also other data, where the pattern finds groups in them."""
  plain = data.load(_folder(root, group_pattern=""))
  found = run_data._in_groups(plain, r"/(p\d+)_")
  assert [r.id for r in found.splits["test"]] == [
      r.id for r in plain.splits["test"]]
  assert {r.group for p in found.splits.values() for r in p} == {
      f"p{p}" for p in range(10)}
  assert run_data._in_groups(plain, r"/(part\d+)_") is plain
  assert "intervals are over images" in capsys.readouterr().out


def test_the_split_says_how_many(root, tmp_path):
  config = _folder(root)
  found = data.load(config)
  split = splits.of_run(config, found, tmp_path / "none.json")
  assert split["groups"] == {"train": 6, "val": 2, "test": 2}
  # A split that was made without groups is refused.
  plain = data.load(_folder(root, group_pattern=""))
  path = tmp_path / "splits.json"
  splits.save(splits.make(plain, 0), path)
  config = dataclasses.replace(config, splits=str(path))
  with refused(r"group 'p\d' is in train \('.*'\) and in (val|test) "):
    splits.of_run(config, found, tmp_path / "none.json")
  assert "groups" not in splits.of_run(_folder(
      root, group_pattern=""), plain, tmp_path / "none.json")


def test_a_column_of_groups(root):
  rows = [f"photos/{n}/p{p}_{i}.png,{n},who {p}\n" for p in range(10)
          for n in ("ill", "well") for i in range(3)]
  table = root / "table.csv"
  table.write_text("path,label,patient\n" + "".join(rows))
  config = Config(dataset="csv", table=str(table), group_column="patient")
  parts = [{r.group for r in records} for records in
           data.load(config.resolve()).splits.values()]
  assert sorted(map(len, parts)) == [2, 2, 6]
  assert len(set.union(*parts)) == 10
  # A column of the name `group` counts without the flag.
  table.write_text("path,label,group\n" + "".join(rows))
  config = dataclasses.replace(config, group_column="")
  assert {r.group for r in data.load(config.resolve()).splits["val"]} <= {
      f"who {p}" for p in range(10)}


def test_given_parts_that_share_a_group_are_refused(root):
  for part, patients in (("train", "01234"), ("val", "56"), ("test", "789")):
    for name in ("ill", "well"):
      (root / "photos" / part / name).mkdir(parents=True)
      for p in patients:
        for i in range(3):
          (root / "photos" / name / f"p{p}_{i}.png").rename(
              root / "photos" / part / name / f"p{p}_{i}.png")
  for name in ("ill", "well"):
    (root / "photos" / name).rmdir()
  found = data.load(_folder(root))
  assert {r.group for r in found.splits["val"]} == {"p5", "p6"}
  (root / "photos/val/ill/p5_0.png").rename(root / "photos/test/ill/p5_0.png")
  with refused("group 'p5' is in val .* and in test .*; train, val and test "
               "may share no group"):
    data.load(_folder(root))


def test_images_without_labels(root):
  """Those of a patient in val or test do not train."""
  for p in range(10):
    path = root / "more" / f"p{p}_9.png"
    path.parent.mkdir(exist_ok=True)
    PIL.Image.new("RGB", [8, 8]).save(path)
  found = data.load(_folder(root, unlabeled_dir=str(root / "more"),
                            objective="atcon", group_pattern=r"(p\d+)_"))
  pool = {r.group for r in found.splits["unlabeled"]}
  assert pool == {r.group for r in found.splits["train"]}
  assert ("left out: 4 images without labels, whose groups are in val or test"
          in found.notes)


def test_refusals(root):
  with refused(r"--group_pattern=\(: no regular expression"):
    data.load(_folder(root, group_pattern="("))
  with refused(r"--group_pattern=x\(.\): finds no group in 'ill/p\d_0.png'"):
    data.load(_folder(root, group_pattern="x(.)"))
  with refused(r"2 group\(s\) leave none for the (val|test) split"):
    data.load(_folder(root, group_pattern=r"^(ill|well)"))
  with refused("--group_pattern=x: not used with --dataset=shapes"):
    Config(group_pattern="x").resolve()


@pytest.mark.parametrize("count, sizes", [
    (3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (6, 2, 2)),
    (100, (60, 20, 20))])
def test_shares(count, sizes):
  parts = rules.divide(list(map(str, range(2 * count))),
                       np.eye(2)[np.arange(2 * count) % 2])
  for c in (0, 1):
    assert tuple(parts[c::2].count(p) for p in ("train", "val", "test")) == (
        sizes)


def test_large_and_small_groups():
  """A group of half of the images trains; the small ones share the rest."""
  units = ["big"] * 50 + [f"small{i // 10}" for i in range(50)]
  parts = rules.divide(units, np.ones([100, 1]))
  assert [parts.count(p) for p in ("train", "val", "test")] == [60, 20, 20]
  assert set(parts[:50]) == {"train"}


def test_without_groups_the_data_stay_as_they_are():
  one = record.Record("a", "a.png", np.ones(2, np.float32))
  plain = record.Dataset(("a", "b"), False, {
      "train": [one], "val": [], "test": []}, drawn=("val", "test"))
  assert groups.separate(plain) is plain


def test_the_file(root, tmp_path):
  config = _folder(root)
  found = data.load(config)
  path = tmp_path / "splits.json"
  splits.save(splits.of_run(config, found, path), path)
  assert json.loads(path.read_text())["groups"]["val"] == 2
