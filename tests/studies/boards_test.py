"""Leaderboards of several seeds: means and paired differences by hand."""

import json
import subprocess
import sys

import pytest

from atcon_tf.config import UserError
from tools import boards


def _board(tame, cam, pairs=8):
  row = {"pairs": pairs, "images_a_second": 10., "forward_passes": 1}
  return {"pairs": pairs, "methods": {
      "grad_cam": {**row, "average_drop": cam, "pointing_game": .5},
      "tame": {**row, "average_drop": tame, "pointing_game": .5},
      "rise": {**row, "pairs": 4, "forward_passes": 501,
               "average_drop": 20.}}}


BOARDS = [_board(10., 14.), _board(12., 18.)]


def test_differences_are_paired():
  combined = boards.combine(BOARDS, "grad_cam")
  cell = combined["methods"]["tame"]["average_drop"]
  assert cell["mean"] == 11
  # -4 and -6: -5 +- t(1; .95) * sqrt(2 / 2) = -5 +- 6.314.
  assert cell["difference"] == -5
  assert cell["interval"] == pytest.approx([-11.314, 1.314], abs=1e-3)
  # Other images: nothing to compare.
  assert combined["methods"]["rise"]["average_drop"] == {"mean": 20}


def test_less_of_a_drop_is_better():
  better = [_board(10., 14.), _board(10.1, 14.)]
  text = boards.table(boards.combine(better, "grad_cam"))
  row = next(l for l in text.splitlines() if l.startswith("| tame"))
  assert "| ▲ 10.1 (-3.95 [" in row and "| 0.5 (+0 [+0, +0]) |" in row
  worse = [_board(14., 10.), _board(14., 10.1)]
  assert "| ▼ 14 (" in boards.table(boards.combine(worse, "grad_cam"))
  assert "average drop ↓ | pointing game ↑" in text


def _write(tmp_path, contents):
  paths = []
  for i, content in enumerate(contents):
    paths.append(tmp_path / f"{i}.json")
    paths[-1].write_text(json.dumps(content))
  return [str(p) for p in paths]


@pytest.mark.parametrize("contents, message", [
    ([BOARDS[0]], "two or more"),
    ([BOARDS[0], {"rows": []}], "not a leaderboard"),
    ([{**BOARDS[0], "about": "val"}, {**BOARDS[1], "about": "test"}],
     "not of the same about: test / val"),
    ([BOARDS[0], _board(1., 2., pairs=9)], "the same number")])
def test_what_is_refused(contents, message, tmp_path):
  with pytest.raises(UserError, match=message):
    boards.read(_write(tmp_path, contents))
  with pytest.raises(UserError, match="over='lime': must be one of grad_cam"):
    boards.combine(BOARDS, "lime")


def test_one_board_is_not_two_seeds(tmp_path):
  path = _write(tmp_path, BOARDS[:1])[0]
  with pytest.raises(UserError, match="one of them is there twice"):
    boards.read([path, f"{tmp_path}/./0.json"])


def test_a_score_that_the_other_method_lacks_has_no_difference():
  more = [{"pairs": 8, "methods": {"l_cam": {
      **b["methods"]["tame"], "insertion": .5}}} for b in BOARDS]
  combined = boards.combine(boards.merge([BOARDS, more]), "grad_cam")
  assert combined["methods"]["l_cam"]["insertion"] == {"mean": .5}


def test_a_second_list_adds_methods():
  more = [{"pairs": 8, "methods": {"l_cam": b["methods"]["tame"]}}
          for b in BOARDS]
  merged = boards.merge([BOARDS, more])
  assert list(merged[1]["methods"]) == ["grad_cam", "tame", "rise", "l_cam"]
  assert "l_cam" not in BOARDS[1]["methods"]
  with pytest.raises(UserError, match="grad_cam is in two lists"):
    boards.merge([BOARDS, BOARDS])
  with pytest.raises(UserError, match="the same number of boards"):
    boards.merge([BOARDS, more[:1]])


def test_the_command_writes_json_and_page(tmp_path):
  page = tmp_path / "page.md"
  page.write_text("a\n<!-- boards -->\nold\n<!-- /boards -->\nb\n")
  done = subprocess.run(
      [sys.executable, "-m", "tools.boards",
       f"--boards={','.join(_write(tmp_path, BOARDS))}",
       f"--out={tmp_path / 'out.json'}", f"--page={page}"],
      capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert json.loads((tmp_path / "out.json").read_text())["boards"] == 2
  text = page.read_text()
  assert "old" not in text and "| tame |" in text
  assert text.startswith("a\n") and text.endswith("b\n")
