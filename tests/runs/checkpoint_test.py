"""Two checkpoints with checksums: damage falls back to the one before."""

import os

import keras
import numpy as np
import pytest

from atcon_tf.config import UserError
from atcon_tf.runs import checkpoint


@pytest.fixture
def saved(tmp_path):
  """A folder with the checkpoints of steps 1 and 2, and its variables."""
  variables = {"w": keras.Variable(np.zeros([4, 5], np.float32))}
  for step in (1, 2):
    variables["w"].assign(np.full([4, 5], step, np.float32))
    checkpoint.save(tmp_path, variables, {"step": step}, {"mean": np.ones(3)})
  variables["w"].assign(np.zeros([4, 5]))
  return tmp_path, variables


def test_the_newest_counts_and_numpy_reads_it(saved):
  folder, variables = saved
  progress, arrays = checkpoint.load(folder, variables)
  assert progress == {"step": 2} and arrays["mean"].tolist() == [1, 1, 1]
  assert variables["w"].numpy().min() == 2
  assert sorted(os.listdir(folder)) == ["last.npz", "previous.npz"]
  with np.load(folder / "previous.npz") as values:
    assert values["w"].max() == 1


def _truncated(data, where):
  return data[:int(where * (len(data) - 1))]


def _flipped(data, where):
  data = bytearray(data)
  data[int(where * (len(data) - 1))] ^= 1 << (len(data) % 8)
  return bytes(data)


@pytest.mark.parametrize("where", [0, .1, .25, .5, .7, .9])
@pytest.mark.parametrize("harm", [_truncated, _flipped])
def test_damage_falls_back_to_the_one_before(saved, harm, where, capsys):
  folder, variables = saved
  path = folder / "last.npz"
  path.write_bytes(harm(path.read_bytes(), where))
  progress, _ = checkpoint.load(folder, variables)
  assert progress == {"step": 1} and variables["w"].numpy().max() == 1
  line, = capsys.readouterr().err.splitlines()
  assert line.startswith(f"note: {path} is damaged (")
  assert line.endswith("; continuing from the one before it")
  # The damaged one does not become the one before.
  assert os.listdir(folder) == ["last.npz"]
  assert checkpoint.load(folder, variables)[0] == {"step": 1}


def test_killed_between_two_names(saved):
  folder, variables = saved
  os.replace(folder / "last.npz", folder / "previous.npz")
  assert checkpoint.exists(folder)
  assert checkpoint.load(folder, variables)[0] == {"step": 2}


def test_both_are_damaged(saved):
  folder, variables = saved
  for name in ("last.npz", "previous.npz"):
    (folder / name).write_bytes(b"")
  with pytest.raises(UserError, match="last.npz is damaged.*previous.npz is "
                     "damaged.*overwrite begins the run anew"):
    checkpoint.load(folder, variables)
  assert not variables["w"].numpy().any()


def test_a_checkpoint_of_an_earlier_version(tmp_path):
  variables = {"w": keras.Variable(np.zeros(2))}
  np.savez(tmp_path / "last.npz", w=np.ones(2), **{
      "progress.json": np.frombuffer(b'{"step": 7}', np.uint8)})
  assert checkpoint.load(tmp_path, variables)[0] == {"step": 7}


def test_weights_that_are_not_finite_are_not_saved(saved):
  folder, variables = saved
  variables["w"].assign(np.full([4, 5], np.nan))
  with pytest.raises(FloatingPointError, match="w is not finite"):
    checkpoint.save(folder, variables, {"step": 3})
  assert checkpoint.load(folder, variables)[0] == {"step": 2}
