"""A command answers its flags before it imports what takes seconds.

Counted by what is imported, not by the clock: -X importtime writes a line for
each module as it is imported.
"""

import subprocess
import sys

import pytest

from atcon_tf import __main__ as listing
from atcon_tf.config import names
from tests.conftest import ROOT

COMMANDS = list(listing.commands())
HEAVY = {"tensorflow", "keras", "matplotlib", "scipy", "sklearn"}
# Refusals that need no computing.
WRONG = {
    "train": ["--shots=-1"],
    "evaluate": ["--methods=grad_cma"],
    "predict": ["--model=resnet50"],
    "explain": ["--model=resnet50", "--images=a.jpg", "--methods=grad_cma"],
    "report": ["--out=/dev/null/page.html"],
    "export": ["--out=W/served", "--method=rise"],
    "serve": ["--rest_port=-1"],
    "sweep": ["--seed=1"],
    "study": [],
    "label": [],
    "check": ["--out=W/check.png"],
    "prepare": ["--shard_images=0"],
    "find_lr": ["--low=2", "--high=1"],
}


def _answer(command, *flags):
  """The exit status, the last line, and which of HEAVY were imported."""
  done = subprocess.run(
      [sys.executable, "-X", "importtime", "-m", f"atcon_tf.{command}",
       *flags], capture_output=True, text=True, cwd=ROOT, timeout=60)
  told = done.stderr.splitlines()
  imported = {line.rpartition("|")[2].strip().partition(".")[0]
              for line in told if line.startswith("import time:")}
  lines = [line for line in told if not line.startswith("import time:")]
  assert "absl" in imported  # the lines are what this test takes them for
  return (done.returncode, (lines or done.stdout.splitlines())[-1],
          imported & HEAVY)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_misspelt_flag(command):
  status, line, heavy = _answer(command, "--workdri=W")
  assert (status, heavy) == (2, set())
  assert line.startswith("error: Unknown command line flag 'workdri'")


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
  status, _, heavy = _answer(command, "--help")
  assert (status, heavy) == (1, set())  # absl's status after --help


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_value(command):
  status, line, heavy = _answer(command, *WRONG[command])
  assert (status, heavy) == (2, set())
  assert line.startswith(("error: --", "error: flag --"))


def test_the_names_are_those_of_the_registries():
  from atcon_tf import attribution  # TensorFlow: of this test alone
  from atcon_tf.attribution.methods import tf_keras_vis_methods
  from atcon_tf.evaluation import metrics

  assert names.METHODS == tuple(attribution.METHODS)
  assert names.METRICS == tuple(metrics.METRICS)
  assert set(metrics.NEEDS) <= set(names.METRICS)
  assert set(names.SERVED) <= set(names.METHODS)
  assert all(name.startswith(names.TF_KERAS_VIS)
             for name in tf_keras_vis_methods.METHODS)
