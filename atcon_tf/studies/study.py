"""A study: the rows of its finished runs, and the runs still to make.

Any number of processes, on machines that share the folder of the file of the
rows, make one study together: each claims the runs that it makes (`claims.py`),
and takes over those of a process that has ended.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

from atcon_tf.config import Config
from atcon_tf.config import config_flags
from atcon_tf.config import files
from atcon_tf.config.progress import about
from atcon_tf.config import UserError
from atcon_tf.studies import claims
from atcon_tf.studies import study_grid
from atcon_tf.studies import study_tables

# The claim of whoever writes the rows, and the seconds between two looks for a
# run that other processes have left.
_ROWS = "rows"
_PAUSE = 1.0
# The command that makes runs.
WORKER = [sys.executable, "-m", "atcon_tf.studies.worker"]


def row_of(grid, cell, result):
  """The row of a run: what the tables need of its result.

  Args:
    grid: of the study.
    cell: of the run.
    result: its result.json.
  """
  arm, shots, seed = cell
  numbers = {part: {k: v for k, v in result[part].items()
                    if k not in ("per_class", "ci90", "roc", "groups")}
             for part in ("val", "test")}
  return {"arm": arm, "shots": shots, "seed": seed,
          "flags": [*grid["flags"], *grid["arms"][arm]],
          "steps": result["steps"], "seconds": result["seconds"],
          "peak_gib": result.get("peak_gib"),
          "thresholds": result["thresholds"], "data": result["data"],
          "commit": result["commit"], **numbers}


class Study:
  """The rows of the finished runs of a grid, and the runs still to make."""

  def __init__(self, grid, out, folder, extra, lease=claims.LEASE):
    """Reads the rows; makes no run.

    Args:
      grid: from `study_grid.read_grid`.
      out: the JSON file of the rows; it need not exist yet.
      folder: for the folders of the runs.
      extra: list of flags for every run that are not stored.
      lease: seconds after which the runs of a process that does not answer
        are taken over; see `claims`.
    Raises:
      UserError: a row was made with other flags than the grid has now.
    """
    self.grid, self.out, self.extra = grid, pathlib.Path(out), extra
    self.folder = pathlib.Path(folder)
    self.claims = claims.Claims(
        self.out.with_name(f".{self.out.name}.claims"), lease)
    self._lock = threading.RLock()
    self.rows = self._stored()

  def _stored(self):
    """The rows in the file, of whatever process.

    Raises:
      UserError: a row was made with other flags than the grid has now.
    """
    rows, grid = study_tables.read(self.out)["rows"], self.grid
    for row in rows:
      arm = row["arm"]
      if arm in grid["arms"] and row["flags"] != [*grid["flags"],
                                                  *grid["arms"][arm]]:
        name = study_grid.name_of(_cell(row))
        raise UserError("out", self.out,
                        f"its run {name} was made with "
                        f"{' '.join(row['flags'])}, not with what the grid "
                        "has now; use another --out")
    return rows

  def missing(self):
    """The cells without a row."""
    have = set(map(_cell, self.rows))
    return [cell for cell in study_grid.cells(self.grid)
            if cell not in have]

  def check_flags(self, cells):
    """Refuses wrong flags of an arm, before any run.

    Args:
      cells: of the runs; the first of each arm is checked.
    Raises:
      UserError: an arm's flags are no settings, or set the shots or the seed.
    """
    first = {}
    for cell in cells:
      first.setdefault(cell[0], cell)
    for cell in first.values():
      config = config_flags.parse(study_grid.command(
        self.grid, cell, self.folder, self.extra))
      for name, value in zip(("shots", "seed"), cell[1:]):
        if getattr(config, name) != value:
          raise UserError(name, getattr(config, name),
                          "the grid sets it for each run")

  def check_ready(self, cells):
    """Refuses finished runs in the folder that were made with other settings.

    Raises:
      UserError: naming the first of them.
    """
    for cell in cells:
      path = self.folder / study_grid.name_of(cell) / "result.json"
      if not path.exists():
        continue
      before = json.loads(path.read_text())["config"]
      # A setting that is younger than the run had its default.
      before = json.loads(Config.from_json(json.dumps(before)).to_json())
      wanted = config_flags.parse(study_grid.command(
        self.grid, cell, self.folder, self.extra))
      wanted = json.loads(wanted.public().to_json())
      # Where features are kept changes no run; a model's file knows its image
      # size and its input range itself.
      free = {"feature_cache": wanted["feature_cache"], "image_size": 0,
              "input_range": "auto"}
      for name in {n for n in wanted if wanted[n] != free.get(n, ())}:
        if wanted[name] != before.get(name):
          raise UserError("folder", self.folder,
                          f"its run {study_grid.name_of(cell)} was made with "
                          f"--{name}={before.get(name)}, not {wanted[name]}; "
                          "use another --folder")

  def make(self, cells, threads, keep, tell):
    """Makes runs of one arm in a process of their own.

    Args:
      cells: of the runs.
      threads: of the process.
      keep: whether the folders of finished runs stay.
      tell: called as `tell(cell, succeeded)` after each run.
    """
    folders = {str(self.folder / study_grid.name_of(cell)): cell
               for cell in cells}
    ready = [f for f in folders if (pathlib.Path(f) / "result.json").exists()]
    for folder in ready:
      cell = folders.pop(folder)
      self._add(cell, keep)
      tell(cell, True)
    if not folders:
      return
    self.folder.mkdir(parents=True, exist_ok=True)
    # The process keeps the current folder, where paths in the flags start.
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads),
                   "OMP_NUM_THREADS": str(threads)}
    with open(self.folder / "stderr.log", "a") as log, subprocess.Popen(
        WORKER, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=log, env=environment) as process:
      for cell in folders.values():
        self.claims.on_loss(study_grid.name_of(cell), process.kill)
      # The pipe stays open: the process ends when this one does.
      print(json.dumps([
          study_grid.command(self.grid, c, self.folder, self.extra)
          for c in folders.values()]), file=process.stdin, flush=True)
      for line in process.stdout:
        cell = folders.pop(line.strip(), None)
        if cell:
          self._add(cell, keep)
          tell(cell, True)
    for cell in folders.values():
      tell(cell, False)

  def _add(self, cell, keep):
    """Adds the row of a finished run to those of all processes."""
    workdir = self.folder / study_grid.name_of(cell)
    result = json.loads((workdir / "result.json").read_text())
    with self._lock, self.claims.alone(_ROWS):
      self.rows = self._stored()
      if cell not in map(_cell, self.rows):
        self.rows.append(row_of(self.grid, cell, result))
        self.rows.sort(key=lambda r: (r["seed"], r["shots"], r["arm"]))
        self.save()
    if not keep:
      shutil.rmtree(workdir, ignore_errors=True)

  def save(self):
    """Writes the rows, and the grid as it is now."""
    files.write_text(self.out, json.dumps(
        {"grid": self.grid, "rows": self.rows}, indent=1) + "\n")

  def _time_of(self, cells, workers):
    """How long runs will take, from the finished ones of their arms.

    Args:
      cells: of the runs.
      workers: runs at the same time.
    Returns:
      the end of a line; "" where no run is finished, or none is left.
    """
    took = {}
    for row in self.rows:
      took.setdefault(row["arm"], []).append(row["seconds"])
    if not took or not cells:
      return ""
    mean = {arm: sum(each) / len(each) for arm, each in took.items()}
    left = sum(mean.get(arm, 0) for arm, _, _ in cells)
    new = {arm for arm, _, _ in cells} - mean.keys()  # of unknown time
    if not left:
      return ""
    return f", {'more than ' * bool(new)}{about(left / workers)} left"

  def reload(self):
    """Reads the rows of all processes anew; returns `missing()`."""
    self.rows = self._stored()
    return self.missing()

  def run(self, workers, keep, threads=None):
    """Makes all missing runs, with other processes that write the same file.

    Returns when no run is missing but those that failed here.

    Args:
      workers: runs at the same time in this process.
      keep: whether the folders of finished runs stay.
      threads: of each run; None: an equal part of the machine's.
    Returns:
      list of the cells that failed.
    """
    todo = self.reload()
    self.check_flags(todo)
    self.check_ready(todo)
    total = len(study_grid.cells(self.grid))
    print(f"{total - len(todo)} of {total} runs are there"
          + self._time_of(todo, workers), flush=True)
    threads = threads or max(1, (os.cpu_count() or 1) // workers)
    failed = []

    def tell(cell, succeeded):
      with self._lock:
        self.claims.release(study_grid.name_of(cell))
        if not succeeded and cell in self.missing():
          failed.append(cell)
        ahead = [c for c in self.missing() if c not in failed]
        print(f"{len(todo) - len(ahead)}/{len(todo)} "
              f"{study_grid.name_of(cell)}: "
              f"{'done' if succeeded else 'FAILED'}"
              + self._time_of(ahead, workers), flush=True)

    def work():
      waits = False
      while (cells := self._claim(failed)) is not None:
        if cells:
          self.make(cells, threads, keep, tell)
        elif not waits:
          print("other processes make the rest; waiting for them", flush=True)
        waits = not cells
        time.sleep(_PAUSE if waits else 0)

    with self.claims, concurrent.futures.ThreadPoolExecutor(workers) as pool:
      running = [pool.submit(work) for _ in range(workers if todo else 0)]
      try:
        for future in concurrent.futures.as_completed(running):
          future.result()
      except BaseException:  # runs at work end, no other begins
        failed += study_grid.cells(self.grid)
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    missing = self.reload()
    return [cell for cell in failed if cell in missing]

  def _claim(self, failed):
    """Claims runs that share a process.

    Args:
      failed: cells that are not tried again.
    Returns:
      list of their cells; [] if other processes make all that are missing;
      None if none is missing.
    """
    with self._lock:
      self.rows = self._stored()
      todo = [c for c in self.missing() if c not in failed]
      if not todo:
        return None
      for group in study_grid.together(self.grid, todo):
        own = [c for c in group if self.claims.take(study_grid.name_of(c))]
        # One that was free because its row had come meanwhile is given back.
        self.rows = self._stored()
        ready = [c for c in own if c not in self.missing()]
        for cell in ready:
          self.claims.release(study_grid.name_of(cell))
        if len(own) > len(ready):
          return [c for c in own if c not in ready]
      return []


def _cell(row):
  return row["arm"], row["shots"], row["seed"]
