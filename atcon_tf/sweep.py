r"""Says up to how many labelled images an objective is worth its time.

    python -m atcon_tf.sweep --dataset=folder --data_dir=photos \
      --objective=self_training --shot_list=1,2,4,8 --repeats=3 --out=W/sweep

Trains with the objective, and without it, on few images of each class. What it
is compared with is its own start without a training step, `ranked_probe` or
`probe`; it is `supervised` where no probe can be the start. Each number of
images is run with several seeds, and a straight line over the logarithm of the
number extrapolates the gain. The command writes a plot, a JSON file and one
sentence, which says up to how many images the gain is worth its time. The same
command continues a sweep that was interrupted. The scores are those of the
validation images, so that the test images stay unseen while one chooses. That
holds for data with folders `val` and `test`: without them every seed cuts its
own from all images.

Every flag of `atcon_tf.train` can be given, but for those that draw the
subsets.
"""

import json
import pathlib

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import config_flags
from atcon_tf.config import files
from atcon_tf.config import names
from atcon_tf.config import path_flags
from atcon_tf.config import settings
from atcon_tf.config import UserError


def main(argv):
  """Runs the sweep and gives its advice."""
  del argv
  values = flags.FLAGS
  for name in names.SWEEP_DRAWS:
    if values[name].present:
      raise UserError(name, values[name].value,
                      "the sweep draws its own subsets; see --shot_list and "
                      "--repeats")
  config = config_flags.from_flags()
  if config.objective in settings.HEADS:
    raise UserError("objective", config.objective,
                    "explains a classifier and leaves its scores as they are; "
                    "name one that trains it")
  if not all(s.isdecimal() and int(s) for s in values.shot_list) or len(
      set(values.shot_list)) < 2:
    raise UserError("shot_list", values.shot_list,
                    "must be at least two numbers of images")
  out = pathlib.Path(values.out)
  files.check_folder("out", out)
  shot_sweep = at.studies.shot_sweep
  baseline = shot_sweep.baseline_of(config)
  if config.objective == baseline:
    raise UserError("objective", baseline,
                    "is what the sweep compares with; name another one")
  shots = sorted(map(int, set(values.shot_list)))
  grid = {"flags": [], "arms": shot_sweep.arms(config, baseline),
          "baseline": baseline, "shots": shots,
          "seeds": list(range(values.repeats)), "endpoint_shots": shots}
  of = f"{config.objective} ({config.steps} updates) and {baseline} " + (
      f"({config.steps} updates)" if baseline == "supervised" else
      "(no updates)")
  print(f"{len(shots) * values.repeats * 2} runs: {of}, with "
        f"{', '.join(map(str, shots))} labelled images a class, "
        f"{values.repeats} seeds each; the first run of each tells the time",
        flush=True)
  sweep = at.studies.Study(grid, out / "rows.json", out / "runs", [])
  failed = sweep.run(values.workers, keep=False)
  if failed:
    log = out / "runs" / f"{at.studies.study_grid.name_of(failed[0])}.log"
    raise UserError(f"{len(failed)} runs failed, see {log}; the same command "
                    "tries them again")
  # An earlier sweep over more images may have left rows of its own.
  wanted = set(at.studies.study_grid.cells(grid))
  rows = [r for r in sweep.rows
          if (r["arm"], r["shots"], r["seed"]) in wanted]
  gain = shot_sweep.gains(rows, config.objective, baseline, values.metric)
  times = shot_sweep.times_as_long(rows, config.objective, baseline)
  advice = shot_sweep.advise(gain, config.objective, baseline, values.metric,
                             values.worth, times)
  files.write_text(out / "sweep.json", json.dumps(advice, indent=1))
  files.write_bytes(out / "sweep.png", at.reports.canvas.to_png(
      shot_sweep.plot(gain, advice), dpi=120))
  print(advice["advice"])
  print(f"{out / 'sweep.png'}, {out / 'sweep.json'}")


def define_flags():
  """The flags of this command: those of training, and its own."""
  config_flags.define_flags()
  flags.DEFINE_list("shot_list", ["1", "2", "4", "8"],
                    "numbers of labelled images per class")
  flags.DEFINE_integer("repeats", 3, "seeds", 2)
  path_flags.path("out", "W/sweep", "folder of the sweep")
  flags.DEFINE_integer("workers", 1, "runs at the same time", 1)
  flags.DEFINE_enum("metric", "map_macro", list(names.SWEEP_METRICS),
                    "what should get better")
  flags.DEFINE_float("worth", 1.0, "points of gain that are worth the time")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
