"""Many runs, one table: `python tools/study.py --grid=FILE --workers=2`.

A grid is a JSON file:

    {"flags": ["--dataset=voc", ...],          of every run
     "arms": {"supervised": ["--objective=supervised"], "atcon": [], ...},
     "baseline": "supervised",
     "shots": [1, 2, 4, 8, 16], "seeds": [10, 11, 12, 13, 14],
     "endpoint_shots": [2, 4, 8]}

With `"fewer": {"gain": {"seeds": [10, 11, 12]}, ...}` an arm is run at some of
the seeds or shots only; with `"controls": {"atcon": ["atcon_constant", ...],
...}` an arm is also compared with others than the baseline. With `"variants":
{"atcon": ["second_gradient", ...], ...}` it is an ablation: each variant is
compared with the arm that it is a variant of.

--seed is also the seed of a run's split, so that the arms are paired. The runs
of an arm that differ by shots alone, or by seed where there is one number of
shots, share a process (`study_runs.py`). A run that was finished is not
repeated, one that was interrupted continues, one that failed is named at the
end and tried again the next time. Rows go into --out as they come; the table
and the plot are made from that file alone (--render_only makes them again),
also of half a study. A row, or a finished run in --folder, that was made with
other flags than the grid now has is refused.

    python tools/study.py --grid=tools/grids/voc_fewshot.json --workers=2 \
      --out=docs/results/voc_fewshot.json -- --data_dir=... --weights=...

What follows `--` goes to every run and is not stored: the paths of a machine.
Paths are seen from the current folder.
"""

import concurrent.futures
import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

# The tools also run from a clone that is not installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
from absl import flags

from atcon_tf import cli
from atcon_tf import config as config_lib
from atcon_tf import files
from atcon_tf.config import UserError
from tools import study_report

ROOT = pathlib.Path(__file__).resolve().parents[1]


def read_grid(path):
  """A grid from its file.

  Raises:
    UserError: not a grid.
  """
  try:
    grid = json.loads(pathlib.Path(path).read_text())
  except (OSError, ValueError) as error:
    raise UserError(f"--grid={path}: {error}") from error
  for key in ("flags", "arms", "baseline", "shots", "seeds",
              "endpoint_shots"):
    if key not in grid:
      raise UserError(f"--grid={path}: has no '{key}'")
  if grid["baseline"] not in grid["arms"]:
    raise UserError(f"--grid={path}: the baseline '{grid['baseline']}' is "
                    f"none of the arms {', '.join(grid['arms'])}")
  for name, given in {"flags": grid["flags"], **grid["arms"]}.items():
    if not isinstance(given, list) or not all(
        str(f).startswith("--") for f in given):
      raise UserError(f"--grid={path}: '{name}' must be a list of flags, each "
                      f"beginning with --, not {json.dumps(given)}")
  for arm, limits in grid.get("fewer", {}).items():
    if arm not in grid["arms"] or not set(limits) <= {"shots", "seeds"}:
      raise UserError(f"--grid={path}: 'fewer' of '{arm}' must be shots or "
                      f"seeds of one of the arms {', '.join(grid['arms'])}")
  for key in ("variants", "controls"):
    for parent, others in grid.get(key, {}).items():
      for arm in (parent, *others):
        if arm not in grid["arms"]:
          raise UserError(f"--grid={path}: '{arm}' in {key} of '{parent}' is "
                          f"none of the arms {', '.join(grid['arms'])}")
  return grid


def name_of(cell):
  arm, shots, seed = cell
  return f"{arm}_{shots}shot_seed{seed}"


def command(grid, cell, folder, extra):
  """The command line of one run: what follows `atcon_tf.train`."""
  arm, shots, seed = cell
  return [*grid["flags"], *grid["arms"][arm], f"--shots={shots}",
          f"--seed={seed}", *extra, f"--workdir={folder / name_of(cell)}"]


def parse(arguments):
  """The `Config` that a command line of train describes.

  Raises:
    UserError: it describes none.
  """
  values = flags.FlagValues()
  config_lib.define_flags(values)
  flags.DEFINE_string("workdir", "", "", flag_values=values)
  try:
    rest = values(["train", *arguments])[1:]
  except flags.Error as error:
    raise UserError(str(error)) from error
  if rest:
    raise UserError(f"'{rest[0]}': not a flag; flags begin with --")
  return config_lib.from_flags(values)


def together(grid, cells):
  """Cells as lists for one process each, in the order of their firsts."""
  groups, one = {}, len(grid["shots"]) == 1
  for arm, shots, seed in cells:
    key = arm, None if one else seed, shots in grid["endpoint_shots"]
    groups.setdefault(key, []).append((arm, shots, seed))
  return list(groups.values())


def row_of(grid, cell, result):
  """What the table keeps of a result."""
  arm, shots, seed = cell
  numbers = {part: {k: v for k, v in result[part].items()
                    if k not in ("per_class", "ci90", "roc")}
             for part in ("val", "test")}
  return {"arm": arm, "shots": shots, "seed": seed,
          "flags": [*grid["flags"], *grid["arms"][arm]],
          "steps": result["steps"], "seconds": result["seconds"],
          "peak_gib": result.get("peak_gib"),
          "thresholds": result["thresholds"], "data": result["data"],
          "commit": result["commit"], **numbers}


class Study:
  """The rows so far, and the runs that are still to be made."""

  def __init__(self, grid, out, folder, extra):
    self.grid, self.out, self.extra = grid, pathlib.Path(out), extra
    self.folder = pathlib.Path(folder)
    self.rows = study_report.read(self.out)["rows"]
    for row in self.rows:
      arm = row["arm"]
      if arm in grid["arms"] and row["flags"] != [*grid["flags"],
                                                  *grid["arms"][arm]]:
        name = name_of((arm, row["shots"], row["seed"]))
        raise UserError(f"--out={out}: its run {name} was made with "
                        f"{' '.join(row['flags'])}, not with what the grid "
                        "has now; use another --out")
    self._lock = threading.Lock()

  def missing(self):
    """The cells without a row."""
    have = {(r["arm"], r["shots"], r["seed"]) for r in self.rows}
    return [cell for cell in study_report.cells(self.grid)
            if cell not in have]

  def check_flags(self, cells):
    """Refuses an arm that is none, before any run.

    Raises:
      UserError: its flags are no settings, or are those of the cell.
    """
    for cell in {arm: (arm, *rest) for arm, *rest in reversed(cells)}.values():
      config = parse(command(self.grid, cell, self.folder, self.extra))
      for name, value in zip(("shots", "seed"), cell[1:]):
        if getattr(config, name) != value:
          raise UserError(f"--{name}={getattr(config, name)}: the grid says "
                          "it of each run")

  def check_ready(self, cells):
    """Refuses finished runs in the folder that were made with other settings.

    Raises:
      UserError: naming the first of them.
    """
    for cell in cells:
      path = self.folder / name_of(cell) / "result.json"
      if not path.exists():
        continue
      before = json.loads(path.read_text())["config"]
      wanted = parse(command(self.grid, cell, self.folder, self.extra))
      wanted = json.loads(wanted.public().to_json())
      # A .keras file knows its image size itself.
      for name in set(wanted) - ({"image_size"} if not wanted["image_size"]
                                 else set()):
        if wanted[name] != before.get(name):
          raise UserError(
              f"--folder={self.folder}: its run {name_of(cell)} was made with "
              f"--{name}={before.get(name)}, not {wanted[name]}; use another "
              "--folder")

  def make(self, cells, threads, keep, tell):
    """Runs of one arm in a process of their own.

    Args:
      cells: which.
      threads: of the process.
      keep: the folders of the runs.
      tell: called as `tell(cell, whether it ended well)` after each.
    """
    folders = {str(self.folder / name_of(cell)): cell for cell in cells}
    ready = [f for f in folders if (pathlib.Path(f) / "result.json").exists()]
    for folder in ready:
      cell = folders.pop(folder)
      self._add(cell, keep)
      tell(cell, True)
    if not folders:
      return
    self.folder.mkdir(parents=True, exist_ok=True)
    # From the current folder, of which the paths in the flags are.
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads),
                   "OMP_NUM_THREADS": str(threads)}
    with open(self.folder / "stderr.log", "a") as log, subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "study_runs.py")], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        env=environment) as process:
      json.dump([command(self.grid, c, self.folder, self.extra)
                 for c in folders.values()], process.stdin)
      process.stdin.close()
      for line in process.stdout:
        cell = folders.pop(line.strip(), None)
        if cell:
          self._add(cell, keep)
          tell(cell, True)
    for cell in folders.values():
      tell(cell, False)

  def _add(self, cell, keep):
    """The row of a finished run."""
    workdir = self.folder / name_of(cell)
    result = json.loads((workdir / "result.json").read_text())
    with self._lock:
      self.rows.append(row_of(self.grid, cell, result))
      self.rows.sort(key=lambda r: (r["seed"], r["shots"], r["arm"]))
      self.save()
    if not keep:
      shutil.rmtree(workdir)

  def save(self):
    """Writes the rows with the grid as it is now."""
    files.write_text(self.out, json.dumps(
        {"grid": self.grid, "rows": self.rows}, indent=1) + "\n")

  @contextlib.contextmanager
  def _alone(self):
    """Keeps other processes from adding rows to the same file."""
    try:
      self.out.parent.mkdir(parents=True, exist_ok=True)
      lock = open(self.out.with_name(f".{self.out.name}.lock"), "w")
    except OSError as error:
      raise UserError(f"--out={self.out}: {error.strerror}") from error
    with lock:
      try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except OSError as error:
        raise UserError(f"--out={self.out}: another process adds rows to it"
                        ) from error
      yield

  def run(self, workers, keep):
    """Makes all missing runs; returns the cells that failed."""
    with self._alone():
      self.rows = study_report.read(self.out)["rows"]
      return self._run(workers, keep)

  def _run(self, workers, keep):
    todo, failed, started = self.missing(), [], time.time()
    self.check_flags(todo)
    self.check_ready(todo)
    total = len(study_report.cells(self.grid))
    print(f"{total - len(todo)} of {total} runs are there", flush=True)
    threads = max(1, (os.cpu_count() or 1) // workers)
    counter = itertools.count(1)

    def tell(cell, well):
      with self._lock:
        if not well:
          failed.append(cell)
        count = next(counter)
        left = (time.time() - started) / count * (len(todo) - count)
        print(f"{count}/{len(todo)} {name_of(cell)}: "
              f"{'done' if well else 'FAILED'}, about {left / 60:.0f} min "
              "left", flush=True)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
      work = [pool.submit(self.make, group, threads, keep, tell)
              for group in together(self.grid, todo)]
      try:
        for future in concurrent.futures.as_completed(work):
          future.result()
      except BaseException:  # what is at work ends, nothing new begins
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    return failed


def main(argv):
  """Runs a grid and renders its table and plot."""
  values = flags.FLAGS
  files.check_file("out", values.out)
  files.check_folder("folder", pathlib.Path(values.folder))
  grid = read_grid(values.grid)
  study = Study(grid, values.out, values.folder, argv[1:])
  failed = [] if values.render_only else study.run(values.workers,
                                                    values.keep)
  if not study.rows and not failed:
    raise UserError(f"--out={values.out}: no rows; nothing to render")
  if study.rows:
    if study_report.read(study.out)["grid"] != grid:
      study.save()
    for path in study_report.render(study.out, values.readme):
      print(path)
  if failed:
    logs = ", ".join(f"{study.folder / name_of(c)}.log" for c in failed[:3])
    raise UserError(f"{len(failed)} runs failed, see {logs}; the same "
                    "command tries them again")


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_string("grid", "tools/grids/voc_fewshot.json", "what to run")
  flags.DEFINE_string("out", "docs/results/voc_fewshot.json", "the rows")
  flags.DEFINE_string("folder", "W/study", "where the runs are made")
  flags.DEFINE_integer("workers", 1, "runs at the same time", 1)
  flags.DEFINE_bool("keep", False, "keep the folders of finished runs")
  flags.DEFINE_bool("render_only", False, "table and plot, no runs")
  flags.DEFINE_string("readme", "", "also put the table into this file, "
                      "between its study markers")


if __name__ == "__main__":
  cli.run(main, define_flags, arguments=True)
