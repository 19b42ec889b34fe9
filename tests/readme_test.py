"""The first Python example of README runs as it stands."""

import os
import re
import subprocess
import sys

from tests import quiet_process
from tests.conftest import ROOT


def test_the_first_example(tmp_path):
  text = (ROOT / "README.md").read_text("utf-8")
  code = re.search(r"```python\n(.*?)```", text, re.S)[1]
  assert len([l for l in code.splitlines() if l.strip()]) <= 12
  done = subprocess.run(
      [sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
      text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
  lines = quiet_process.output(done).splitlines()
  assert re.fullmatch(r"mAP on test: 0\.\d+", lines[-2])
  assert lines[-1] == "(1, 8, 8) W/served/1"
