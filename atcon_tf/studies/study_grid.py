"""The cells of a study, and the command line of each."""

import json

from atcon_tf.config import presets
from atcon_tf.config import UserError


def cells(grid):
  """Every run of a grid as `(arm, shots, seed)`.

  The shots of the endpoints come first, seed by seed and all arms of a seed
  together: a study that is stopped half-way is one of fewer seeds.
  """
  ends = grid["endpoint_shots"]
  last = [s for s in grid["shots"] if s not in ends]
  seeds, limits = grid["seeds"], grid.get("fewer", {})
  parts = (ends, seeds), (last, grid.get("other_seeds", seeds))
  return [(arm, shots, seed) for part, some in parts
          for seed in some for shots in part for arm in grid["arms"]
          if shots in limits.get(arm, {}).get("shots", part)
          and seed in limits.get(arm, {}).get("seeds", some)]


def read_grid(path):
  """A grid from its file.

  Args:
    path: of the file; one that begins with `flags/` may be a preset.
  Raises:
    UserError: there is no such file, or it holds no grid.
  """
  file = presets.find("grid", path)
  try:
    grid = json.loads(file.read_text())
  except (OSError, ValueError) as error:
    raise UserError("grid", path, f"{error}") from error
  try:
    _check(grid)
  except _Wrong as wrong:
    raise UserError("grid", path, str(wrong)) from None
  return grid


class _Wrong(Exception):
  """What is wrong with a grid."""


def _check(grid):
  """Raises `_Wrong` with the first thing that is no part of a grid."""
  def must(right, text):
    if not right:
      raise _Wrong(text)

  must(isinstance(grid, dict), "must be a JSON object")
  for key in ("flags", "arms", "baseline", "shots", "seeds",
              "endpoint_shots"):
    must(key in grid, f"has no '{key}'")
  for key in ("arms", "fewer", "variants", "controls"):
    must(isinstance(grid.get(key, {}), dict), f"'{key}' must be an object")
  arms = grid["arms"]
  for arm in arms:  # a part of the name of a folder
    must(arm and arm.isprintable() and not set(arm) & set("/\\"),
         f"'{arm}' must be a name without a slash")
  named = f"one of the arms {', '.join(arms)}"
  must(isinstance(grid["baseline"], str) and grid["baseline"] in arms,
       f"the baseline '{grid['baseline']}' is not {named}")
  for name, given in {"flags": grid["flags"], **arms}.items():
    must(isinstance(given, list) and all(
        isinstance(f, str) and f.startswith("--") for f in given),
         f"'{name}' must be a list of flags, each beginning with --, not "
         f"{json.dumps(given)}")
  for key in ("shots", "seeds", "endpoint_shots"):
    must(_are_numbers(grid[key]), f"'{key}' must be a list of numbers from 0")
  others = grid.get("other_seeds", [])
  must(_are_numbers(others) and set(others) <= set(grid["seeds"]),
       f"'other_seeds' must be a list of some of the seeds {grid['seeds']}")
  for arm, limits in grid.get("fewer", {}).items():
    must(arm in arms and isinstance(limits, dict) and set(limits) <= {
        "shots", "seeds"} and all(map(_are_numbers, limits.values())),
         f"'fewer' of '{arm}' must be shots or seeds of {named}")
  for key in ("variants", "controls"):
    for parent, others in grid.get(key, {}).items():
      must(isinstance(others, list), f"'{key}' of '{parent}' must be a list")
      for arm in (parent, *others):
        must(isinstance(arm, str) and arm in arms,
             f"'{arm}' in {key} of '{parent}' is not {named}")


def _are_numbers(values):
  return isinstance(values, list) and all(
      type(v) is int and v >= 0 for v in values)


def name_of(cell):
  """What the folder of a cell's run is called."""
  arm, shots, seed = cell
  return f"{arm}_{shots}shot_seed{seed}"


def command(grid, cell, folder, extra):
  """The command line of one run: what follows `atcon_tf.train`."""
  arm, shots, seed = cell
  return [*grid["flags"], *grid["arms"][arm], f"--shots={shots}",
          f"--seed={seed}", *extra, f"--workdir={folder / name_of(cell)}"]


def together(grid, cells):
  """The cells as lists, one for each process, in the order of their firsts.

  The runs of a process differ by shots alone, or by seed where the grid has
  one number of shots.
  """
  groups, one = {}, len(grid["shots"]) == 1
  for arm, shots, seed in cells:
    key = arm, None if one else seed, shots in grid["endpoint_shots"]
    groups.setdefault(key, []).append((arm, shots, seed))
  return list(groups.values())
