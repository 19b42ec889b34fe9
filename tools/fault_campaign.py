"""Kills, damaged checkpoints and full disks: `python -m tools.fault_campaign`.

A run of the drawn data set is killed (SIGKILL) --kills times: at random
moments, while a checkpoint is written, while the pool is scored, while the
test images are scored, and while it is exported; a study is killed, too.
--damaged newest checkpoints are cut or get a flipped bit; the disk becomes full
or read-only. Each time the same command is started again, and right is that it
ends with the numbers of the run that nothing happened to, or says in one line
what is wrong. The table goes into --doc.
"""

import json
import pathlib
import shutil
import subprocess
import tempfile
import time

from absl import flags

from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import UserError
from tools import faulty_runs
from tools.faulty_runs import FLAGS

MARKS = ("<!-- fault_campaign.py begins -->",
         "<!-- fault_campaign.py ends -->")
class Campaign(faulty_runs.Runs):
  """The faults, and what came of them.

  Attributes:
    rows: list of `(what, times, what happened)`.
  """

  def __init__(self, folder, seed=0):
    """Prepares a campaign; `folder` is a `pathlib.Path` for all its files."""
    super().__init__(folder, seed)
    self.rows = []

  def kill(self, what, kind, times, moment):
    """Kills runs, up to four times each, and lets them end.

    Args:
      what: is killed, for the table.
      kind: a key of `RUNS`.
      times: number of kills.
      moment: function of the process and the run's folder that returns when
        it is time, or when the process has ended.
    """
    done = right = runs = 0
    while done < times:
      path, killed = self.fresh(), 0
      while killed < min(4, times - done):
        process = self.train(kind, path)
        moment(process, path)
        if process.is_alive():
          process.kill()
          killed += 1
        process.join()
        if process.exitcode == 0:
          break
        if process.exitcode > 0:
          self.wrong.append(f"{what}: {self.said()[-800:]}")
          return
      if killed:
        done, runs = done + killed, runs + 1
        if faulty_runs.result_of(path) is None:
          right += self.finish(kind, path, what)
        else:
          right += faulty_runs.result_of(path) == self.whole(kind)[0]
      shutil.rmtree(path)
    self.rows.append((f"SIGKILL {what}", done,
                      f"{right} of {runs} runs end as the uninterrupted"))

  def damage(self, times):
    """Damages the newest checkpoint of half a run."""
    half, right = self.fresh(), 0
    while not (half / "checkpoints/previous.npz").exists():
      process = self.train("atcon", half)
      while process.is_alive() and not (
          half / "checkpoints/previous.npz").exists():
        time.sleep(0.005)
      process.kill()
      process.join()
    for number in range(times):
      path = shutil.copytree(half, self.fresh())
      newest = path / "checkpoints/last.npz"
      if not newest.exists():  # killed between two names
        (path / "checkpoints/previous.npz").rename(newest)
      data = bytearray(newest.read_bytes())
      place = self.random.randrange(len(data))
      if number % 2:
        data = data[:place]
      else:
        data[place] ^= 1 << self.random.randrange(8)
      newest.write_bytes(bytes(data))
      ended = self.finish("atcon", path, f"damage {number} at {place}")
      said = "is damaged (" in self.said()
      if not said:
        self.wrong.append(f"damage {number} at {place}: nothing was said")
      right += ended and said
      shutil.rmtree(path)
    self.rows.append(("newest checkpoint cut or with a flipped bit", times,
                      f"{right} say so in a line, and end as the "
                      "uninterrupted"))

  def refuse(self, what, path, spoil, mend, limit=0):
    """Spoils the place of a run, expects one line, mends it and goes on."""
    process = self.train("atcon", path)
    while process.is_alive() and not (path / "checkpoints/last.npz").exists():
      time.sleep(0.005)
    process.kill()
    process.join()
    spoil()
    process = self.train("atcon", path, limit)
    process.join()
    said = [l for l in self.said().splitlines() if l.startswith("error: ")]
    mend()
    one = process.exitcode == 2 and len(said) == 1 and (
        "Traceback" not in self.said())
    if not one:
      self.wrong.append(f"{what}: status {process.exitcode}: "
                        f"{self.said()[-800:]}")
    right = self.finish("atcon", path, what)
    line = said[0].replace(str(path), "RUN")[:90] if one else "FAILS"
    self.rows.append((what, 1, f"`{line}`, then it "
                      + ("ends as the uninterrupted" if right else "FAILS")))

  def disks(self):
    """A full disk and a read-only one."""
    disk = self.folder / "disk"
    disk.mkdir()

    def mount(options):
      return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs",
                             disk], capture_output=True).returncode == 0

    def again(options):
      return lambda: subprocess.run(
          ["mount", "-o", f"remount,{options}", disk], check=True)

    if not mount("size=64m"):
      self.refuse("files limited to 64 KiB, as on a full disk", self.fresh(),
                  lambda: None, lambda: None, 1 << 16)
      return
    try:
      def fill():
        with open(disk / "filler", "wb") as file:
          try:
            while file.write(bytes(1 << 16)):
              file.flush()
          except OSError:
            pass

      self.refuse("full disk (tmpfs)", disk / "run", fill,
                  (disk / "filler").unlink)
      self.refuse("read-only disk (tmpfs)", disk / "other", again("ro"),
                  again("rw"))
    finally:
      subprocess.run(["umount", "-l", disk], check=False)

  def export(self, times):
    """Kills exports of the run that nothing happened to."""
    self.whole("atcon")
    out, right = self.folder / "served", 0
    words = [f"--workdir={self.folder / 'whole_atcon'}", f"--out={out}"]
    started = time.time()
    self.start("export", words).join()
    seconds = time.time() - started
    wanted = faulty_runs.tree(out / "1")
    for _ in range(times):
      process = self.start("export", words)
      process.join(seconds * self.random.uniform(0.2, 1))
      process.kill()
      process.join()
      process = self.start("export", words)
      process.join()
      versions = [p for p in out.iterdir() if p.name.isdecimal()]
      good = process.exitcode == 0 and all(faulty_runs.tree(p) == wanted
                                           for p in versions)
      right += good
      if not good:
        self.wrong.append(f"export: {self.said()[-500:]}")
    self.rows.append(("SIGKILL while a run is exported", times,
                      f"{right}: every version there is whole"))

  def study(self, times):
    """Kills a study of four runs, and compares its rows."""
    grid = self.folder / "grid.json"
    grid.write_text(json.dumps({
        "flags": [*FLAGS, "--unlabeled=24"], "arms": {
            "base": ["--objective=supervised"], "new": ["--objective=atcon"]},
        "baseline": "base", "shots": [2], "seeds": [0, 1],
        "endpoint_shots": [2]}))

    def start(name):
      return self.start("study", [
          f"--grid={grid}", f"--out={self.folder / name}.json",
          f"--folder={self.folder / name}"])

    def rows(name):
      stored = json.loads((self.folder / f"{name}.json").read_text())["rows"]
      return [{k: r[k] for k in ("arm", "seed", "steps", "val", "test")}
              for r in stored]

    started = time.time()
    start("alone").join()
    seconds, right = time.time() - started, 0
    for number in range(times):
      name = f"killed_{number}"
      process = start(name)
      process.join(seconds * self.random.uniform(0.1, 0.9))
      process.kill()
      process.join()
      start(name).join()
      right += rows(name) == rows("alone")
    if right < times:
      self.wrong.append("study: other rows")
    self.rows.append(("SIGKILL of a study of four runs", times,
                      f"{right} have the same rows, each run once"))


def run(folder, kills, damaged, seed=0):
  """A campaign; returns the `Campaign` after it."""
  one = Campaign(folder, seed)
  part = [kills * i // 5 for i in range(6)]
  part = [b - a for a, b in zip(part, part[1:])]
  writing = one.when(lambda path: (
      path / "checkpoints/.part-last.npz").exists())
  one.kill("while a checkpoint is written", "atcon", part[4], writing)
  one.kill("at random moments", "atcon", part[3], one.at_random(0, 1))
  one.kill("while the pool is scored", "bank", part[2],
           one.at_random(0.3, 0.8))
  one.kill("while the test images are scored", "atcon", part[1], one.when(
      lambda path: "scoring" in one.said(), 0.4))
  if part[0]:
    one.export(part[0])
  if damaged:
    one.damage(damaged)
  return one


def main(argv):
  """Runs the campaign and writes its table."""
  del argv
  values = flags.FLAGS
  with tempfile.TemporaryDirectory() as folder:
    one = run(pathlib.Path(folder), values.kills, values.damaged, values.seed)
    one.disks()
    if values.studies:
      one.study(values.studies)
  text = "\n".join([
      "| what happened | times | outcome |", "|---|---|---|",
      *("| %s | %s | %s |" % row for row in one.rows), "",
      f"Command: `python -m tools.fault_campaign --kills={values.kills} "
      f"--damaged={values.damaged} --studies={values.studies}`.", ""])
  print(text)
  if values.doc:
    files.between(values.doc, MARKS, text)
  if one.wrong:
    print(*one.wrong, sep="\n\n")
    raise UserError(f"{len(one.wrong)} faults did not end well")


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_integer("kills", 30, "kills of runs and exports", 0)
  flags.DEFINE_integer("damaged", 10, "damaged checkpoints", 0)
  flags.DEFINE_integer("studies", 2, "kills of a study", 0)
  flags.DEFINE_integer("seed", 0, "of the moments", 0)
  flags.DEFINE_string("doc", "", "write the table into this document")


if __name__ == "__main__":
  cli.run(main, define_flags)
