"""Imports, BUILD and the table of levels say the same.

The rules: a file imports files of its own level or below, and no import leads
back to where it started; nobody imports a command; TensorFlow stays out of
what is pure; flags are known to the settings and the commands alone. Where a
test here fails after a new file or import: put the file into LEVELS and run
`python tools/build_file.py`, or import less.
"""

import ast
import graphlib

import pytest

from tools import build_file

# Level by level, from the bottom: files and packages of atcon_tf.
LEVELS = (
    ("__init__", "cli", "config", "exif", "files", "maps",
     "objective_settings", "schedule", "settings", "splits"),
    ("backbones", "datasets", "fold", "geometry", "graph", "guided",
     "model_file", "models", "vit"),
    ("attribution", "augment", "pictures", "pipeline"),
    ("bank", "masks", "metrics", "objectives", "pairs", "run_data"),
    ("image_pairs", "optimizers", "plain", "plots", "prediction", "serving",
     "sheets", "summaries", "trainer"),
    ("compare_runs", "comparison", "comparison_figures", "explain_files",
     "explainer", "head_scores", "leaderboard", "leaderboard_page",
     "randomization", "report_figures", "results", "run_folder", "runs",
     "scoring", "training", "watch"),
    ("evaluate", "explain", "export", "report"),
    ("train",),
)
COMMANDS = {"evaluate", "explain", "export", "report", "train"}
# Settings, draws and scores: Python and NumPy.
PURE = {"__init__", "cli", "config", "files", "metrics",
        "objective_settings", "schedule", "settings", "splits"}
KNOW_FLAGS = {"cli", "config"} | COMMANDS

LEVEL = {name: number for number, names in enumerate(LEVELS)
         for name in names}
FILES = build_file.files()
PACKAGE = [p for p in FILES if p.parts[0] == "atcon_tf"]


def _name(path):
  """How LEVELS calls a file of the package: by itself or by its package."""
  return path.parts[1].removesuffix(".py")


def _level(path):
  """A file's level; tools and tests stand above the package."""
  return LEVEL[_name(path)] if path.parts[0] == "atcon_tf" else len(LEVELS)


def test_levels_name_what_exists():
  assert sorted(LEVEL) == sorted({_name(p) for p in PACKAGE})


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_downwards(path):
  up = [str(p) for p in build_file.imports(path) if _level(p) > _level(path)]
  assert not up, f"{path} (level {_level(path)}) imports {up} above it"


def test_imports_have_no_cycle():
  graph = {p: build_file.imports(p) for p in FILES}
  graphlib.TopologicalSorter(graph).prepare()  # CycleError names the files


def test_nobody_imports_a_command():
  for path in PACKAGE:
    used = {_name(p) for p in build_file.imports(path)} & COMMANDS
    assert not used, f"{path} imports {used}: move what both need below them"


def _top(path):
  """First parts of everything that a file imports."""
  return {name.partition(".")[0] for name in build_file.modules(path)}


def test_what_is_pure_knows_no_tensorflow():
  for path in PACKAGE:
    if _name(path) in PURE:
      assert not _top(path) & {"tensorflow", "keras"}, path


def test_flags_stop_at_the_commands():
  for path in PACKAGE:
    if "absl.flags" in build_file.modules(path):
      assert _name(path) in KNOW_FLAGS, path


def test_build_is_up_to_date():
  """So a file that BUILD lacks fails, too."""
  assert (build_file.ROOT / "BUILD").read_text("utf-8") == build_file.text(), (
      "BUILD differs from the imports: run `python tools/build_file.py`")


def test_build_reads_as_targets_with_the_right_deps():
  """Reads BUILD (Python's syntax) without the tool's help."""
  tree = ast.parse((build_file.ROOT / "BUILD").read_text("utf-8"))
  targets = {}
  for statement in tree.body:
    call = statement.value
    if isinstance(call, ast.Call) and call.func.id.startswith("py_"):
      rule = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
      targets[rule["name"]] = (call.func.id, rule)
  assert [rule["srcs"] for _, rule in targets.values()] == [
      [p.as_posix()] for p in FILES]
  for _, rule in targets.values():
    for dep in rule.get("deps", []):
      assert dep.removeprefix(":") in targets
  kind, rule = targets["atcon_tf/trainer"]
  assert kind == "py_library"
  assert rule["deps"] == [":atcon_tf/config", ":atcon_tf/schedule"]
  assert targets["atcon_tf/train"][0] == "py_binary"
  assert targets["tests/layering_test"][0] == "py_test"
  assert targets["tests/layering_test"][1]["deps"] == [":tools/build_file"]
