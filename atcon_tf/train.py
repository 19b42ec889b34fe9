"""Trains a classifier and scores it on the test images.

    python -m atcon_tf.train --workdir=RUN [flags]

In a notebook `training.train_and_evaluate(config, workdir)` does the same. A
run that was stopped at any moment continues when the same command is started
again, and ends with the same numbers. After SIGTERM it writes a checkpoint and
ends with status 75: start me again.
"""

import os
import shlex

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import config_flags
from atcon_tf.config import names
from atcon_tf.config import path_flags
from atcon_tf.config import xla_cache


def main(argv):
  """Parses the flags, trains, and prints the result."""
  del argv
  config = config_flags.from_flags()
  workdir = flags.FLAGS.workdir
  if config.xla != "off":
    xla_cache.keep()
  strategy = flags.FLAGS.strategy
  if strategy == "multi_worker":
    # TensorFlow's threads would write pages about a worker that is gone.
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "2":
      os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
  if flags.FLAGS.deterministic:
    at.training.determinism.require()
  result = at.training.train_and_evaluate(
      config, workdir, flags.FLAGS.overwrite, strategy)
  if result is None:  # a worker; the first one has the result
    return
  print(at.reports.tables.scores_table(
      {os.path.basename(os.path.normpath(workdir)): result}))
  for sentence in filter(None, [*at.reports.kept_weights.warnings(result),
                                at.reports.two_classes.missed(result)]):
    print(f"\nnote: {sentence}")
  print(f"\n{workdir}: result.json, figures/, predictions.npz\n"
        f"Next: labels of your own {'clips' if config.frames else 'pictures'}, "
        "the run as a page, its curves:")
  print(*following(workdir), tensorboard(workdir), sep="\n")


def following(workdir):
  """The commands, for a shell, that a person may start after a run."""
  run = f"--workdir={workdir}"
  return [shlex.join(["python", "-m", *words]) for words in (
      ["atcon_tf.predict", run, "--images=FOLDER", "--out=labels.csv"],
      ["atcon_tf.report", run])]


def tensorboard(workdir):
  """The command, for a shell, that shows a run's TensorBoard."""
  return shlex.join(["tensorboard", f"--logdir={workdir}/tb",
                     "--samples_per_plugin=images=100"])


def define_flags():
  """Defines the flags of this command."""
  config_flags.define_flags()
  path_flags.path("workdir", "W/run", "folder of the run")
  flags.DEFINE_bool("overwrite", False, "start a new run even if workdir "
                    "holds one; the old run is deleted when the new one "
                    "writes its first checkpoint")
  flags.DEFINE_bool("deterministic", True, "let a second run of the same "
                    "command end with the same bits; docs/reliability.md says "
                    "where it does")
  flags.DEFINE_enum(
      "strategy", "auto", names.STRATEGIES, "what takes the steps. one: the "
      "first GPU, or the CPU; mirrored: all GPUs of this machine; auto: "
      "mirrored, or one if there is one; multi_worker: the processes of "
      "TF_CONFIG or of a Slurm step, see docs/scale.md")


def run():
  """Runs the command; the console script calls it."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
