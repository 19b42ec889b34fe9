"""The short form of tools/bad_input_campaign.py."""

import pytest

pytest.importorskip("hypothesis")
pytest.importorskip("starlette")
from tools import bad_input_campaign
from tools import bad_inputs


def test_no_input_gives_a_traceback_a_file_or_a_program():
  table, wrong = bad_input_campaign.run(inputs=240)
  assert not wrong, "\n".join(wrong)
  assert set(table) == set(bad_inputs.KINDS)
  assert sum(counts["refused"] for counts in table.values()) > 80


def test_the_watch_sees_what_is_wrong(tmp_path, monkeypatch):
  """A reader that writes, one that never ends, and one that fails."""
  def kind(read):
    from hypothesis import strategies as st
    return lambda folder: (st.just(0), lambda value: folder, read)

  def waits(_):
    while True:
      pass

  monkeypatch.setattr(bad_inputs, "KINDS", {
      "writes": kind(lambda folder: (folder / "x").write_text("x")),
      "waits": kind(waits), "fails": kind(lambda _: 1 / 0)})
  _, wrong = bad_input_campaign.run(3, seconds=0.3)
  assert ["open" in wrong[0], "more than 0.3 s" in wrong[1],
          "ZeroDivisionError" in wrong[2]] == [True] * 3
