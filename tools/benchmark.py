"""Times and memory: `python -m tools.benchmark --what=steps --peers`.

`--what=all` measures everything but `run` and `serving`, which need more than
a clone (another commit, an exported model). With `--page` the figures go into
docs/results/performance.json, and docs/performance.md is written again.
"""

import functools
import json
import shlex
import sys

from absl import flags

from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import settings
from tools.benchmarks import attribution_times
from tools.benchmarks import input_times
from tools.benchmarks import machine
from tools.benchmarks import peers
from tools.benchmarks import results_page
from tools.benchmarks import run_times
from tools.benchmarks import scaling_times
from tools.benchmarks import serving_times
from tools.benchmarks import step_times

MEASURES = {"steps": step_times.measure,
            "attribution": attribution_times.measure,
            "input": input_times.measure, "run": run_times.measure,
            "serving": serving_times.measure,
            "scaling": scaling_times.measure}
ALL = ("steps", "attribution", "input", "scaling")


def main(argv):
  """Measures, prints, and writes what was asked for."""
  del argv
  values = flags.FLAGS
  if values.out:
    files.check_file("out", values.out)
  peer = functools.partial(peers.Peer, folder=values.peer_folder) if (
      values.peers) else None
  everything = {}
  for what in ALL if values.what == "all" else [values.what]:
    about = machine.facts()
    print(f"{what}: {about['machine']}, load {about['load']}", flush=True)
    rows = MEASURES[what](values, peer)
    everything[what] = {**about, "rows": rows,
                        "command": f"python -m tools.benchmark "
                                   f"{shlex.join(sys.argv[1:])}"}
    if values.page:
      results_page.PAGE.write_text(results_page.page(results_page.add(
          what, machine.kind(), everything[what])))
  if values.out:
    files.write_text(values.out, json.dumps(everything, indent=1))


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_enum("what", "steps", [*MEASURES, "all"], "what is measured")
  flags.DEFINE_enum("model", "resnet50", settings.MODELS, "backbone")
  flags.DEFINE_integer("image_size", 257, "side of the images", 32)
  flags.DEFINE_integer("batch_size", 4, "images in a step", 1)
  flags.DEFINE_integer("rounds", 7, "timed calls of each", 1)
  flags.DEFINE_list("precisions", [], "further precisions of the steps, as "
                    "mixed_bfloat16")
  flags.DEFINE_list("methods", [], "keys of attribution_times.METHODS; "
                    "default: all")
  flags.DEFINE_bool("peers", False, "also time other packages (ResNet50), "
                    "which pip installs into --peer_folder")
  flags.DEFINE_string("peer_folder", "W/peers", "folder of other packages")
  flags.DEFINE_string("run_flags", "--dataset=shapes", "flags of the runs of "
                      "--what=run")
  flags.DEFINE_string("base", "1f2df55", "commit whose run is compared")
  flags.DEFINE_string("base_flags", "", "its flags; default: --run_flags")
  flags.DEFINE_string("served", "", "exported model of --what=serving")
  flags.DEFINE_bool("page", False, "renew docs/performance.md")
  flags.DEFINE_string("out", "", "write the figures to this JSON file")


if __name__ == "__main__":
  cli.run(main, define_flags)
