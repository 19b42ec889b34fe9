"""Other packages, each in a virtual environment and a process of its own.

The environment is made on first use. The process builds its network, says
which functions it has, and runs one of them whenever it is asked to; so ours
and theirs can run in turn. It answers by lines that begin with ">": the names
of the functions, then seconds and memory.
"""

import json
import pathlib
import subprocess
import sysconfig
import venv

# The commands of pip that fill an environment. xplique asks for an older
# TensorFlow than it runs with; it runs with ours.
PACKAGES = {
    "torch": [["torch", "torchvision", "captum==0.9.0", "grad-cam==1.5.7",
               "zennit==0.5.1"]],
    "xplique": [["--no-deps", "xplique==2.0.2", "opencv-python-headless",
                 "scikit-image", "scikit-learn", "lazy-loader", "networkx",
                 "tifffile", "einops", "deprecated", "wrapt"]]}
# The packages whose environment also holds what ours does.
SHARED = ("xplique",)
_SCRIPTS = pathlib.Path(__file__).parent


def environment(package, folder):
  """The Python of a package's environment, which is made if it is missing.

  Args:
    package: a key of `PACKAGES`.
    folder: of all environments.
  """
  own = pathlib.Path(folder).expanduser() / package
  python, made = own / "bin" / "python", own / "made.json"
  if not made.exists() or json.loads(made.read_text()) != PACKAGES[package]:
    print(f"installing {package} into {own}", flush=True)
    venv.create(own, clear=True, with_pip=True)
    if package in SHARED:
      (site,) = own.glob("lib/python*/site-packages")
      (site / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for arguments in PACKAGES[package]:
      subprocess.run([python, "-m", "pip", "install", "-q", *arguments],
                     check=True)
    made.write_text(json.dumps(PACKAGES[package]))
  return python


def peer(package, what, model, batch_size, image_size, folder):
  """Starts another package's process, and makes its environment if need be.

  Args:
    package: a key of `PACKAGES`.
    what: "steps" or "attribution".
    model: "resnet50", or of attribution also "mobilenet_v2".
    batch_size, image_size: of the images.
    folder: of the environments.
  """
  return Timed([environment(package, folder),
                _SCRIPTS / f"peer_{package}.py", what, model, batch_size,
                image_size])


class Timed:
  """A process whose functions are timed one at a time.

  Attributes:
    names: of its functions.
  """

  def __init__(self, command):
    """Starts the process.

    Args:
      command: its command line.
    """
    self._process = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    self.names = self._answer().split("\t")

  def seconds(self, name):
    """Runs a function once: (its seconds, the most GiB of the process)."""
    print(name, file=self._process.stdin, flush=True)
    seconds, memory = map(float, self._answer().split())
    return seconds, memory

  def _answer(self):
    """The next line that begins with ">"."""
    for line in self._process.stdout:
      if line.startswith(">"):
        return line[1:].strip()
    raise RuntimeError(f"{' '.join(self._process.args)} ended")

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    self._process.wait()
