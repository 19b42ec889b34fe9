"""The study: resumed, paired, a failed run named; its table by hand."""

import json
import subprocess
import sys

import pytest

from atcon_tf.config import config_flags
from atcon_tf.config import UserError
from atcon_tf.studies import study_grid
from atcon_tf.studies import study
from atcon_tf.studies import study_figures
from atcon_tf.studies import study_tables
from tests.conftest import ROOT

GRID = {"flags": ["--dataset=shapes", "--image_size=32", "--steps=1",
                  "--eval_every=1", "--bootstrap=0", "--summary_images=0",
                  "--unlabeled=8"],
        "arms": {"supervised": ["--objective=supervised"],
                 "broken": ["--objective=supervised", "--classes=hexagon"]},
        "baseline": "supervised", "shots": [1], "seeds": [3],
        "endpoint_shots": [1]}


FLAGS = {"base": ["--objective=supervised"], "new": ["--objective=atcon"]}


def _row(arm, shots, seed, score):
  return {"arm": arm, "shots": shots, "seed": seed, "seconds": 90,
          "flags": FLAGS[arm], "peak_gib": 2.5,
          "test": {m: score for m in (*study_tables.SHOWN,
                                      *study_figures.TRIVIAL.values())}}


def _grid(**changes):
  return {**GRID, "flags": [], "arms": FLAGS, "baseline": "base",
          "shots": [2, 4], "seeds": [0, 1], "endpoint_shots": [2, 4],
          **changes}


ROWS = [_row("base", 2, 0, .50), _row("new", 2, 0, .53),
        _row("base", 2, 1, .40), _row("new", 2, 1, .45),
        _row("base", 4, 0, .60), _row("new", 4, 0, .61),
        _row("base", 4, 1, .70), _row("new", 4, 1, .71)]


def test_differences_are_paired_by_seed_within_shots():
  rows = [*ROWS, _row("new", 4, 7, .99)]  # no partner: not counted
  differences = study_tables.paired(rows, "new", "base", [2, 4], "map_macro")
  assert list(differences) == [0, 1]
  assert differences[0] == pytest.approx([3, 1])
  assert differences[1] == pytest.approx([5, 1])
  outcome = study_tables.test(rows, "new", "base", [2, 4], "map_macro")
  # The mean of the seeds' (3 + 1) / 2 and (5 + 1) / 2.
  assert outcome["difference"] == pytest.approx(2.5)


def study_table_lines(rows):
  return study_tables.study_table(_grid(), rows).splitlines()


def test_the_table_says_what_helps():
  text = study_tables.study_table(_grid(), ROWS)
  assert text.startswith("8 runs, seeds 0, 1. ")
  # The seeds' means are 2 and 3: 2.5 +- t(1) 0.5 = 2.5 +- 3.16, and
  # p = 1 - 2 / pi atan(2.5 / 0.5) = .126; F1 at 0.5 has no p.
  row = next(l for l in text.splitlines() if l.startswith("| new |"))
  cells = [c.strip() for c in row.split("|")[2:-1]]
  assert cells[0] == "+2.5 [-0.7, +5.7] p 0.13"
  assert cells[4] == "+2.5 [-0.7, +5.7]"
  assert cells[-2:] == ["1.5", "2.5"]
  # Every pair the same: the interval is a point, and leaves out 0.
  same = [_row(a, k, s, .4 + .1 * s + (.03 if a == "new" else 0))
          for a in FLAGS for k in (2, 4) for s in (0, 1)]
  text = study_tables.study_table(_grid(), same)
  assert "| ▲ +3.0 [+3.0, +3.0] p < 0.001 |" in text
  assert "| base, points | 45.0 |" in text
  trivial = next(l for l in text.splitlines() if l.startswith("| centred"))
  assert [c.strip() for c in trivial.split("|")[2:6]] == ["", "", "45.0",
                                                          "45.0"]
  tiny = [{**r, "test": {m: v + (.0003 if r["arm"] == "new" else 0)
                         for m, v in r["test"].items()}}
          for r in [_row(a, k, s, .4 + .1 * s) for a in FLAGS
                    for k in (2, 4) for s in (0, 1)]]
  row = next(l for l in study_table_lines(tiny) if l.startswith("| new |"))
  assert row.startswith("| new | equal [+0.0, +0.0] | ") and "p " not in row
  worse = [{**r, "arm": {"base": "new", "new": "base"}[r["arm"]]}
           for r in same]
  text = study_tables.study_table(_grid(), worse)
  assert "▼ -3.0 [-3.0, -3.0]" in text and "**-" not in text


def test_no_shots_are_all_images():
  text = study_tables.study_table(_grid(shots=[0], endpoint_shots=[0]),
                                  [{**r, "shots": 0} for r in ROWS[:4]])
  assert "Points on test, all labelled images a class" in text
  assert "| all a class |" in text


def test_half_a_study_says_so():
  rows = [r for r in ROWS if r["seed"] == 0]
  assert study_tables.test(rows, "new", "base", [2, 4], "map_macro") is None
  text = study_tables.study_table(_grid(), rows)
  assert text.startswith("**Incomplete: 4 of 8 runs**")
  # One seed: a difference without interval, and the row names the seed.
  new, base = (next(l for l in text.splitlines() if l.startswith(start))
               for start in ("| new |", "| base, points |"))
  assert new.startswith("| new | +2.0 |") and "[" not in new
  assert new.endswith("| 0 | 1.5 | 2.5 |")
  assert base.startswith("| base, points | 55.0 |")
  assert base.endswith("| 0 | 1.5 | 2.5 |") and "unequal" not in text


def test_a_study_of_unequal_seeds_says_which_each_arm_has():
  rows = [r for r in ROWS if (r["arm"], r["shots"], r["seed"]) not in (
      ("base", 4, 1), ("new", 2, 0))]
  text = study_tables.study_table(_grid(), rows)
  lines = text.splitlines()
  # No seed has both arms at both shots; the means of what is there remain.
  assert any(l.startswith("| new | - |") and "| none |" in l for l in lines)
  assert any(l.startswith("| base, points | 55.0 |") for l in lines)
  assert "- base: 0, 1 at 2; 0 at 4" in lines
  assert "- new: 1 at 2; 0, 1 at 4" in lines
  assert any(l.startswith("| new | 45.0 / ") and l.count("(") == 2
             for l in lines)


def test_an_arm_is_compared_with_its_controls_too():
  grid = _grid(arms={**FLAGS, "longer": ["--steps=9"]},
               controls={"new": ["longer"]})
  rows = ROWS + [{**r, "arm": "longer", "test": {
      m: v - .02 for m, v in r["test"].items()}}
                 for r in ROWS if r["arm"] == "new"]
  text = study_tables.study_table(grid, rows)
  assert "| new over longer | ▲ +2.0 [+2.0, +2.0]" in text
  assert "- longer: `--steps=9`" in text
  # An arm without any run is left out, and so is what needs it.
  assert "longer" not in study_tables.study_table(grid, ROWS)


def test_rows_outside_the_grid_do_not_count(tmp_path):
  out = tmp_path / "rows.json"
  out.write_text(json.dumps({"grid": _grid(), "rows": [
      *ROWS, _row("base", 2, 9, 0.), _row("new", 2, 9, 0.)]}))
  study_tables.render(out)
  text = out.with_suffix(".md").read_text()
  assert text.startswith("8 runs") and "| base, points | 55.0 |" in text


def test_an_ablation_compares_with_what_is_varied():
  grid = _grid(arms={**FLAGS, "newer": [], "newest": []},
               variants={"new": ["newer", "newest"]})
  rows = ROWS + [{**r, "arm": arm, "test": {
      m: v + more for m, v in r["test"].items()}}
                 for arm, more in (("newer", .02), ("newest", .01))
                 for r in ROWS if r["arm"] == "new"]
  text = study_tables.ablation(grid, rows)
  assert "| new over base | +2.5 [" in text
  assert "| newer over new | ▲ **+2.0** [+2.0, +2.0]" in text
  assert "| newest over new | ▲ +1.0 [+1.0, +1.0]" in text
  # What has no row yet is left out, and an arm has no difference to itself.
  grid["variants"] = {"new": ["newer", "never"], "base": ["longer"],
                      "never": ["new"]}
  grid["arms"] |= {"never": [], "longer": []}
  text = study_tables.ablation(grid, rows)
  assert "## new" in text and "never" not in text and "## base" not in text
  grid["variants"] = {"base": ["new"]}
  text = study_tables.ablation(grid, rows)
  assert "base over base" not in text and "new over base" in text
  for drawn in study_tables.gains(grid, rows).values():
    assert set(drawn) == {"new over base"}


def test_rows_of_other_flags_are_refused(tmp_path):
  out = tmp_path / "rows.json"
  out.write_text(json.dumps({"grid": _grid(), "rows": ROWS}))
  study.Study(_grid(), out, tmp_path, [])
  with pytest.raises(UserError, match="base_2shot_seed0 was made with obj"):
    study.Study(_grid(flags=["--steps=9"]), out, tmp_path, [])


def test_a_study_resumes_and_names_what_failed(tmp_path):
  grid, out = tmp_path / "grid.json", tmp_path / "rows.json"
  grid.write_text(json.dumps(GRID))
  command = [sys.executable, "-m", "atcon_tf.study", f"--grid={grid}",
             f"--out={out}", f"--folder={tmp_path / 'W'}"]
  done = subprocess.run(command, capture_output=True, text=True,
                        cwd=ROOT)
  assert done.returncode == 2
  line, = done.stderr.splitlines()  # and no other
  assert "1 runs failed" in line and "broken_1shot_seed3.log" in line
  rows = json.loads(out.read_text())["rows"]
  assert [(r["arm"], r["shots"], r["seed"]) for r in rows] == [
      ("supervised", 1, 3)]
  assert rows[0]["peak_gib"] > .1
  assert "**Incomplete: 1 of 2 runs**" in out.with_suffix(".md").read_text()
  again = study.Study(GRID, out, tmp_path / "W", [])
  assert again.missing() == [("broken", 1, 3)]


def test_a_finished_folder_of_other_settings_is_refused(tmp_path):
  cell = "supervised", 1, 3
  made = study.Study(GRID, tmp_path / "rows.json", tmp_path, [])
  run = tmp_path / study_grid.name_of(cell)
  run.mkdir()
  settings = config_flags.parse(study_grid.command(GRID, cell, tmp_path, []))
  stored = json.loads(settings.to_json())
  del stored["resize"]  # the run is older than this setting
  (run / "result.json").write_text(json.dumps({"config": stored}))
  made.check_ready([cell])
  made.extra = ["--learning_rate=0.5"]
  with pytest.raises(UserError, match="supervised_1shot_seed3 was made with "
                     "learning_rate="):
    made.check_ready([cell])


def test_a_grid_that_is_none(tmp_path):
  path = tmp_path / "grid.json"
  path.write_text("{}")
  with pytest.raises(UserError, match="has no 'flags'"):
    study_grid.read_grid(path)
  for changes, message in [
      (dict(variants={"new": ["newer"]}), "'newer' in variants of 'new' is"),
      (dict(other_seeds=[7]), "'other_seeds' must be a list of some of the")]:
    path.write_text(json.dumps(_grid(**changes)))
    with pytest.raises(UserError, match=message):
      study_grid.read_grid(path)


@pytest.mark.parametrize("arm", ["--objective=atcon", ["objective=atcon"]])
def test_an_arm_that_is_not_a_list_of_flags(arm, tmp_path):
  path = tmp_path / "grid.json"
  path.write_text(json.dumps(_grid(arms={"base": [], "new": arm})))
  with pytest.raises(UserError, match="'new' must be a list of flags"):
    study_grid.read_grid(path)


@pytest.mark.parametrize("extra, message", [
    ("flags/studies/voc_ablation.json", "ablation.json': not a flag"),
    ("--data_dri=x", "Unknown command line flag 'data_dri'"),
    ("--seed=4", "seed=4: the grid sets it for each run"),
    ("--shots=0", "shots=0: the grid sets it for each run")])
def test_what_goes_to_every_run_is_looked_at_first(extra, message, tmp_path):
  made = study.Study(GRID, tmp_path / "rows.json", tmp_path / "W", [extra])
  with pytest.raises(UserError, match=message):
    made.run(1, False)
  assert not (tmp_path / "W").exists()


def test_rows_that_came_meanwhile_are_seen(tmp_path):
  made = study.Study(_grid(), tmp_path / "rows.json", tmp_path, [])
  (tmp_path / "rows.json").write_text(json.dumps({"grid": _grid(),
                                                  "rows": ROWS}))
  assert made.run(1, False) == [] and made.rows == ROWS


def test_nothing_to_render(tmp_path):
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.study", "--render_only",
       f"--out={tmp_path / 'typo.json'}"], capture_output=True, text=True,
      cwd=ROOT)
  assert done.returncode == 2 and "typo.json: no rows" in done.stderr


def test_runs_that_share_a_process():
  cells = study_grid.cells(_grid())
  assert study_grid.together(_grid(), cells)[0] == [("base", 2, 0),
                                                    ("base", 4, 0)]
  one = _grid(shots=[2], endpoint_shots=[2])
  assert study_grid.together(one, study_grid.cells(one))[0] == [
      ("base", 2, 0), ("base", 2, 1)]


def test_shots_that_are_no_endpoint_can_have_fewer_seeds():
  grid = _grid(shots=[1, 2, 4], other_seeds=[1],
               fewer={"new": {"shots": [2], "seeds": [0]}})
  assert study_grid.cells(grid) == [
      ("base", 2, 0), ("new", 2, 0), ("base", 4, 0), ("base", 2, 1),
      ("base", 4, 1), ("base", 1, 1)]


def test_curves_of_data_without_boxes_and_of_all_images():
  rows = [{**r, "test": {m: r["test"][m] for m in ("f1_macro", "map_macro")}}
          for r in ROWS]
  rows = [{**r, "seed": r["seed"] + more, "shots": r["shots"] % 4}
          for r in rows for more in (0, 2)]  # four seeds; 4 becomes "all"
  axes = study_figures.by_shots(_grid(shots=[2, 0], seeds=[0, 1, 2, 3]),
                                rows).axes
  assert [a.get_title() for a in axes] == ["F1, macro, test",
                                           "mAP, macro, test", "", ""]
  upper, lower = axes[0], axes[2]
  assert [t.get_text() for t in lower.get_xticklabels()] == ["2", "all"]
  # At log2(2), and one doubling on.
  assert upper.lines[0].get_xdata().tolist() == [1, 2]
  assert len(upper.figure.legends[0].get_texts()) == 2


def test_curves_of_unequal_seeds():
  """Arms are drawn where they are: one seed as an open marker."""
  rows = [r for r in ROWS if r["arm"] == "base" or r["shots"] == 2
          or r["seed"] == 0]
  grid = _grid(shots=[1, 2, 4])
  axes = study_figures.by_shots(grid, rows).axes
  upper, lower = axes[0], axes[len(axes) // 2]
  assert [t.get_text() for t in axes[0].figure.legends[0].get_texts()][:2] == [
      "base (2 seeds)", "new (1 to 2 seeds)"]
  curves = [l for l in upper.lines if l.get_linestyle() == "-"]
  assert [l.get_ydata().tolist() for l in curves] == [
      pytest.approx([45, 65]), pytest.approx([49, 61])]
  opened, = [l for l in upper.lines if l.get_markerfacecolor() == "white"]
  assert opened.get_xdata().tolist() == [2]
  # A gain of two seeds has an interval, that of one an open marker.
  assert len(lower.containers) == 1
  assert [l.get_ydata().tolist() for l in lower.lines
          if l.get_markerfacecolor() == "white"] == [pytest.approx([1])]
  # The shots without a run have no place.
  assert [t.get_text() for t in lower.get_xticklabels()] == ["2", "4"]
  # A baseline alone has no gains, and no empty half.
  alone = study_figures.by_shots(grid, [r for r in rows
                                        if r["arm"] == "base"])
  assert all(a.lines for a in alone.axes) and len(alone.axes) == len(axes) // 2


def test_nothing_to_draw_is_said(tmp_path):
  out = tmp_path / "rows.json"
  out.with_suffix(".png").write_bytes(b"of other rows")
  out.write_text(json.dumps({"grid": _grid(), "rows": [
      {**r, "test": {"f1_macro_at_half": .5}} for r in ROWS]}))
  assert study_tables.render(out) == [out.with_suffix(".md")]
  assert "No figure" in out.with_suffix(".md").read_text()
  assert not out.with_suffix(".png").exists()


def test_the_page_names_the_code_that_made_the_runs(tmp_path):
  out = tmp_path / "rows.json"
  rows = [{**r, "commit": "abc-dirty" if r["seed"] else "abd"} for r in ROWS]
  out.write_text(json.dumps({"grid": _grid(), "rows": rows[1:]}))
  study_tables.render(out)
  assert ("Made by commit abc with changes (4 runs), abd (3 runs)."
          in out.with_suffix(".md").read_text())


def test_the_table_goes_between_the_marks(tmp_path):
  out, readme = tmp_path / "rows.json", tmp_path / "README.md"
  out.write_text(json.dumps({"grid": _grid(), "rows": ROWS}))
  readme.write_text("before\n<!-- study -->\nstale\n<!-- /study -->\nafter\n")
  for path in study_tables.render(out, readme):
    assert path.stat().st_size
  text = readme.read_text()
  assert text.startswith("before\n<!-- study -->\n")
  assert text.endswith("<!-- /study -->\nafter\n") and "stale" not in text
  readme.write_text("no marks")
  with pytest.raises(UserError, match="has no <!-- study --> ... <!-- /st"):
    study_tables.render(out, readme)
  assert readme.read_text() == "no marks"


def test_the_shipped_grids_are_grids():
  for path in (ROOT / "flags" / "studies").glob("*.json"):
    grid = study_grid.read_grid(path)
    cells = study_grid.cells(grid)
    assert cells
    study.Study(grid, "none.json", "W", ["--data_dir=x"]).check_flags(cells)
