"""The study: resumed, paired, a failed run named; its table by hand."""

import json
import subprocess
import sys

import pytest

from atcon_tf.config import UserError
from tools import study
from tools import study_report

GRID = {"flags": ["--dataset=shapes", "--image_size=32", "--steps=1",
                  "--eval_every=1", "--bootstrap=0", "--summary_images=0",
                  "--unlabeled=8"],
        "arms": {"supervised": ["--objective=supervised"],
                 "broken": ["--objective=supervised", "--classes=hexagon"]},
        "baseline": "supervised", "shots": [1], "seeds": [3],
        "endpoint_shots": [1]}


def _row(arm, shots, seed, score):
  return {"arm": arm, "shots": shots, "seed": seed, "seconds": 10,
          "test": {m: score for m in (*study_report.SHOWN,
                                      *study_report.TRIVIAL)}}


def _grid(**changes):
  return {**GRID, "arms": {"base": [], "new": []}, "baseline": "base",
          "shots": [2, 4], "seeds": [0, 1], "endpoint_shots": [2, 4],
          **changes}


def test_differences_are_paired_by_seed_within_shots():
  rows = [_row("base", 2, 0, .50), _row("new", 2, 0, .53),
          _row("base", 2, 1, .40), _row("new", 2, 1, .45),
          _row("base", 4, 0, .60), _row("new", 4, 0, .61),
          _row("base", 4, 1, .70), _row("new", 4, 1, .71),
          _row("new", 4, 7, .99)]  # no partner: not counted
  differences, strata = study_report.paired(rows, "new", "base", [2, 4],
                                            "map_macro")
  assert differences == pytest.approx([3, 5, 1, 1])
  assert strata == [2, 2, 4, 4]
  outcome = study_report.test(rows, "new", _grid(), "map_macro")
  # The mean of (3 + 5) / 2 and (1 + 1) / 2.
  assert outcome["difference"] == pytest.approx(2.5)
  text = study_report.table(_grid(), rows)
  assert "+2.5 [" in text and "| base | 55.0 |" in text


def test_one_seed_gives_no_interval():
  rows = [_row(a, k, 0, .5) for a in ("base", "new") for k in (2, 4)]
  assert study_report.test(rows, "new", _grid(), "map_macro") is None
  assert "| new | - |" in study_report.table(_grid(), rows)


def test_a_study_resumes_and_names_what_failed(tmp_path):
  grid, out = tmp_path / "grid.json", tmp_path / "rows.json"
  grid.write_text(json.dumps(GRID))
  command = [sys.executable, "tools/study.py", f"--grid={grid}",
             f"--out={out}", f"--folder={tmp_path / 'W'}"]
  done = subprocess.run(command, capture_output=True, text=True,
                        cwd=study.ROOT)
  assert done.returncode == 2
  assert "1 runs failed" in done.stderr and "broken_1shot_seed3.log" in (
      done.stderr)
  rows = json.loads(out.read_text())["rows"]
  assert [(r["arm"], r["shots"], r["seed"]) for r in rows] == [
      ("supervised", 1, 3)]
  assert out.with_suffix(".md").exists() and out.with_suffix(".png").exists()
  again = study.Study(GRID, out, tmp_path / "W", [])
  assert again.missing() == [("broken", 1, 3)]


def test_a_grid_that_is_none(tmp_path):
  path = tmp_path / "grid.json"
  path.write_text("{}")
  with pytest.raises(UserError, match="has no 'flags'"):
    study.read_grid(path)


def test_the_table_goes_between_the_marks(tmp_path):
  out, readme = tmp_path / "rows.json", tmp_path / "README.md"
  rows = [_row(a, k, s, .5) for a in ("base", "new") for k in (2, 4)
          for s in (0, 1)]
  out.write_text(json.dumps({"grid": _grid(), "rows": rows}))
  readme.write_text("before\n<!-- study -->\nold\n<!-- /study -->\nafter\n")
  study_report.render(out, readme)
  text = readme.read_text()
  assert text.startswith("before\n<!-- study -->\n")
  assert text.endswith("<!-- /study -->\nafter\n") and "old" not in text


def test_the_shipped_grids_are_grids():
  for path in (study.ROOT / "tools" / "grids").glob("*.json"):
    grid = study.read_grid(path)
    assert study.cells(grid)
