"""What is decoded once, and what each use decodes again."""

import os

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import Config
from atcon_tf.data import image_cache
from atcon_tf.data import image_store
from atcon_tf.data import pipeline
from atcon_tf.data import registry
from atcon_tf.data import shard_writer
from atcon_tf.runs import run_data
from tests.data import drawn_files
from tests.data import source_runs_test
from tests.refusals import refused


@pytest.fixture(name="decoded")
def _decoded(monkeypatch):
  """The ids of the images that were decoded, in turn."""
  found, decode = [], image_store.decode

  def count(record, *args):
    found.append(record.id)
    return decode(record, *args)

  monkeypatch.setattr(image_store, "decode", count)
  return found


@pytest.fixture(name="settings")
def _settings(tmp_path):
  drawn_files.draw(tmp_path / "photos/cat", 12)
  drawn_files.draw(tmp_path / "photos/dog", 12, seed=1)
  return {**source_runs_test.TINY, "dataset": "folder",
          "data_dir": str(tmp_path / "photos")}


def load(settings, tmp_path, name="a", **changes):
  config = Config(**{**settings, **changes}).resolve()
  return run_data.load(config, tmp_path / f"{name}.json"), config


def epoch(data, config):
  """The images of an epoch of the labelled and unlabelled images."""
  return [batch["image"] for part in ("train_labeled", "train_unlabeled")
          for batch in pipeline.training_batches(
              data.images, data.records[part], 4, 0, 1, 0, 2,
              config.augment).as_numpy_iterator()]


def test_the_second_run_decodes_nothing(settings, tmp_path, decoded):
  memory = load(settings, tmp_path)
  plain = epoch(*memory)
  epoch(*memory)  # the second one
  first = len(decoded)
  assert first == 24
  disk = dict(cache="disk", cache_dir=str(tmp_path / "cache"))
  one = load(settings, tmp_path, "b", **disk)
  assert len(decoded) == 2 * first
  two = load(settings, tmp_path, "c", **disk)
  for found in (one, one, two):  # the second epoch, the second run
    for image, other in zip(plain, epoch(*found), strict=True):
      np.testing.assert_array_equal(image, other)
  # Another seed and another objective use the same rows.
  load(settings, tmp_path, "d", **disk, seed=3, split_seed=0,
       objective="supervised", unlabeled_batch_size=8)
  assert len(decoded) == 2 * first
  # Other images of the same data are decoded when they are used.
  (folder,) = (tmp_path / "cache").iterdir()
  assert (np.fromfile(folder / "state", np.uint8) == image_cache.KEPT).all()


def test_only_what_is_used(settings, tmp_path, decoded):
  disk = dict(cache="disk", cache_dir=str(tmp_path / "cache"))
  load(settings, tmp_path, "a", **disk, objective="supervised",
       unlabeled_batch_size=8)
  few = len(decoded)
  assert 0 < few < 24
  load(settings, tmp_path, "b", **disk)
  assert len(decoded) == 24 == len(set(decoded))


def test_a_changed_file_or_framing_is_decoded(settings, tmp_path, decoded):
  disk = dict(cache="disk", cache_dir=str(tmp_path / "cache"))
  load(settings, tmp_path, "a", **disk)
  path = tmp_path / "photos/cat/00.png"
  PIL.Image.new("RGB", [48, 40], "red").save(path)
  os.utime(path, ns=(0, 10**9))
  data, _ = load(settings, tmp_path, "b", **disk)
  assert len(decoded) == 48
  (row,) = data.images.rows(["cat/00.png"])
  assert (data.images.pixels[row] == [255, 0, 0]).all()
  load(settings, tmp_path, "c", **disk, resize="pad")
  assert len(decoded) == 72
  load(settings, tmp_path, "d", **disk, image_size=16)
  assert len(decoded) == 96


def test_killed_before_it_is_marked(settings, tmp_path, decoded, monkeypatch):
  """A row whose pixels may not be on the disk is written again."""
  disk = dict(cache="disk", cache_dir=str(tmp_path / "cache"))
  with monkeypatch.context() as patched:
    patched.setattr(image_cache.Disk, "flush", lambda self: None)
    load(settings, tmp_path, "a", **disk)
  data, config = load(settings, tmp_path, "b", **disk)
  assert len(decoded) == 48
  plain, _ = load(settings, tmp_path, "c")
  for one, two in zip(epoch(data, config), epoch(plain, config)):
    np.testing.assert_array_equal(one, two)


def test_broken_and_animated_files_are_told_each_time(settings, tmp_path,
                                                      capsys):
  photos = tmp_path / "photos"
  frames = [PIL.Image.new("RGB", [20, 20], c) for c in ("red", "blue")]
  frames[0].save(photos / "cat/film.gif", save_all=True,
                 append_images=frames[1:])
  (photos / "dog/broken.png").write_bytes(b"")
  for name in "ab":
    load(settings, tmp_path, name, cache="disk", max_bad_images=1,
         cache_dir=str(tmp_path / "cache"))
    told = capsys.readouterr().out
    assert "skipped" in told and "broken.png: ValueError: an empty" in told
    assert "1 of the pictures have several frames" in told


def test_none_keeps_nothing(settings, tmp_path, decoded):
  plain = epoch(*load(settings, tmp_path))
  decoded.clear()
  found = load(settings, tmp_path, "b", cache="none")
  assert set(decoded) >= {r.id for part in found[0].records.values()
                          for r in part}
  before = len(decoded)
  for image, other in zip(plain, epoch(*found), strict=True):
    np.testing.assert_array_equal(image, other)
  assert len(decoded) >= before + 16
  batch = found[0].images.batch(found[0].records["val"])
  assert batch.shape[1:] == (32, 32, 3)


def test_no_room_and_no_files(settings, tmp_path, monkeypatch):
  (tmp_path / "file").write_text("")
  with refused("file/.*/about: cannot be written: Not a directory"):
    load(settings, tmp_path, cache="disk", cache_dir=str(tmp_path / "file"))
  with refused("--cache=disk: image 'seed.* is no file of its own; .*prepare"):
    load(source_runs_test.TINY, tmp_path, cache="disk",
         cache_dir=str(tmp_path / "cache"))

  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(image_cache.os, "fsync", full)
  with refused("--cache_dir=.*: No space left on device; --cache=none needs"):
    load(settings, tmp_path, cache="disk", cache_dir=str(tmp_path / "cache"))


def test_prepared_images_too(settings, tmp_path, decoded):
  raw = Config(**settings).resolve()
  shard_writer.write(registry.load(raw), raw, tmp_path / "stored")
  decoded.clear()
  stored = {**settings, "image_size": 0, "dataset": "prepared",
            "data_dir": str(tmp_path / "stored")}
  for name in "ab":
    load(stored, tmp_path, name, cache="disk",
         cache_dir=str(tmp_path / "cache"))
  assert len(decoded) == 24
