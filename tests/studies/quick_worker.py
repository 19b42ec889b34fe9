"""Stands in for `atcon_tf.studies.worker`: a run takes a moment, no training.

Every run begins with a line in begun.txt beside its folder.
"""

import json
import os
import pathlib
import sys
import threading
import time


def _end_with_the_study():
  while os.read(0, 1):
    pass
  os._exit(1)


def main():
  lines = json.loads(sys.stdin.readline())
  threading.Thread(target=_end_with_the_study, daemon=True).start()
  for arguments in lines:
    folder = pathlib.Path(arguments[-1].removeprefix("--workdir="))
    folder.mkdir(exist_ok=True)
    with open(folder.parent / "begun.txt", "a") as file:
      print(folder.name, file=file)
    time.sleep(0.3)
    score = sum(folder.name.encode()) % 100 / 100
    scores = {"map_macro": score, "f1_macro": score}
    (folder / "result.json").write_text(json.dumps({
        "val": scores, "test": scores, "steps": {}, "seconds": 1,
        "thresholds": {}, "data": {}, "commit": "abc", "config": {}}))
    print(folder, flush=True)


if __name__ == "__main__":
  main()
