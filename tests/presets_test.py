"""Every preset in flags/ is a valid run, and says what it is."""

import pathlib

from absl import flags
import pytest

from atcon_tf.config import define_flags
from atcon_tf.config import from_flags
from atcon_tf.config import presets
from atcon_tf.config import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]
PRESETS = sorted((ROOT / "flags").glob("*.flags"))


def _parse(monkeypatch, *arguments):
  monkeypatch.chdir(ROOT)
  values = flags.FlagValues()
  define_flags(values)
  rest = values(["train", *arguments])
  assert rest == ["train"], rest
  return from_flags(values)


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.name)
def test_preset_is_a_valid_run_and_begins_with_a_comment(path, monkeypatch):
  lines = path.read_text().splitlines()
  assert lines[0].startswith("# ") and lines[1].startswith("#")
  assert any(f"--flagfile=flags/{path.name}" in line for line in lines
             if line.startswith("#")), "the command that runs it is missing"
  assert any(line.startswith("# Result: ") for line in lines)
  for line in lines:
    assert line.startswith(("#", "--")) and line == line.strip()
  resolved = _parse(monkeypatch, f"--flagfile=flags/{path.name}")
  # The flags.txt of such a run repeats it.
  assert _parse(monkeypatch, *resolved.to_flags().split()) == resolved


def test_a_preset_builds_on_another_and_a_later_flag_wins(monkeypatch):
  base = _parse(monkeypatch, "--flagfile=flags/voc_8shot.flags")
  assert (base.dataset, base.objective) == ("voc", "atcon")
  baseline = _parse(monkeypatch,
                    "--flagfile=flags/voc_8shot_supervised.flags")
  assert (baseline.dataset, baseline.shots, baseline.objective) == (
      "voc", 8, "supervised")
  assert _parse(monkeypatch, "--flagfile=flags/voc_8shot_supervised.flags",
                "--shots=4").shots == 4


def test_what_a_pair_shares(monkeypatch):
  """A baseline differs from its other run in nothing but the objective."""
  for first, second in [("shapes_atcon", "shapes_supervised"),
                        ("voc_8shot", "voc_8shot_supervised"),
                        ("voc_8shot_gain", "voc_8shot_supervised"),
                        ("voc_8shot_gain_ext", "voc_8shot_supervised")]:
    a, b = (_parse(monkeypatch, f"--flagfile=flags/{name}.flags")
            for name in (first, second))
    for name in ("dataset", "shots", "seed", "split_seed", "model", "weights",
                 "image_size", "steps", "batch_size", "learning_rate",
                 "head_learning_rate", "augment", "eval_every"):
      assert getattr(a, name) == getattr(b, name), name


def _parsed(arguments):
  """The Config of arguments that absl itself has read."""
  values = flags.FlagValues()
  define_flags(values)
  assert values(["train", *arguments]) == ["train"]
  return from_flags(values)


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.name)
def test_a_preset_is_found_from_another_folder(path, monkeypatch, tmp_path):
  """And it is the same run as absl reads from the clone."""
  line = f"--flagfile=flags/{path.name}"
  from_the_clone = _parse(monkeypatch, line)
  monkeypatch.chdir(tmp_path)
  assert _parsed(presets.expand([line])) == from_the_clone


def test_a_flag_file_of_the_users_own_comes_first(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "flags").mkdir()
  (tmp_path / "more.flags").write_text("--seed=1")
  (tmp_path / "flags/voc_8shot.flags").write_text(
      "# mine\n\n// and this\n--flagfile=more.flags\n  --shots=3\n")
  assert presets.expand(["--a", "--flagfile=flags/voc_8shot.flags", "--b",
                         "--", "--flagfile=x"]) == [
      "--a", "--seed=1", "--shots=3", "--b", "--", "--flagfile=x"]
  assert presets.expand(["--flagfile", "more.flags"]) == ["--seed=1"]


def test_a_flag_file_that_is_none(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match="flagfile='flags/typo.flags': no such "
                     f"file; the presets lie in {presets.FOLDER}"):
    presets.expand(["--flagfile=flags/typo.flags"])
  (tmp_path / "loop.flags").write_text("--flagfile=loop.flags")
  with pytest.raises(UserError, match="flagfile='loop.flags': names itself"):
    presets.expand(["--flagfile=loop.flags"])
