"""What a system may lack: locks, letters of a terminal."""

import errno
import io
import sys

import pytest

from atcon_tf.config import cli
from atcon_tf.config import Config
from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.runs import run_folder


def test_without_fcntl_one_line_and_nothing_written(monkeypatch, tmp_path):
  monkeypatch.setattr(files, "fcntl", None)
  with pytest.raises(UserError, match="workdir=.*no fcntl; on Windows use WSL"):
    run_folder.Workdir(tmp_path / "run", Config())
  assert not (tmp_path / "run").exists()


def _failing(number):
  def flock(*_):
    raise OSError(number, "why")
  return flock


def test_a_file_system_without_locks_is_noted(monkeypatch, tmp_path, capsys):
  """NFS, Lustre and mounted cloud folders may have none."""
  monkeypatch.setattr(files.fcntl, "flock", _failing(errno.ENOLCK))
  run_folder.Workdir(tmp_path / "run", Config().resolve()).close()
  assert "run: its file system has no locks (why)" in capsys.readouterr().err
  monkeypatch.setattr(files.fcntl, "flock", _failing(errno.EWOULDBLOCK))
  with pytest.raises(UserError, match="another process uses this folder"):
    run_folder.Workdir(tmp_path / "run", Config().resolve())


def test_a_terminal_without_the_letters_of_a_name(monkeypatch):
  """As with LC_ALL=C, or PYTHONIOENCODING=ascii in a batch job."""
  out = io.TextIOWrapper(io.BytesIO(), "ascii")
  monkeypatch.setattr(sys, "stdout", out)
  cli.any_letters(out)
  print("class \u732b caf\xe9")
  out.flush()
  assert out.buffer.getvalue() == b"class \\u732b caf\\xe9\n"
