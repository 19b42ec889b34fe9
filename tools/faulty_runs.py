"""The runs of tools/fault_campaign.py: started, killed, compared."""

import hashlib
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys

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


def _command(name, words, log, spoil):
  """Runs a command of the package, as a shell would."""
  os.setsid()
  file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
  for number in (1, 2):
    os.dup2(file, number)
  module = importlib.import_module(f"atcon_tf.{name}")
  if spoil:
    spoil()
  sys.argv = [name, *words]
  module.run()


class Runs:
  """Starts commands of the package in a folder.

  Attributes:
    folder: `pathlib.Path`.
    wrong: list of lines, what did not end well.
  """

  def __init__(self, folder, seed=0):
    """Prepares the process that the commands are forks of."""
    self.folder, self.wrong, self.seed = folder, [], seed
    self._whole, self._count = {}, 0
    folder.mkdir(parents=True, exist_ok=True)
    _FORKS.set_forkserver_preload([
        "tools.kill_points", "atcon_tf.data", "atcon_tf.training",
        "atcon_tf.reports", "atcon_tf.serving", "atcon_tf.train",
        "atcon_tf.studies"])

  def draws(self, what):
    """The `random.Random` of a row, whatever rows were made before it."""
    return random.Random(f"{self.seed} {what}")

  def start(self, name, words, spoil=None):
    """Starts a command; `spoil` is called in its process before it begins."""
    process = _FORKS.Process(target=_command, args=(
        name, [str(w) for w in words], str(self.folder / "log.txt"), spoil))
    (self.folder / "log.txt").unlink(missing_ok=True)
    process.start()
    return process

  def end(self, *arguments):
    """Starts a command and waits for its end; returns its status."""
    process = self.start(*arguments)
    process.join()
    return process.exitcode

  def is_killed(self, what, status):
    """Whether a process was killed; otherwise that is wrong."""
    if status != -signal.SIGKILL:
      self.wrong.append(f"{what}: not killed, status {status}: "
                        f"{self.said()[-800:]}")
    return status == -signal.SIGKILL

  def said(self):
    """What the command said that was started last."""
    path = self.folder / "log.txt"
    return path.read_text("utf-8", "replace") if path.exists() else ""

  def train(self, kind, workdir, spoil=None):
    """Trains to the end; `kind` is a key of `RUNS`. Returns the status."""
    return self.end("train", [*FLAGS, *RUNS[kind], f"--workdir={workdir}"],
                    spoil)

  def whole(self, kind):
    """The result of the run that nothing happens to."""
    if kind not in self._whole:
      path = self.folder / f"whole_{kind}"
      if result_of(path) is None and self.train(kind, path):
        raise UserError(f"the run failed: {self.said()[-800:]}")
      self._whole[kind] = result_of(path)
    return self._whole[kind]

  def fresh(self):
    """The path of a new run."""
    self._count += 1
    path = self.folder / f"run_{self._count}"
    shutil.rmtree(path, ignore_errors=True)
    return path

  def finish(self, kind, path, what, spoil=None):
    """Starts a run again, once; whether it ends with the right numbers."""
    status = self.train(kind, path, spoil)
    right = status == 0 and result_of(path) == self.whole(kind)
    if not right:
      self.wrong.append(f"{what}: status {status}: {self.said()[-800:]}")
    return right


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


def digests(path):
  """`{name: SHA-256}` of the files of a folder that are no remains."""
  return {p.name: hashlib.sha256(p.read_bytes()).hexdigest()
          for p in path.iterdir() if not p.name.startswith(".")}
