"""A new objective is a file with its loss, one with its settings, two rows.

The test adds one to a copy of the package and trains with it, as whoever
builds on the project would.
"""

import json
import shutil
import subprocess
import sys

from tests.conftest import ROOT

SETTINGS = '''"""The settings of entropy minimisation."""

import dataclasses

from atcon_tf.config.fields import flag


@dataclasses.dataclass(frozen=True)
class Entropy:
  """Entropy minimisation, `objectives/entropy.py`."""

  temperature: float = flag(1.0, "of the probabilities", minimum=0.01,
                            needs={"objective": ("entropy",)})
'''
LOSS = '''"""Entropy minimisation (Grandvalet, Bengio, NIPS 2004)."""

import tensorflow as tf

from atcon_tf.objectives import base


class Entropy(base.Objective):
  """Term "consistency": the mean entropy of each class's probability."""

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    entropy = cls(classifier, consistency=config.consistency_weight)
    entropy.temperature = config.temperature
    return entropy

  def call(self, batch, training=False):
    logits = self.classifier.model(batch["image"]) / self.temperature
    value = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.sigmoid(logits), logits=logits), -1)
    return {"consistency": (value, tf.ones_like(value))}
'''


def _insert(path, anchor, line):
  text = path.read_text()
  assert anchor in text
  path.write_text(text.replace(anchor, line + anchor, 1))


def test_one_is_added(tmp_path):
  assert len((SETTINGS + LOSS).splitlines()) < 40
  package = tmp_path / "atcon_tf"
  shutil.copytree(ROOT / "atcon_tf", package)
  settings = package / "config" / "objective_settings"
  (settings / "entropy_settings.py").write_text(SETTINGS)
  (package / "objectives" / "entropy.py").write_text(LOSS)
  registry = settings / "registry.py"
  _insert(registry, "import dataclasses\n", "from atcon_tf.config."
          "objective_settings import entropy_settings\n")
  _insert(registry, '    "gain": Row(', '    "entropy": Row('
          'entropy_settings.Entropy, unlabeled=True),\n')
  registry = package / "objectives" / "registry.py"
  _insert(registry, "from atcon_tf.objectives import gain\n",
          "from atcon_tf.objectives import entropy\n")
  _insert(registry, '    "gain": gain.Gain,', '    "entropy": '
          'entropy.Entropy,\n')

  def train(*flags):
    return subprocess.run(
        [sys.executable, "-m", "atcon_tf.train", "--steps=2", "--shots=1",
         "--eval_every=1", "--unlabeled=16", "--image_size=32",
         "--bootstrap=0", "--summary_images=0", "--workdir=W/run", *flags],
        cwd=tmp_path, capture_output=True, text=True)

  done = train("--objective=entropy", "--temperature=2",
               "--supervised_share=.5")
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "W/run/result.json").read_text())
  assert result["config"]["temperature"] == 2
  assert "consistency" in result["history"][-1]
  refused = train("--objective=atcon", "--temperature=2")
  assert refused.returncode == 2
  assert ("--temperature=2.0: not used with --objective=atcon; it goes with "
          "--objective=entropy") in refused.stderr
