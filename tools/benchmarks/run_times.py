"""Whole runs, from the command to its result, beside another commit's.

The other commit is checked out into a folder of its own. The commands of both
run in turn. Besides the seconds on the clock the seconds of the processors are
measured, which another program on the machine disturbs less.
"""

import json
import os
import pathlib
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time

from atcon_tf.config import UserError
from tools.benchmarks import timing

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOC = "--dataset=voc --model=mobilenet_v2 --image_size=161 --shots=8"
# The commands of each case, "@" the folder of its runs; the scores are those
# of the run in the folder `SCORED`.
CASES = {
    "README's first command": (
        "train --objective=supervised --workdir=@/baseline",
        "train --objective=atcon --workdir=@/run",
        "evaluate --workdir=@/run --compare=@/baseline"),
    "VOC, 8 shots, 161 px, atcon": (
        f"train {VOC} --objective=atcon --workdir=@/run",),
    "VOC, 8 shots, 161 px, default objective": (
        f"train {VOC} --workdir=@/run",)}
SCORED = "run"


def measure(options, peer):
  """Yields the rows of each case here and at another commit.

  Args:
    options: has cases, voc_flags, run_flags, base, against, rounds.
    peer: not used.
  """
  del peer
  names = [list(CASES)[int(number) - 1] for number in options.cases]
  for name in names:
    if "VOC" in name and not options.voc_flags:
      raise UserError("voc_flags", None, "needed by the cases 2 and 3: "
                      "'--data_dir=VOCdevkit', with --weights=FILE where "
                      "nothing can be downloaded")
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    other = options.against and pathlib.Path(options.against).resolve()
    if not other:
      other = folder / "base"
      _git("worktree", "add", "-f", "--detach", other, options.base)
    try:
      for name in names:
        more = [*(shlex.split(options.voc_flags) if "VOC" in name else ()),
                *shlex.split(options.run_flags)]
        yield _case(name, more, {"here": ROOT, f"at {options.base}": other},
                    options.rounds, folder)
    finally:
      if not options.against:
        _git("worktree", "remove", "--force", other)


def _git(*words):
  subprocess.run(["git", *map(str, words)], cwd=ROOT, check=True,
                 capture_output=True)


def _case(name, more, trees, rounds, folder):
  """The rows of one case."""
  seconds, scores = {}, {}
  for round_ in range(rounds):
    for tree_name, tree in trees.items():
      runs = folder / re.sub(r"\W+", "_", f"{tree_name} {name} {round_}")
      for part, value in _run(tree, CASES[name], more, runs).items():
        seconds.setdefault(part, {}).setdefault(tree_name, []).append(value)
      scores[tree_name] = _scores(runs / SCORED / "result.json")
      print(f"  {name}, {tree_name}: "
            f"{seconds['start to end'][tree_name][-1]:.1f} s, "
            f"{scores[tree_name]}", flush=True)
  found = []
  for part, both in seconds.items():
    rows = timing.rows(({f"{part}, {tree}": times
                         for tree, times in both.items()}, {}),
                       f"{part}, here", 1, name)
    for row in rows:
      if row["name"].startswith("start to end"):
        row["note"] = scores[row["name"].partition(", ")[2]]
    found += rows
  return found


def _scores(path):
  """mAP and F1 on the test images with their intervals, as text."""
  test = json.loads(path.read_text())["test"]
  return ", ".join(
      f"{title} {test[key]:.3f}" + (
          " [{:.3f}, {:.3f}]".format(*test["ci90"][key])
          if key in (test.get("ci90") or {}) else "")
      for title, key in (("mAP", "map_macro"), ("F1", "f1_macro")))


def _run(tree, commands, more, folder):
  """Seconds of commands: on the clock, of the processors, to the first step."""
  folder.mkdir()
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  started, clock = time.time(), folder / "clock.json"
  for command in commands:
    module, *words = command.replace("@", str(folder)).split()
    words += more if module == "train" else []
    done = subprocess.run(
        [sys.executable, "-P", pathlib.Path(__file__).with_name(
            "run_clock.py"), clock, f"atcon_tf.{module}", *words], cwd=tree,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(tree)})
    if done.returncode:
      raise RuntimeError(f"{module} in {tree}: {done.stderr[-500:]}")
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  return {"start to end": time.time() - started,
          "processors": (after.ru_utime + after.ru_stime
                         - before.ru_utime - before.ru_stime),
          "start of the last training to its first step": json.loads(
              clock.read_text())["first step"]}
