"""A study that three processes make, one of which is killed, and one alone.

    python -m tests.studies.shared_study FOLDER
"""

import multiprocessing
import pathlib
import sys
import time

from atcon_tf.studies import study

GRID = {"flags": ["--dataset=shapes"],
        "arms": {"base": ["--objective=supervised"],
                 "new": ["--objective=atcon"]},
        "baseline": "base", "shots": [1, 2], "seeds": [0, 1, 2],
        "endpoint_shots": [1, 2]}


def share(folder):
  """What `python -m atcon_tf.study` does."""
  made = study.Study(GRID, folder / "rows.json", folder / "runs", [])
  assert made.run(1, keep=False) == [] and not made.missing()


def main(folder):
  study.WORKER = [sys.executable, str(
      pathlib.Path(__file__).with_name("quick_worker.py"))]
  shared = folder / "shared"
  (shared / "runs").mkdir(parents=True)
  # No operation of TensorFlow has run, so a fork will do.
  context = multiprocessing.get_context("fork")
  processes = [context.Process(target=share, args=[shared])
               for _ in range(3)]
  for process in processes:
    process.start()
  begun = shared / "runs/begun.txt"
  while not begun.exists() or len(begun.read_text().split()) < 4:
    time.sleep(0.02)
  processes[0].kill()
  for process in processes:
    process.join()
  assert [p.exitcode for p in processes] == [-9, 0, 0]
  share(folder / "alone")


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
