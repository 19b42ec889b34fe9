"""BUILD says which room may use which; the imports keep to it."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "atcon_tf"
COMMANDS = sorted(p.stem for p in PACKAGE.glob("[!_]*.py"))
# What a folder must do without, wherever in it.
WITHOUT = {"config": {"tensorflow", "keras", "matplotlib"},
           "evaluation": {"matplotlib"}, "objectives": {"matplotlib"},
           "evaluation/metrics": {"tensorflow", "keras", "atcon_tf.models"},
           "serving/server": {"keras", "atcon_tf.models"}}
KNOW_FLAGS = {"config", *COMMANDS}


def rooms():
  """`{room: the rooms that it may use}`, as BUILD has it."""
  found = {}
  for statement in ast.parse((ROOT / "BUILD").read_text("utf-8")).body:
    call = getattr(statement, "value", None)
    if isinstance(call, ast.Call) and call.func.id == "py_library":
      rule = {k.arg: k.value for k in call.keywords}
      deps = rule.get("deps")
      if isinstance(deps, ast.List) or deps is None:
        found[rule["name"].value] = {d.value[1:] for d in deps.elts} if (
            deps) else set()
  return found


def files(place):
  """A command's one file, or all of a folder."""
  return sorted((PACKAGE / place).rglob("*.py")) or [PACKAGE / f"{place}.py"]


def imported(path):
  """Dotted names of all that a file imports, wherever in it."""
  for node in ast.walk(ast.parse(path.read_text("utf-8"))):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_rooms_are_the_folders_and_there_is_no_way_back():
  assert {p.parent.name for p in PACKAGE.glob("*/__init__.py")} == set(rooms())
  graphlib.TopologicalSorter(rooms()).prepare()  # CycleError names the rooms


@pytest.mark.parametrize("place", [*rooms(), *COMMANDS])
def test_a_place_uses_what_it_may(place):
  """A room what BUILD allows, a command all rooms; nobody a command.

  A command also imports the package itself, which loads a room when it is
  first used.
  """
  allowed = rooms()[place] | {place} if place in rooms() else {"", *rooms()}
  for path in files(place):
    for name in imported(path):
      package, _, rest = name.partition(".")
      assert package != "atcon_tf" or rest.partition(".")[0] in allowed, (
          f"{path.relative_to(ROOT)} imports {name}; {place} may use "
          f"{', '.join(sorted(allowed))}")
      assert name != "absl.flags" or place in KNOW_FLAGS, path


@pytest.mark.parametrize("folder", WITHOUT)
def test_what_a_folder_does_without(folder):
  for path in files(folder):
    for name in imported(path):
      assert not any(f"{name}.".startswith(f"{w}.") for w in WITHOUT[folder]), (
          f"{path.relative_to(ROOT)} imports {name}")


@pytest.mark.parametrize("path", [
    *(ROOT / "atcon_tf").rglob("*.py"), *(ROOT / "tools").rglob("*.py")],
    ids=lambda path: str(path.relative_to(ROOT)))
def test_one_idea_a_file(path):
  assert len(path.read_text("utf-8").splitlines()) <= 340


def test_readme_is_short():
  assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 180
