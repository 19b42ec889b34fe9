"""Sixty files corrupted in ten ways: each is named, and none is used."""

import numpy as np
import pytest

from atcon_tf.config import Config
from atcon_tf.runs import run_data
from tests.data import drawn_files
from tests.data.corruption import WAYS
from tests.refusals import refused
from tools import corrupt_pictures


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
    with refused("does not decode .*one image more than --max_bad_images="
                 f"{most}") as caught:
      run_data.load(config, tmp_path / "splits.json")
    assert str(caught.value).partition(":")[0] in ways
    assert not (tmp_path / "splits.json").exists()


def test_the_tool_counts(tmp_path):
  """Its long form broke 500 photos, see docs/reliability.md."""
  whole = [str(tmp_path / d.path) for d in drawn_files.draw(tmp_path, 8)]
  (tmp_path / "broken").mkdir()
  ways = corrupt_pictures.broken(whole, 20, tmp_path / "broken")
  assert corrupt_pictures.count_noticed(ways) == {
      way: [2, 2, 0] for way in WAYS}
