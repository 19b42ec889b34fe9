"""Claims of runs, and a study that three processes make, one of them killed."""

import json
import os
import subprocess
import sys
import time

from atcon_tf.studies import claims
from atcon_tf.studies import study_tables
from tests.conftest import ROOT

def _foreign(folder, name, age):
  """A claim of a process of another machine that was touched `age` s ago."""
  path = folder / name
  path.mkdir(parents=True)
  (path / "owner").write_text(json.dumps(["elsewhere", 1]))
  os.utime(path, (time.time() - age,) * 2)
  return path


def test_a_name_has_one_owner(tmp_path):
  with claims.Claims(tmp_path / "c") as one, claims.Claims(
      tmp_path / "c") as two:
    assert one.take("a") and not one.take("a") and not two.take("a")
    assert two.take("b") and not one.take("b")
    one.release("a")
    assert two.take("a")
  assert not (tmp_path / "c").exists()


def test_a_lease_expires_on_another_machine(tmp_path):
  _foreign(tmp_path, "old.0", 9)
  _foreign(tmp_path, "young.0", 1)
  with claims.Claims(tmp_path, lease=5) as own:
    assert own.take("old") and not own.take("young")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.0", "old.1",
                                                          "young.0"]
    own.release("old")
  assert [p.name for p in tmp_path.iterdir()] == ["young.0"]


def test_a_dead_process_of_this_machine_waits_for_no_lease(tmp_path):
  process = subprocess.Popen(["true"])
  process.wait()
  path = _foreign(tmp_path, "a.0", 0)
  (path / "owner").write_text(json.dumps([claims._here(), process.pid]))
  with claims.Claims(tmp_path) as own:
    assert own.take("a")


def test_who_was_stopped_for_too_long_hears_of_it(tmp_path):
  lost = []
  with claims.Claims(tmp_path, lease=0.5) as own:
    assert own.take("a")
    own.on_loss("a", lambda: lost.append("a"))
    before = (tmp_path / "a.0").stat().st_mtime
    time.sleep(0.3)
    assert (tmp_path / "a.0").stat().st_mtime > before and not lost
    (tmp_path / "a.1").mkdir()  # another one's
    time.sleep(0.3)
    assert lost == ["a"]
  assert (tmp_path / "a.1").exists()


def test_three_processes_make_twelve_runs_and_one_is_killed(tmp_path):
  done = subprocess.run(
      [sys.executable, "-m", "tests.studies.shared_study", tmp_path], cwd=ROOT,
      capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr[-3000:]
  begun = (tmp_path / "shared/runs/begun.txt").read_text().split()
  rows = study_tables.read(tmp_path / "shared/rows.json")["rows"]
  assert len(rows) == len(set(begun)) == 12
  # Only what the killed process had begun was begun again.
  assert len(begun) <= 13
  assert not (tmp_path / "shared/.rows.json.claims").exists()
  assert (tmp_path / "alone/rows.json").read_text() == (
      tmp_path / "shared/rows.json").read_text()
