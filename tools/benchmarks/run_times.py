"""A whole run, from the command to its result, beside another commit's.

The other commit is checked out into a folder of its own. Both commands run in
turn. Besides the seconds on the clock the seconds of the processors are
measured, which another program on the machine disturbs less.
"""

import os
import pathlib
import resource
import shlex
import subprocess
import sys
import tempfile
import time

from tools.benchmarks import timing

ROOT = pathlib.Path(__file__).resolve().parents[2]


def measure(options, peer):
  """Rows of `train` here and at another commit.

  Args:
    options: has run_flags, base, base_flags, rounds.
    peer: not used.
  """
  del peer
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    other = folder / "base"
    subprocess.run(["git", "worktree", "add", "-f", "--detach", str(other),
                    options.base], cwd=ROOT, check=True, capture_output=True)
    try:
      seconds = {}
      for round_ in range(options.rounds):
        for name, tree, more in (("run", ROOT, options.run_flags),
                                 (f"run at {options.base}", other,
                                  options.base_flags or options.run_flags)):
          for part, value in _run(tree, shlex.split(more), folder / f"{name}"
                                  f"{round_}".replace(" ", "_")).items():
            seconds.setdefault(part, {}).setdefault(name, []).append(value)
    finally:
      subprocess.run(["git", "worktree", "remove", "--force", str(other)],
                     cwd=ROOT, check=False, capture_output=True)
  found = []
  for part, both in seconds.items():
    found += timing.rows({f"{name}, {part}": times
                          for name, times in both.items()},
                         f"run, {part}", 1)
  return found


def _run(tree, flags, workdir):
  """Seconds of one run: on the clock, of the processors, to the first line of
  a validation."""
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  started, first = time.time(), None
  process = subprocess.Popen(
      [sys.executable, "-m", "atcon_tf.train", *flags, f"--workdir={workdir}"],
      cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
      env={**os.environ, "PYTHONPATH": str(tree), "PYTHONUNBUFFERED": "1"})
  for line in process.stdout:
    if first is None and "val_" in line:
      first = time.time() - started
  if process.wait():
    raise RuntimeError(f"train in {tree} ended with {process.returncode}")
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  return {"seconds": time.time() - started,
          "processor seconds": (after.ru_utime + after.ru_stime
                                - before.ru_utime - before.ru_stime),
          "seconds to the first validation": first or 0.0}
