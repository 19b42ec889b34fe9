"""A served model under load, by `tools/load_server.py`."""

import json
import pathlib
import subprocess
import sys
import tempfile

from atcon_tf.config import UserError


def measure(options, peer):
  """Rows of requests: milliseconds a request, and percentiles 50 and 99.

  Args:
    options: has served, the folder of an exported model.
    peer: not used.
  """
  del peer
  if not options.served:
    raise UserError("served", None, "needed by --what=serving: the folder of "
                    "`python -m atcon_tf.export`")
  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder) / "load.json"
    subprocess.run([sys.executable, "-m", "tools.load_server",
                    f"--model={options.served}", f"--out={out}"], check=True)
    found = json.loads(out.read_text())
  rows = []
  for name in ("predict", "explain"):
    one = found[name]
    rows.append({"name": name, "ms": 1e3 / one["requests_a_second"],
                 "low": one["p50_ms"], "high": one["p99_ms"],
                 "ratio": found["predict"]["requests_a_second"]
                 / one["requests_a_second"], "of": "predict",
                 "peak_gib": one["memory_after_mib"] / 1024})
  return rows
