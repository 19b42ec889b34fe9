"""Features that are kept from run to run."""

import dataclasses

import numpy as np
import pytest

from atcon_tf.training import feature_cache


@dataclasses.dataclass(frozen=True)
class Picture:
  id: str


class Pictures:
  """Three pictures; those of "b" and "twin" have the same pixels."""

  pixels = np.array([[1, 2], [3, 4], [3, 4]], np.uint8)
  names = ("a", "b", "twin")

  def rows(self, ids):
    return np.array([self.names.index(i) for i in ids])


@pytest.fixture
def read(tmp_path):
  """`read(names, network)`, the features and the names it computed."""
  def read(names, network="net"):
    computed = []

    def compute(records):
      computed.extend(r.id for r in records)
      rows = Pictures().rows([r.id for r in records])
      return Pictures.pixels[rows].astype(np.float32) + .5

    return feature_cache.read(tmp_path / "kept", network, Pictures(),
                              [Picture(n) for n in names],
                              compute).tolist(), computed
  read.folder = tmp_path / "kept"
  return read


def test_what_is_kept_is_not_computed_again(read):
  assert read("a") == ([[1.5, 2.5]], ["a"])
  assert read(["b", "a"]) == ([[3.5, 4.5], [1.5, 2.5]], ["b"])
  assert read(["a", "b"]) == ([[1.5, 2.5], [3.5, 4.5]], [])


def test_an_image_is_known_by_its_pixels_and_a_network_by_its_name(read):
  read("b")
  assert read(["twin"]) == ([[3.5, 4.5]], [])
  assert read("b", "other")[1] == ["b"]


def test_a_damaged_file_is_written_anew(read):
  read("a")
  file = read.folder / "net.npz"
  file.write_bytes(file.read_bytes()[:100])
  assert read("a") == ([[1.5, 2.5]], ["a"])
  assert read("a")[1] == []
