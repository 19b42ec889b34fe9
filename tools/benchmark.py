"""Times and memory: `python -m tools.benchmark --what=steps --peers --page`.

`--what=all` measures every part but `run`, which takes five minutes for each
case and round. With `--page` the figures go into
docs/results/performance.json, and docs/performance.md is written again,
whenever something has been measured: a benchmark that is stopped keeps what
it has. The figures of other kinds of machines stay.
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
from tools.benchmarks import scaling_figure
from tools.benchmarks import scaling_times
from tools.benchmarks import serving_times
from tools.benchmarks import step_times

MEASURES = {"steps": step_times.measure,
            "attribution": attribution_times.measure,
            "input": input_times.measure,
            "serving": serving_times.measure,
            "scaling": scaling_times.measure, "run": run_times.measure}
ALL = tuple(what for what in MEASURES if what != "run")
# Seconds on two cores: to begin and for a round, alone; the same of peers.
ABOUT = {"steps": (140, 12, 30, 8), "attribution": (180, 30, 260, 60),
         "input": (15, 3, 0, 0),
         "serving": (90, 8, 0, 0), "scaling": (120, 4, 0, 0),
         "run": (0, 300, 0, 0)}


def main(argv):
  """Measures, prints, and writes what was asked for."""
  del argv
  values = flags.FLAGS
  if values.out:
    files.check_file("out", values.out)
  peer = functools.partial(peers.peer, folder=values.peer_folder) if (
      values.peers) else None
  everything = {}
  for what in ALL if values.what == "all" else [values.what]:
    print(f"{what}: {_about(what, values)}", flush=True)
    everything[what] = found = {
        **machine.facts(), "rows": [], "whole": False,
        "command": f"python -m tools.benchmark {shlex.join(sys.argv[1:])}"}
    for rows in MEASURES[what](values, peer):
      found["rows"] += rows
      _keep(what, everything, values)
    found["whole"] = True
    _keep(what, everything, values)


def _about(what, values):
  """How long a part takes, in words."""
  begin, each, peers_begin, peers_each = ABOUT[what]
  count = len(values.cases) if what == "run" else 1
  seconds = count * (begin + values.rounds * each) + values.peers * (
      peers_begin + values.rounds * peers_each)
  return f"about {max(1, round(seconds / 60))} min on two idle cores"


def _keep(what, everything, values):
  """Writes what has been measured so far, with this part renewed."""
  found = everything[what]
  if values.page:
    if what == "scaling":
      scaling_figure.draw(found["rows"], machine.kind())
    results_page.PAGE.write_text(results_page.page(results_page.add(
        what, machine.kind(), found)))
  if values.out:
    files.write_text(values.out, json.dumps(everything, indent=1))


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_enum("what", "steps", [*MEASURES, "all"], "what is measured")
  flags.DEFINE_enum("model", "", ["", *settings.MODELS], "backbone; default: "
                    "those of the part")
  flags.DEFINE_integer("image_size", 0, "side of the images; 0: by the part",
                       0)
  flags.DEFINE_integer("batch_size", 0, "images in a call; 0: by the part", 0)
  flags.DEFINE_integer("rounds", 7, "timed calls of each", 1)
  flags.DEFINE_list("precisions", [], "further precisions of the steps, as "
                    "mixed_bfloat16")
  flags.DEFINE_list("methods", [], "keys of attribution_times.METHODS; "
                    "default: all")
  flags.DEFINE_bool("peers", False, "also time other packages, each "
                    "in an environment in --peer_folder, made on first use "
                    "(torch: 6 GB)")
  flags.DEFINE_string("peer_folder", "~/.cache/atcon_tf/peers",
                      "folder of the environments of other packages")
  flags.DEFINE_list("cases", ["1"], "of --what=run: 1, README's first command; "
                    "2, VOC with atcon; 3, VOC with the default objective")
  flags.DEFINE_string("voc_flags", "", "further flags of the cases 2 and 3: "
                      "'--data_dir=VOCdevkit'")
  flags.DEFINE_string("run_flags", "", "further flags of all trainings of "
                      "--what=run")
  flags.DEFINE_string("base", "1f2df55", "commit whose runs are compared")
  flags.DEFINE_string("against", "", "folder with a checkout of --base; "
                      "default: one is made and removed")
  flags.DEFINE_string("served", "", "exported model of --what=serving; "
                      "default: one is trained and exported")
  flags.DEFINE_bool("page", False, "renew docs/performance.md")
  flags.DEFINE_string("out", "", "write the figures to this JSON file")


if __name__ == "__main__":
  cli.run(main, define_flags)
