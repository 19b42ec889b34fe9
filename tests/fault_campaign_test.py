"""The short form of tools/fault_campaign.py."""

import os

import pytest

from tools import fault_campaign


@pytest.mark.skipif("ATCON_LONG_TESTS" not in os.environ,
                    reason="ATCON_LONG_TESTS is not set: runs that are killed "
                    "take a minute")
def test_a_kill_while_a_checkpoint_is_written_and_a_damaged_one(tmp_path):
  one = fault_campaign.run(tmp_path, kills=1, damaged=1)
  assert not one.wrong, "\n".join(one.wrong)
  outcomes = {what: outcome for what, times, outcome in one.rows if times}
  assert outcomes == {
      "SIGKILL while a checkpoint is written":
          "1 of 1 runs end as the uninterrupted",
      "newest checkpoint cut or with a flipped bit":
          "1 say so in a line, and end as the uninterrupted"}
