"""Exports a run as the next version of a served model.

    python -m atcon_tf.export --workdir=RUN --out=DIR

    DIR/N/                  a SavedModel, version N: the next free number
      assets/metadata.json  classes, thresholds, data and scores of the run
      assets.extra/         warm-up requests, classifier.keras, .tflite, .onnx

`tensorflow_model_server --model_base_path=DIR` and `atcon_tf.serve --model=DIR`
serve the highest version in DIR. A version is written under another name and
renamed at the end, so that no half of one is ever served.
"""

import shlex

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import names
from atcon_tf.config import path_flags
from atcon_tf.config import UserError


def main(argv):
  """Parses the flags, exports, and prints how to serve it."""
  del argv
  values = flags.FLAGS
  if not values.out:
    raise UserError("out", None,
                    "needed, the folder of the model's versions")
  if values.method:
    names.check("method", values.method, names.SERVED)
  path = at.serving.export(at.runs.load(values.workdir), values.out,
                           tuple(values.method), values.version,
                           examples=values.examples)
  print(f"{path}: {', '.join(sorted(p.name for p in path.rglob('*.*')))}\n"
        f"{serve(values.out)}")


def serve(out):
  """The command, for a shell, that serves an export."""
  return shlex.join(["python", "-m", "atcon_tf.serve", f"--model={out}"])


def define_flags():
  """The flags of this command."""
  path_flags.path("workdir", "W/run", "folder of the run")
  path_flags.path("out", "", "folder of the model's numbered versions")
  flags.DEFINE_list(
      "method", [], "maps that explain, the first one draws the overlay: any "
      f"of {', '.join(names.SERVED)}; default: all the network can have, "
      "the one that the run's tournament chose first")
  flags.DEFINE_integer("examples", 0, "`explain` also names the so many "
                       "nearest labelled training images; their ids and "
                       "features become a part of the model", 0)
  flags.DEFINE_integer("version", 0, "number of the version; 0: the next",
                       lower_bound=0)


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
