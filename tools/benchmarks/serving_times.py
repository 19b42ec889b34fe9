"""A served model under load, by `tools/load_server.py`."""

import json
import pathlib
import subprocess
import sys
import tempfile

# A run that is short, of a network that people serve.
TRAIN = ("--dataset=shapes", "--model=mobilenet_v2", "--weights=none",
         "--objective=supervised", "--image_size=161", "--steps=1",
         "--bootstrap=0", "--summary_images=0")


def measure(options, peer):
  """Yields rows of requests: milliseconds a request, percentiles 50 and 99.

  Args:
    options: has served, the folder of an exported model ("": a MobileNetV2
      with random weights is exported), and rounds, of 4 seconds each.
    peer: not used.
  """
  del peer
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    served = options.served or _exported(folder)
    out = folder / "load.json"
    _python("tools.load_server", f"--model={served}", f"--out={out}",
            f"--seconds={4 * options.rounds}")
    found = json.loads(out.read_text())
  group = (f"{found['model']}, {' x '.join(map(str, found['image_size']))} px, "
           f"{found['clients']} clients")
  yield [{"group": group, "name": name,
          "ms": 1e3 / found[name]["requests_a_second"],
          "low": found[name]["p50_ms"], "high": found[name]["p99_ms"],
          "ratio": found["predict"]["requests_a_second"]
          / found[name]["requests_a_second"], "of": "predict",
          "peak_gib": found[name]["memory_after_mib"] / 1024}
         for name in ("predict", "explain")]


def _exported(folder):
  """The folder of an exported model."""
  _python("atcon_tf.train", f"--workdir={folder / 'run'}", *TRAIN)
  _python("atcon_tf.export", f"--workdir={folder / 'run'}",
          f"--out={folder / 'served'}")
  return folder / "served"


def _python(module, *words):
  subprocess.run([sys.executable, "-m", module, *words], check=True,
                 stdout=subprocess.DEVNULL)
