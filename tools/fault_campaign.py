"""Kills, damaged checkpoints and full disks: `python -m tools.fault_campaign`.

Runs of the drawn data set are killed (SIGKILL) --kills times: at random steps,
while a checkpoint is written, while the pool is scored, while the test images
are scored, and while a run is exported; `atcon_tf.prepare` is killed --prepared
times, and one of three processes of a study --studies times. --damaged newest
checkpoints are cut or get a flipped bit; the disk becomes full or read-only,
or has no locks. Each time the same command is started again, and right is that
it ends with the numbers of the run that nothing happened to, or says in one
line what is wrong.

A process is killed at a call of a function that --seed draws
(`kill_points.kill_at`), so that every kill hits the work. With --folder the
rows that are made stay there, and the same command makes the others. The table
goes into --doc.
"""

import functools
import json
import pathlib
import shutil
import subprocess
import tempfile

from absl import flags

from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import path_flags
from atcon_tf.config import UserError
from tools import faulty_runs
from tools import kill_points
from tools import killed_commands

MARKS = ("<!-- fault_campaign.py begins -->",
         "<!-- fault_campaign.py ends -->")
ROWS = "rows.json"
# Its n-th call comes after n - 1 checkpoints.
UPDATE = "atcon_tf.training.loop:Training._ends_after"
# What is killed: the objective of the run, and functions, each with the last
# call that is drawn and the most seconds within it.
KILLED = {
    "while a checkpoint is written": ("atcon", [
        ("atcon_tf.runs.checkpoint:save", 3, 0.03)]),
    "at a random step": ("atcon", [
        ("atcon_tf.training.trainer:Trainer.step", 15, 0.05)]),
    "while the pool is scored": ("bank", [
        ("atcon_tf.training.pseudo_labels:rank", 2, 0.2)]),
    "while the kept weights are tested": ("atcon", [
        ("atcon_tf.evaluation.predictor:Predictor.predict", 2, 0.3),
        ("atcon_tf.evaluation.scoring:tabulate", 2, 0.02),
        ("atcon_tf.runs.stored_predictions:save_predictions", 1, 0.01),
        ("atcon_tf.training.results:_draw", 1, 0.3),
        ("atcon_tf.runs.run_folder:Workdir.save_result", 1, 0.)])}


class Campaign(faulty_runs.Runs):
  """The faults, and what came of them.

  Attributes:
    rows: `{what: (times, what happened)}`.
  """

  def __init__(self, folder, seed=0):
    """Prepares a campaign; `folder` is a `pathlib.Path` for all its files."""
    super().__init__(folder, seed)
    self.rows, self._stored = {}, {}
    if (folder / ROWS).exists():
      self._stored = json.loads((folder / ROWS).read_text())

  def row(self, what, times, make):
    """Makes a row of the table, unless it was made before.

    Args:
      what: happens.
      times: how often; 0: no row.
      make: function of `what` and `times` that returns what came of it.
    """
    if not times:
      return
    key, before = f"{self.seed} {times} {what}", len(self.wrong)
    if key not in self._stored:
      outcome = make(what, times)
      if len(self.wrong) == before:
        self._stored[key] = outcome
        files.write_text(self.folder / ROWS, json.dumps(self._stored))
    self.rows[what] = times, self._stored.get(key) or "FAILS"
    print(f"{what}: {times}: {self.rows[what][1]}", flush=True)

  def kill(self, what, times):
    """Kills runs, up to four times each, and lets them end."""
    kind, functions = KILLED[what.removeprefix("SIGKILL ")]
    draw, killed, runs, right, parts = self.draws(what), 0, 0, 0, 0
    while killed < times:
      path = self.fresh()
      for _ in range(min(4, times - killed)):
        target, last, seconds = draw.choice(functions)
        status = self.train(kind, path, functools.partial(
            kill_points.kill_at, target, draw.randint(1, last),
            draw.uniform(0, seconds)))
        if not self.is_killed(what, status):
          return ""
        killed += 1
        parts += any(path.rglob(".part-*"))
      right += self.finish(kind, path, what)
      runs += 1
      shutil.rmtree(path)
    return (f"{right} of {runs} runs end as the uninterrupted"
            + (f"; {parts} kills left half a file" if parts else ""))

  def damage(self, what, times):
    """Damages the newest checkpoint of half a run."""
    half, right, draw = self.fresh(), 0, self.draws(what)
    self.is_killed(what, self.train("atcon", half, functools.partial(
        kill_points.kill_at, UPDATE, 6)))
    for number in range(times):
      path = shutil.copytree(half, self.fresh())
      newest = path / "checkpoints/last.npz"
      data = bytearray(newest.read_bytes())
      place = draw.randrange(len(data))
      if number % 2:
        data = data[:place]
      else:
        data[place] ^= 1 << draw.randrange(8)
      newest.write_bytes(bytes(data))
      ended = self.finish("atcon", path, f"damage {number} at {place}")
      said = "is damaged (" in self.said()
      if not said:
        self.wrong.append(f"damage {number} at {place}: nothing was said")
      right += ended and said
      shutil.rmtree(path)
    return f"{right} say so in a line, and end as the uninterrupted"

  def refuse(self, what, path, spoil=lambda: None, mend=lambda: None,
             within=None):
    """Spoils the place of a run, expects one line, mends it and goes on."""
    self.is_killed(what, self.train("atcon", path, functools.partial(
        kill_points.kill_at, UPDATE, 3)))
    spoil()
    status = self.train("atcon", path, within)
    said = [l for l in self.said().splitlines() if l.startswith("error: ")]
    mend()
    if status != 2 or len(said) != 1 or "Traceback" in self.said():
      self.wrong.append(f"{what}: status {status}: {self.said()[-800:]}")
      return ""
    self.finish("atcon", path, what)
    line = said[0].replace(str(path), "RUN").partition(";")[0]
    return f"`{line}`, then it ends as the uninterrupted"

  def no_locks(self, what, times):
    """Kills a run and continues it where no file can be locked."""
    del times
    path = self.fresh()
    self.is_killed(what, self.train("atcon", path, functools.partial(
        kill_points.kill_at, UPDATE, 3)))
    self.finish("atcon", path, what, kill_points.without_locks)
    if "has no locks" not in self.said():
      self.wrong.append(f"{what}: nothing was said")
    return "a note says so; it ends as the uninterrupted"

  def disks(self):
    """Full disks and a read-only one."""
    self.row("files limited to 64 KiB", 1, lambda what, _: self.refuse(
        what, self.fresh(), within=functools.partial(
            kill_points.limit_files, 1 << 16)))
    disk = self.folder / "disk"
    disk.mkdir(exist_ok=True)

    def mount(options):
      return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs",
                             disk], capture_output=True).returncode == 0

    def again(options):
      return lambda: subprocess.run(
          ["mount", "-o", f"remount,{options}", disk], check=True)

    def fill():
      with open(disk / "filler", "wb") as file:
        try:
          while file.write(bytes(1 << 16)):
            file.flush()
        except OSError:
          pass

    if not mount("size=64m"):
      print("no tmpfs can be mounted here: no full disk, no read-only one")
      return
    try:
      self.row("full disk (tmpfs)", 1, lambda what, _: self.refuse(
          what, disk / "run", fill, (disk / "filler").unlink))
      self.row("read-only disk (tmpfs)", 1, lambda what, _: self.refuse(
          what, disk / "other", again("ro"), again("rw")))
    finally:
      subprocess.run(["umount", "-l", disk], check=False)

def run(folder, kills=0, damaged=0, prepared=0, studies=0, seed=0):
  """A campaign of kills and damage; returns the `Campaign` after it."""
  one = Campaign(folder, seed)
  part = [kills * i // 5 for i in range(6)]
  part = [b - a for a, b in zip(part, part[1:])][::-1]
  for what, times in zip(KILLED, part):
    one.row(f"SIGKILL {what}", times, one.kill)
  one.row("SIGKILL while a run is exported", part[-1], functools.partial(
      killed_commands.export, one))
  one.row("SIGKILL while data are prepared", prepared, functools.partial(
      killed_commands.prepare, one))
  one.row("SIGKILL of one of three processes of a study of 12 runs", studies,
          functools.partial(killed_commands.study, one))
  one.row("newest checkpoint cut or with a flipped bit", damaged, one.damage)
  return one


def main(argv):
  """Runs the campaign and writes its table."""
  del argv
  values = flags.FLAGS
  with tempfile.TemporaryDirectory() as folder:
    one = run(pathlib.Path(values.folder or folder).absolute(), values.kills,
              values.damaged, values.prepared, values.studies, values.seed)
    one.row("file system without locks", 1, one.no_locks)
    one.disks()
  text = "\n".join([
      "| what happened | times | outcome |", "|---|---|---|",
      *(f"| {what} | {times} | {outcome} |"
        for what, (times, outcome) in one.rows.items()), "",
      f"Command: `python -m tools.fault_campaign --kills={values.kills} "
      f"--prepared={values.prepared} --studies={values.studies} "
      f"--damaged={values.damaged}`.", ""])
  print(text)
  if values.doc:
    files.between(values.doc, MARKS, text)
  if one.wrong:
    print(*one.wrong, sep="\n\n")
    raise UserError(f"{len(one.wrong)} faults did not end well")


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_integer("kills", 30, "kills of runs and exports", 0)
  flags.DEFINE_integer("prepared", 10, "kills while data are prepared", 0)
  flags.DEFINE_integer("studies", 1, "kills in a study", 0)
  flags.DEFINE_integer("damaged", 10, "damaged checkpoints", 0)
  flags.DEFINE_integer("seed", 0, "of the moments", 0)
  path_flags.path("folder", "", "for the runs and finished rows; default: a "
                  "temporary one")
  flags.DEFINE_string("doc", "", "write the table into this document")


if __name__ == "__main__":
  cli.run(main, define_flags)
