"""Runs of one arm of a study, one after the other in one process.

They differ by seed and shots alone, so the images are read once and the
training steps are compiled once. `atcon_tf.study` starts this with a list of
command lines of `atcon_tf.train` on the standard input, as JSON; after each
run that is finished, its folder is printed on the standard output, and all
that a run itself prints goes to FOLDER.log.
"""

import contextlib
import json
import sys
import traceback

from atcon_tf.config import config_flags
from atcon_tf.runs.run_classifier import with_image_size
from atcon_tf.runs import run_folder
from atcon_tf.training import loop


def parse(arguments):
  """The `Config` and the folder, named last, of a command line of train."""
  return (with_image_size(config_flags.parse(arguments)),
          arguments[-1].removeprefix("--workdir="))


def run(arguments, before):
  """One run; `before`, the last `Training`, is used again where it fits."""
  config, folder = parse(arguments)
  work = run_folder.Workdir(folder, config, False)
  try:
    like = before and loop.same_but_for_seed(config, before.config)
    now = loop.prepare(config, work.path / "splits.json",
                       before if like else None)
    now.run(work)
  finally:
    work.close()
  return now


def main():
  before = None
  for arguments in json.load(sys.stdin):
    folder = arguments[-1].removeprefix("--workdir=")
    with open(f"{folder}.log", "w") as log, contextlib.redirect_stdout(
        log), contextlib.redirect_stderr(log):
      try:
        before = run(arguments, before)
      except Exception:  # named by the study; the others go on
        traceback.print_exc()
        continue
    print(folder, flush=True)


if __name__ == "__main__":
  main()
