"""How far the work is, and what TensorFlow may say before it."""

import os
import sys

import pytest

from atcon_tf.config import progress
from atcon_tf.config import quiet
from atcon_tf.config.progress import Progress


@pytest.mark.parametrize("seconds, text", [
    (3, "about 10 seconds"), (44, "about 40 seconds"), (94, "about 90 seconds"),
    (200, "about 3 minutes"), (3600, "about 60 minutes"),
    (9000, "about 2.5 hours")])
def test_a_time_in_words(seconds, text):
  assert progress.about(seconds) == text


def _run(capfd, durations, **options):
  """The lines of work whose units take these seconds."""
  now = 0.0
  bar = Progress(len(durations), "images", clock=lambda: now, **options)
  for seconds in durations:
    now += seconds
    bar.add()
  out, error = capfd.readouterr()
  assert not error and "\x1b" not in out and "\r" not in out
  return out.splitlines()


def test_a_log_file_gets_few_plain_lines(capfd):
  """The first unit, which compiles, takes 100 s, and each other one 1 s."""
  lines = _run(capfd, [100] + 199 * [1])
  assert lines == [f"{done} of 200 images, {left} left" for done, left in [
      (11, "about 3 minutes"), (71, "about 2 minutes"),
      (131, "about 70 seconds"), (191, "about 10 seconds")]]


def test_what_follows_is_said(capfd):
  assert _run(capfd, 20 * [1], then="9 images are scored")[0].endswith(
      " left, then 9 images are scored")


def test_a_long_log_stays_readable(capfd):
  assert len(_run(capfd, 100_000 * [5])) < 120


def test_quick_or_silent_work_says_nothing(capfd):
  assert _run(capfd, 20 * [0.4]) == []
  assert _run(capfd, 50 * [5], shown=False) == []


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch, capsys):
  monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
  bar = Progress(4, "images", done=1, then="a score")
  bar.add()
  bar.close()
  out, error = capsys.readouterr()
  assert not out and "2/4" in error and "then a score" in error
  assert "<" in error  # [elapsed<left]


NOISE = b"""\
WARNING: All log messages before absl::InitializeLog() is called are written
I0000 00:00:1796012718.558779    6531 port.cc:153] oneDNN custom operations
"""
NO_GPU = b"E0000 00:00:1.1 1 cuda_platform.cc:52] failed call to cuInit: 303\n"
MATTERS = b"W0000 00:00:1.1 1 gpu_device.cc] Cannot dlopen some GPU libraries\n"


def test_only_what_matters_is_left(monkeypatch, tmp_path):
  assert quiet.matters(NOISE + MATTERS) == MATTERS
  monkeypatch.setattr(quiet, "_DRIVER", str(tmp_path / "none"))
  assert quiet.matters(NO_GPU) == b""
  monkeypatch.setattr(quiet, "_DRIVER", str(tmp_path))  # a GPU that is broken
  assert quiet.matters(NO_GPU) == NO_GPU


def test_a_failing_import_keeps_its_reasons(monkeypatch, capfd):
  monkeypatch.delitem(sys.modules, "tensorflow")
  monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
  with pytest.raises(ImportError), quiet.loading():
    os.write(2, NOISE + MATTERS)
    raise ImportError
  assert capfd.readouterr().err.encode() == MATTERS
  os.write(2, b"as before")
  assert capfd.readouterr().err == "as before"
