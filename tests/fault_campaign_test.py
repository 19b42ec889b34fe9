"""The short form of tools/fault_campaign.py."""

import functools
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tools import fault_campaign


@pytest.mark.parametrize("number, seconds, said, status", [
    (3, 0, "12", -signal.SIGKILL), (1, 0.05, "1", -signal.SIGKILL),
    (4, 0, "123", 0)])
def test_the_call_that_kills(number, seconds, said, status):
  """A kill comes before the work of its call, or within it."""
  done = subprocess.run([sys.executable, "-c", f"""
import time
from tools import kill_points
import tabnanny
tabnanny.check = lambda i: (print(i, end="", flush=True), time.sleep({seconds}))
kill_points.kill_at("tabnanny:check", {number}, {seconds} / 5)
for i in (1, 2, 3):
  tabnanny.check(i)
"""], capture_output=True, text=True, cwd=ROOT)
  assert (done.stdout, done.returncode) == (said, status), done.stderr


def test_what_ends_otherwise_is_wrong_and_made_again(tmp_path):
  one = fault_campaign.Campaign(tmp_path)
  assert one.is_killed("x", -signal.SIGKILL) and not one.wrong
  made = []

  def make(what, times, outcome):
    made.append(what)
    if not outcome:
      one.is_killed(what, times)
    return outcome

  for outcome in ("", "right"):
    one = fault_campaign.Campaign(tmp_path)
    one.row("good", 2, functools.partial(make, outcome="right"))
    one.row("bad", 1, functools.partial(make, outcome=outcome))
    assert bool(one.wrong) == (outcome == "")
    assert one.rows == {"good": (2, "right"), "bad": (1, outcome or "FAILS")}
  assert made == ["good", "bad", "bad"]


@pytest.mark.skipif("ATCON_LONG_TESTS" not in os.environ,
                    reason="ATCON_LONG_TESTS is not set: runs that are killed "
                    "take a minute")
def test_kills_and_a_damaged_checkpoint(tmp_path):
  one = fault_campaign.run(tmp_path, kills=1, damaged=1, prepared=2)
  assert not one.wrong, "\n".join(one.wrong)
  outcomes = {what: outcome.partition(";")[0]
              for what, (_, outcome) in one.rows.items()}
  assert outcomes.pop("SIGKILL while data are prepared").startswith("330 JPEG")
  assert outcomes == {
      "SIGKILL while a checkpoint is written":
          "1 of 1 runs end as the uninterrupted",
      "newest checkpoint cut or with a flipped bit":
          "1 say so in a line, and end as the uninterrupted"}
