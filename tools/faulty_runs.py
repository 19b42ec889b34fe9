"""The runs of tools/fault_campaign.py: started, killed, compared."""

import importlib
import json
import multiprocessing
import os
import random
import resource
import sys
import time

from atcon_tf.config import UserError

FLAGS = ["--dataset=shapes", "--image_size=32", "--shots=2", "--batch_size=4",
         "--eval_every=4", "--checkpoint_every=1", "--bootstrap=0",
         "--summary_images=0", "--steps=12"]
RUNS = {"atcon": ["--objective=atcon", "--unlabeled=24",
                  "--unlabeled_batch_size=3"],
        "bank": ["--objective=self_training", "--bank_every=1",
                 "--unlabeled_batch_size=3"]}
SAME = ("val", "test", "history", "thresholds", "steps")
# The modules are imported once; each command is a fork of that process.
_FORKS = multiprocessing.get_context("forkserver")


def _command(name, words, log, limit):
  """Runs a command of the package, as a shell would."""
  os.setsid()
  file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
  for number in (1, 2):
    os.dup2(file, number)
  if limit:  # a write beyond it fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
  sys.argv = [name, *words]
  importlib.import_module(f"atcon_tf.{name}").run()


class Runs:
  """Starts commands of the package in a folder.

  Attributes:
    folder: `pathlib.Path`.
    wrong: list of lines, what did not end well.
    random: `random.Random`.
  """

  def __init__(self, folder, seed=0):
    """Prepares the process that the commands are forks of."""
    self.folder, self.wrong = folder, []
    self.random, self._whole, self._count = random.Random(seed), {}, 0
    _FORKS.set_forkserver_preload([
        "tools.faulty_runs", "atcon_tf.training", "atcon_tf.reports",
        "atcon_tf.serving", "atcon_tf.train", "atcon_tf.export"])

  def start(self, name, words, limit=0):
    """Starts a command; its output goes to the log beside --workdir."""
    process = _FORKS.Process(target=_command, args=(
        name, [str(w) for w in words], str(self.folder / "log.txt"), limit))
    (self.folder / "log.txt").unlink(missing_ok=True)
    process.start()
    return process

  def said(self):
    """What the command said that was started last."""
    path = self.folder / "log.txt"
    return path.read_text("utf-8", "replace") if path.exists() else ""

  def train(self, kind, workdir, limit=0):
    """Starts a training; `kind` is a key of `RUNS`."""
    return self.start("train", [*FLAGS, *RUNS[kind],
                                 f"--workdir={workdir}"], limit)

  def whole(self, kind):
    """The result of the run that nothing happens to, and its seconds."""
    if kind not in self._whole:
      path, started = self.folder / f"whole_{kind}", time.time()
      process = self.train(kind, path)
      process.join()
      if process.exitcode:
        raise UserError(f"the run ended with {process.exitcode}: "
                        f"{self.said()[-800:]}")
      self._whole[kind] = result_of(path), time.time() - started
    return self._whole[kind]

  def fresh(self):
    """The path of a new run."""
    self._count += 1
    return self.folder / f"run_{self._count}"

  def finish(self, kind, path, what):
    """Starts a run again until it ends; whether its numbers are right."""
    wanted, _ = self.whole(kind)
    for _ in range(3):
      process = self.train(kind, path)
      process.join()
      if process.exitcode == 0:
        break
    right = process.exitcode == 0 and result_of(path) == wanted
    if not right:
      self.wrong.append(f"{what}: status {process.exitcode}: "
                        f"{self.said()[-800:]}")
    return right

  def at_random(self, first, last):
    """A moment between two shares of the time that a run takes."""
    def moment(process, path):
      del path
      _, seconds = self.whole("atcon")
      process.join(seconds * self.random.uniform(first, last))
    return moment

  def when(self, seen, most=0.0):
    """A moment up to `most` seconds after `seen(path)` becomes true."""
    skip = self.random

    def moment(process, path):
      times = skip.randint(1, 6)
      while process.is_alive() and times:
        if seen(path):
          times -= 1 if most == 0 else times
          time.sleep(0.01)
        time.sleep(0.0003)
      process.join(skip.uniform(0, most))
    return moment


def result_of(path):
  """What is the same in two runs; None of a run that is not finished."""
  path = path / "result.json"
  if not path.exists():
    return None
  result = json.loads(path.read_text())
  return {name: result[name] for name in SAME}


def tree(path):
  """The files below a folder."""
  return sorted(str(p.relative_to(path)) for p in path.rglob("*"))
