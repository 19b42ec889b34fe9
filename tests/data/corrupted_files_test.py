"""Sixty files corrupted in ten ways: each is named, and none is used."""

import pickle
import struct
import zlib

import numpy as np
import pytest

from atcon_tf.config import Config
from atcon_tf.runs import run_data
from tests.data import drawn_files
from tests.refusals import refused


def _chunk(kind, content):
  return struct.pack(">I", len(content)) + kind + content + struct.pack(
      ">I", zlib.crc32(kind + content))


# A picture of 30000 x 30000 pixels in a hundred bytes.
BOMB = b"\x89PNG\r\n\x1a\n" + _chunk(
    b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)) + _chunk(
        b"IDAT", zlib.compress(bytes(99))) + _chunk(b"IEND", b"")
WAYS = {
    "empty": lambda content, rng: b"",
    "half": lambda content, rng: content[:rng.integers(20, len(content) // 2)],
    "header": lambda content, rng: content[:rng.integers(1, 12)],
    "zero_head": lambda content, rng: bytes(24) + content[24:],
    "zero_tail": lambda content, rng: content[:len(content) // 2] + bytes(
        len(content) - len(content) // 2),
    "noise": lambda content, rng: rng.bytes(len(content)),
    "page": lambda content, rng: b"<!DOCTYPE html><html>404</html>",
    "pointer": lambda content, rng: (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    "pickle": lambda content, rng: pickle.dumps(list(content)),
    "bomb": lambda content, rng: BOMB,
}


@pytest.fixture(name="campaign", scope="module")
def _campaign(tmp_path_factory):
  """`(table, {path: way})` of 60 broken pictures and 40 whole ones."""
  root = tmp_path_factory.mktemp("campaign")
  rng = np.random.default_rng(21)
  drawn = drawn_files.draw(root, 100)
  chosen = sorted(rng.permutation(100)[:60].tolist())
  ways = {}
  for number, i in enumerate(chosen):
    path = root / drawn[i].path
    way = list(WAYS)[number % 10]
    path.write_bytes(WAYS[way](path.read_bytes(), rng))
    ways[str(path)] = way
  table = root / "table.csv"
  # Boxes in pixels need the size of each image, broken ones included.
  table.write_text("path,label,x1,y1,x2,y2\n" + "".join(
      f"{d.path},{d.name},{','.join(map(str, d.box))}\n" for d in drawn))
  return str(table), ways


def test_each_is_named_and_none_is_used(campaign, tmp_path, capsys):
  table, ways = campaign
  assert len(ways) == 60 and len(set(ways.values())) == 10
  config = Config(dataset="csv", table=table, max_bad_images=60, shots=0,
                  objective="supervised", image_size=32).resolve()
  found = run_data.load(config, tmp_path / "splits.json")
  assert set(found.images.bad) == set(ways), [
      ways[path] for path in set(ways) - set(found.images.bad)]
  told = capsys.readouterr().out
  assert all(f"skipped {path}: " in told for path in ways)
  used = {r.image for part in found.records.values() for r in part}
  assert len(used) == 40 and not used & set(ways)


def test_one_more_than_allowed_is_refused(campaign, tmp_path):
  table, ways = campaign
  for most in (0, 59):
    config = Config(dataset="csv", table=table, max_bad_images=most, shots=0,
                    objective="supervised", image_size=32).resolve()
    with refused(f"does not decode .*--max_bad_images={most} allows no more"
                 ) as caught:
      run_data.load(config, tmp_path / "splits.json")
    assert str(caught.value).partition(":")[0] in ways
    assert not (tmp_path / "splits.json").exists()
