"""Trains a classifier: `python -m atcon_tf.train --workdir=RUN [flags]`.

    train_and_evaluate(Config(dataset="shapes").resolve(), "W/run")

is the whole of it, for notebooks and tests. Killed at any moment and started
again with the same settings, a run ends with the same numbers.
"""

import os

from absl import flags

from atcon_tf.config import cli
from atcon_tf.config import config_flags
from atcon_tf.reports import tables
from atcon_tf import training


def main(argv):
  """Parses the flags, trains, and prints the result."""
  del argv
  config = config_flags.from_flags()
  workdir = flags.FLAGS.workdir
  result = training.train_and_evaluate(config, workdir, flags.FLAGS.overwrite)
  print(tables.scores_table(
    {os.path.basename(os.path.normpath(workdir)): result}))
  print(f"\n{workdir}: result.json, figures/, predictions.npz\n"
        f"tensorboard --logdir={workdir}/tb "
        "--samples_per_plugin=images=100")


def define_flags():
  """The flags of this command."""
  config_flags.define_flags()
  flags.DEFINE_string("workdir", "W/run", "folder of the run")
  flags.DEFINE_bool("overwrite", False, "start anew where workdir has a run; "
                    "that is gone with the first checkpoint of this one")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
