"""Images that were stored once give the same batches, killed or not."""

import dataclasses
import json
import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest

from atcon_tf import training
from atcon_tf.config import Config
from atcon_tf.data import class_masks
from atcon_tf.data import pipeline
from atcon_tf.data import registry
from atcon_tf.data import shard_writer
from atcon_tf.runs import run_data
from tests.data import source_runs_test
from tests.refusals import refused

TINY = source_runs_test.TINY


def write(config, folder, shard_images=7):
  return shard_writer.write(registry.load(config), config, folder,
                            shard_images)


def read(folder, **changes):
  return Config(**{**TINY, "image_size": 0, "dataset": "prepared",
                   "data_dir": str(folder), **changes}).resolve()


@pytest.fixture(name="coco", scope="module")
def _coco(tmp_path_factory):
  """The config of drawn pictures with masks, cropped; and its folder."""
  root = tmp_path_factory.mktemp("coco")
  config = Config(**{**TINY, **source_runs_test.coco(root), "image_size":
                     "24x32", "resize": "crop"}).resolve()
  write(config, root / "prepared")
  return config, root / "prepared"


@pytest.fixture(name="csv", scope="module")
def _csv(tmp_path_factory):
  """The same of pictures in groups, some without labels, one broken."""
  root = tmp_path_factory.mktemp("csv")
  settings = source_runs_test.csv(root)
  broken = min(root.glob("*.jpg"))
  broken.write_bytes(broken.read_bytes()[:200])
  config = Config(**TINY, **settings, max_bad_images=1).resolve()
  torn = max(root.glob("*.jpg"))
  content = torn.read_bytes()
  torn.write_bytes(content[:-200] + bytes(100) + content[-100:])
  manifest = write(config, root / "prepared")
  assert list(manifest["bad"]) == [str(broken)]
  assert list(manifest["damaged"]) == [str(torn)]
  return config, root / "prepared"


def contents(data, config):
  """Everything that a run reads of its data, as arrays."""
  stream = pipeline.training_batches(
      data.images, data.records["train_unlabeled"], 4, 0, 2, 0, 3,
      config.augment)
  found = [column for batch in stream.as_numpy_iterator()
           for column in batch.values()]
  for part in run_data.PARTS:
    records = data.records[part]
    found.append(data.images.batch(records))
    found.append(np.array([r.label for r in records]))
    found += [r.boxes for r in records] + [r.box_label for r in records]
    if any(r.mask for r in records):
      found.append(class_masks.ClassMasks(records, config.image_size)[
          list(range(len(records)))])
  return found


@pytest.mark.parametrize("source", ["coco", "csv"])
def test_the_same_data_bit_by_bit(source, request, tmp_path, capsys):
  config, folder = request.getfixturevalue(source)
  raw = run_data.load(config, tmp_path / "raw.json")
  again = read(folder)
  assert (again.image_size, again.resize) == (config.image_size, config.resize)
  capsys.readouterr()
  stored = run_data.load(again, tmp_path / "stored.json")
  assert stored.split == raw.split
  assert ("groups" in raw.split) == (source == "csv")
  for one, other in zip(contents(raw, config), contents(stored, again),
                        strict=True):
    np.testing.assert_array_equal(one, other)
    assert one.dtype == other.dtype
  told = capsys.readouterr().out
  assert ("1 image(s) did not decode when" in told) == (source == "csv")
  other = read(folder, split_seed=3)
  assert "val and test were drawn with --split_seed=0" in "".join(
      registry.load(other).notes)


def test_a_run_is_the_same(coco, tmp_path):
  raw = dataclasses.replace(coco[0].with_objective("supervised"), steps=1)
  stored = read(coco[1], objective="supervised", steps=1,
                unlabeled_batch_size=8)
  one, other = (training.train_and_evaluate(c, tmp_path / name)
                for name, c in (("raw", raw), ("stored", stored)))
  assert one["test"] == other["test"] and one["val"] == other["val"]
  assert one["test"]["mask_iou"]


def _in_child(config, folder):
  write(config, folder, 1)
  os._exit(0)  # of a process that has TensorFlow's threads only in name


def test_killed_it_goes_on(coco, tmp_path):
  """Three kills, each after some of the 30 files are there."""
  config, _ = coco
  whole = write(config, tmp_path / "whole", 1)
  folder, draw = tmp_path / "killed", random.Random(21)
  context, kept = multiprocessing.get_context("fork"), 0
  for least in (2, 9, 17):
    child = context.Process(target=_in_child, args=(config, folder))
    child.start()
    end = time.monotonic() + 60
    while len(list(folder.glob("images-*.jsonl"))) < least:
      assert child.is_alive() and time.monotonic() < end
      time.sleep(.001)
    time.sleep(draw.random() / 50)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not (folder / "manifest.json").exists()
    kept = len(list(folder.glob("images-*.jsonl")))
  assert 17 <= kept < len(whole["shards"])
  before = {p: p.stat().st_mtime_ns for p in folder.glob("images-*.jsonl")}
  assert write(config, folder, 1) == whole
  assert all(p.stat().st_mtime_ns == at for p, at in before.items())
  names = sorted(p.name for p in (tmp_path / "whole").iterdir())
  assert sorted(p.name for p in folder.iterdir()
                if not p.name.startswith(".part-")) == names
  for name in names:
    assert (folder / name).read_bytes() == (
        tmp_path / "whole" / name).read_bytes()


def test_done_already(coco):
  config, folder = coco
  before = (folder / "manifest.json").stat().st_mtime_ns
  assert write(config, folder) == json.loads(
      (folder / "manifest.json").read_text())
  assert (folder / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("flags, line", [
    ({"image_size": 48}, r"--image_size=48: the images in .* were prepared "
     "with --image_size=24x32; without the flag it applies"),
    ({"resize": "pad"}, "--resize=pad: .* prepared with --resize=crop"),
    ({"classes": ("disc", "square")}, "--classes=disc,square: not used with "
     "--dataset=prepared"),
    ({"data_dir": ""}, "--data_dir: needed by --dataset=prepared"),
    ({"data_dir": "/"}, "--data_dir=/: no manifest.json there; .*prepare")])
def test_a_contradiction_is_refused(coco, flags, line):
  with refused(line):
    read(coco[1], **flags)


def test_another_folder_of_another_size(coco, csv):
  """As `evaluate --data_dir=OTHER` on a run of prepared images."""
  config = read(coco[1])
  with refused("prepared with --image_size=32; the run has 24x32"):
    registry.load(Config(**{**vars(config), "data_dir": str(csv[1])}))


def test_other_settings_or_data_are_not_added(coco, tmp_path):
  config, _ = coco
  folder = tmp_path / "out"
  write(config, folder)
  for changes, line in (
      ({"image_size": 32}, "--image_size=32: .* was begun with 24x32; use "
       "another --out"),
      ({"split_seed": 5}, "--split_seed=5: .* was begun with 0")):
    with refused(line):
      write(Config(**{**vars(config), **changes}), folder)
  with refused("--shard_images=8: .* begun with 7"):
    write(config, folder, 8)
  (folder / "manifest.json").unlink()
  with refused("--out=.*: not empty: it holds images-00000"):
    write(config, folder)


def test_labels_that_changed(coco, tmp_path):
  config, _ = coco
  write(config, tmp_path / "out")
  found = registry.load(config)
  found.splits["train"].pop()
  with refused("the images, labels or boxes of the data have changed"):
    shard_writer.write(found, config, tmp_path / "out", 7)


def test_damaged_files_are_named(coco, tmp_path):
  config, _ = coco
  folder = tmp_path / "out"
  write(config, folder)
  shard = folder / "images-00001.tfrecord"
  whole = bytearray(shard.read_bytes())
  for at in range(len(whole) // 3, len(whole), 99):
    whole[at] ^= 255
  shard.write_bytes(whole)
  with refused("does not decode"):
    run_data.load(read(folder), tmp_path / "splits.json")
  shard.write_bytes(whole[:-9])
  with refused("images-00001.tfrecord: has .* bytes, .* not copied whole"):
    registry.load(read(folder))
  shard.unlink()
  with refused("images-00001.tfrecord: No such file"):
    registry.load(read(folder))


def test_too_many_broken_images(csv, tmp_path):
  config = Config(**{**vars(csv[0]), "max_bad_images": 0})
  with refused("(00.png|01.jpg): does not decode .*one image more than "
               "--max_bad_images=0"):
    write(config, tmp_path / "out")
  assert not (tmp_path / "out/manifest.json").exists()
  assert write(csv[0], tmp_path / "out")["parts"]["train"] > 10
