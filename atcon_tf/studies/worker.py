"""Runs of one arm of a study, one after the other in one process.

They differ by seed and shots alone, so that the images are read once and the
training steps are compiled once. `studies.study` starts this file with a list
of command lines of `atcon_tf.train` on the standard input, as one line of
JSON. The process prints the folder of each finished run; the output of the run
itself goes to FOLDER.log. When the standard input is closed the process ends:
the study has ended, and others may make its runs.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import threading
import traceback

from atcon_tf.config import config_flags
from atcon_tf.runs.run_classifier import of_file
from atcon_tf.runs import run_folder
from atcon_tf.training import determinism
from atcon_tf.training import one_run


def parse(arguments):
  """The `Config` and the folder of a command line of train.

  The last argument must be --workdir. The runs of a study share the features
  of the pretrained network, in a folder beside theirs.
  """
  config = of_file(config_flags.parse(arguments))
  folder = arguments[-1].removeprefix("--workdir=")
  if config.start != "prior" and not config.feature_cache:
    config = dataclasses.replace(config, feature_cache=str(
        pathlib.Path(folder).parent / "features"))
  return config, folder


def run(arguments, before):
  """Makes one run.

  Args:
    arguments: a command line of train.
    before: the `Training` of the run before, or None. Its images and compiled
      steps are used again if it differs by seed and shots alone.
  Returns:
    the `Training` of this run.
  """
  config, folder = parse(arguments)
  work = run_folder.Workdir(folder, config, False)
  try:
    like = before and one_run.same_but_for_seed(config, before.config)
    now = one_run.prepare(config, work.path / "splits.json",
                       before if like else None)
    now.run(work)
  finally:
    work.close()
  return now


def main():
  """Makes the runs that the standard input lists."""
  before, lines = None, json.loads(sys.stdin.readline())
  determinism.require()
  threading.Thread(target=_end_with_the_study, daemon=True).start()
  for arguments in lines:
    folder = arguments[-1].removeprefix("--workdir=")
    with open(f"{folder}.log", "w") as log, contextlib.redirect_stdout(
        log), contextlib.redirect_stderr(log):
      try:
        before = run(arguments, before)
      except Exception:  # the study names this run; the others go on
        traceback.print_exc()
        continue
    print(folder, flush=True)


def _end_with_the_study():
  # Not by sys.stdin, which Python would wait for when it ends.
  while os.read(0, 1):
    pass
  os._exit(1)


if __name__ == "__main__":
  main()
