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
  limits = grid.get("fewer", {})
  return [(arm, shots, seed) for part in (ends, last)
          for seed in grid["seeds"] for shots in part for arm in grid["arms"]
          if shots in limits.get(arm, {}).get("shots", part)
          and seed in limits.get(arm, {}).get("seeds", grid["seeds"])]


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
  for key in ("flags", "arms", "baseline", "shots", "seeds",
              "endpoint_shots"):
    if key not in grid:
      raise UserError("grid", path, f"has no '{key}'")
  if grid["baseline"] not in grid["arms"]:
    raise UserError("grid", path,
                    f"the baseline '{grid['baseline']}' is none of the arms "
                    f"{', '.join(grid['arms'])}")
  for name, given in {"flags": grid["flags"], **grid["arms"]}.items():
    if not isinstance(given, list) or not all(
        str(f).startswith("--") for f in given):
      raise UserError("grid", path,
                      f"'{name}' must be a list of flags, each beginning with "
                      f"--, not {json.dumps(given)}")
  for arm, limits in grid.get("fewer", {}).items():
    if arm not in grid["arms"] or not set(limits) <= {"shots", "seeds"}:
      raise UserError("grid", path,
                      f"'fewer' of '{arm}' must be shots or seeds of one of "
                      f"the arms {', '.join(grid['arms'])}")
  for key in ("variants", "controls"):
    for parent, others in grid.get(key, {}).items():
      for arm in (parent, *others):
        if arm not in grid["arms"]:
          raise UserError("grid", path,
                          f"'{arm}' in {key} of '{parent}' is none of the "
                          f"arms {', '.join(grid['arms'])}")
  return grid


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
