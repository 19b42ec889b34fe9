"""Trains a classifier: `python -m atcon_tf.train --workdir=RUN [flags]`.

    train_and_evaluate(Config(dataset="shapes").resolve(), "W/run")

is the whole of it, for notebooks and tests. Killed at any moment and started
again with the same settings, a run ends with the same numbers.
"""

import os

from absl import flags

from atcon_tf import cli
from atcon_tf import config as config_lib
from atcon_tf import results
from atcon_tf import run_folder
from atcon_tf import runs
from atcon_tf import training


def train_and_evaluate(config, workdir, overwrite=False):
  """Trains, keeps the best weights, and tests them.

  The best are those of the highest mAP on validation images; of a run that
  trains an explanation head, those of the lowest loss there.

  Args:
    config: a resolved `config.Config`.
    workdir: folder of the run; see `runs`. A run that was interrupted there
      is continued.
    overwrite: start anew where there is a run.
  Returns:
    what result.json holds.
  Raises:
    UserError: one line on what is wrong with settings, data or folder.
  """
  config = runs.with_image_size(config)
  work = run_folder.Workdir(workdir, config, overwrite)
  try:
    return training.Training(config, work.path / "splits.json").run(work)
  finally:
    work.close()


def main(argv):
  """Parses the flags, trains, and prints the result."""
  del argv
  config = config_lib.from_flags()
  workdir = flags.FLAGS.workdir
  result = train_and_evaluate(config, workdir, flags.FLAGS.overwrite)
  print(results.table({os.path.basename(os.path.normpath(workdir)): result}))
  print(f"\n{workdir}: result.json, figures/, predictions.npz\n"
        f"tensorboard --logdir={workdir}/tb "
        "--samples_per_plugin=images=100")


def define_flags():
  """The flags of this command."""
  config_lib.define_flags()
  flags.DEFINE_string("workdir", "W/run", "folder of the run")
  flags.DEFINE_bool("overwrite", False, "start anew where workdir has a run; "
                    "that is gone with the first checkpoint of this one")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
