"""Other packages, each in a folder and a process of its own.

`pip install --target` fills the folder on first use. The process builds its
network, says which functions it has, and runs one of them whenever it is
asked to; so ours and theirs can run in turn.
"""

import os
import pathlib
import subprocess
import sys

# What pip installs, and with which options. xplique asks for an older
# TensorFlow than it runs with.
PACKAGES = {
    "torch": [["torch", "torchvision", "captum==0.9.0", "grad-cam==1.5.7",
               "zennit==0.5.1"]],
    "xplique": [["--no-deps", "xplique==2.0.2"],
                ["--no-deps", "opencv-python-headless", "scikit-image",
                 "lazy-loader", "networkx", "tifffile"]]}
_SCRIPTS = pathlib.Path(__file__).parent


class Peer:
  """A process of another package.

  Attributes:
    names: of its functions.
  """

  def __init__(self, package, what, batch_size, image_size, folder):
    """Installs the package if the folder lacks it, and starts the process.

    Args:
      package: a key of `PACKAGES`.
      what: "steps" or "attribution".
      batch_size, image_size: of the images.
      folder: for the packages.
    """
    target = pathlib.Path(folder) / package
    if not target.exists():
      for arguments in PACKAGES[package]:
        subprocess.run([sys.executable, "-m", "pip", "install", "-q",
                        "--target", str(target), *arguments], check=True)
    self._process = subprocess.Popen(
        [sys.executable, str(_SCRIPTS / f"peer_{package}.py"), what,
         str(batch_size), str(image_size)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(target)})
    self.names = self._answer().split("\t")

  def seconds(self, name):
    """Runs a function once; its seconds."""
    print(name, file=self._process.stdin, flush=True)
    return float(self._answer())

  def _answer(self):
    """The next line that begins with ">"."""
    for line in self._process.stdout:
      if line.startswith(">"):
        return line[1:].strip()
    raise RuntimeError(f"{self._process.args[1]} ended")

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    self._process.wait()
