r"""Trains a grid of runs and writes one table of their differences.

    python -m atcon_tf.study --grid=FILE --out=ROWS.json --workers=2

A grid is a JSON file:

    {"flags": ["--dataset=voc", ...],          of every run
     "arms": {"supervised": ["--objective=supervised"], "atcon": [], ...},
     "baseline": "supervised",
     "shots": [1, 2, 4, 8, 16], "seeds": [10, 11, 12, 13, 14],
     "endpoint_shots": [2, 4, 8]}

With `"fewer": {"gain": {"seeds": [10, 11, 12]}, ...}` an arm is run at some of
the seeds or shots only. With `"other_seeds": [10, 11, 12]` shots that are no
endpoint have these seeds only. With `"controls": {"atcon": ["atcon_constant",
...], ...}` an arm is also compared with others than the baseline. With
`"variants": {"atcon": ["second_gradient", ...], ...}` the study is an ablation,
and each variant is compared with the arm that it is a variant of.

--seed is also the seed of a run's split, so that the arms are paired. The runs
of an arm that differ by shots alone, or by seed where there is one number of
shots, share a process (`studies/worker.py`). A finished run is not repeated,
an interrupted run continues, and a failed run is named at the end and tried
again by the next call. Each finished run adds a row to --out. The table and
the plot are made from that file alone, also of half a study; --render_only
makes them without any run, and needs no --grid. A row, or a finished run in
--folder, whose flags differ from those of the grid is refused.

The same command on several machines that share the folder of --out makes one
study: each process claims the runs that it makes, and those of a process that
was killed are taken over. With --engine=ray they are tasks of a Ray cluster.
See docs/scale.md.

    python -m atcon_tf.study --grid=flags/studies/voc_fewshot.json --workers=2 \
      --out=docs/results/voc_fewshot.json -- --data_dir=... --weights=...

What follows `--`, such as the paths of this machine, is passed to every run
and not stored. Paths start at the current folder; a grid in `flags/studies/`
that is not there is taken from the installed package.
"""

import pathlib

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import command_flags
from atcon_tf.config import files
from atcon_tf.config import path_flags
from atcon_tf.config import UserError


def main(argv):
  """Runs a grid and renders its table and plot."""
  values = flags.FLAGS
  files.check_file("out", values.out)
  files.check_folder("folder", pathlib.Path(values.folder))
  grid = _grid(values)
  study = at.studies.Study(grid, values.out, values.folder, argv[1:],
                           values.lease)
  failed = [] if values.render_only else _run(study, values)
  if not study.rows and not failed:
    raise UserError("out", values.out, "no rows; nothing to render")
  if study.rows:
    if at.studies.study_tables.read(study.out)["grid"] != grid:
      study.save()
    written = at.studies.study_tables.render(study.out, values.readme)
    print(*written, sep="\n")
    if not any(path.suffix == ".png" for path in written):
      print("no figure: there is nothing to draw yet")
  if failed:
    logs = ", ".join(f"{study.folder / at.studies.study_grid.name_of(c)}.log"
                     for c in failed[:3])
    raise UserError(f"{len(failed)} runs failed, see {logs}; the same "
                    "command tries them again")


def _run(study, values):
  """Makes the missing runs by the engine of the flags; which failed."""
  if values.engine == "ray":
    return at.studies.ray_engine.run(study, values.workers, values.keep,
                                     values.run_cpus, values.run_gpus)
  command_flags.refuse(["run_cpus", "run_gpus"], "needs --engine=ray")
  return study.run(values.workers, values.keep)


def _grid(values):
  """The grid that --grid names; with --render_only alone that of the rows."""
  if values.grid:
    return at.studies.read_grid(values.grid)
  if not values.render_only:
    raise UserError("grid", None, "needed, the file that says what to run, "
                    "such as flags/studies/voc_fewshot.json")
  grid = at.studies.study_tables.read(values.out)["grid"]
  if grid is None:
    raise UserError("out", values.out, "no rows; nothing to render")
  return grid


def define_flags():
  """The flags of this command."""
  path_flags.path("grid", "", "what to run; presets are in flags/studies/")
  path_flags.path("out", "W/study.json", "the rows")
  path_flags.path("folder", "W/study", "where the runs are made")
  flags.DEFINE_integer("workers", 1, "runs at the same time", 1)
  flags.DEFINE_enum("engine", "processes", ["processes", "ray"], "what starts "
                    "them: this command, or tasks on a Ray cluster")
  flags.DEFINE_float("run_cpus", 1, "processors of a run on Ray", 0)
  flags.DEFINE_float("run_gpus", 0, "GPUs of a run on Ray", 0)
  flags.DEFINE_float("lease", 60.0, "seconds after which the runs of a process "
                     "that does not answer are taken over by another", 1.0)
  flags.DEFINE_bool("keep", False, "keep the folders of finished runs")
  flags.DEFINE_bool("render_only", False, "table and plot, no runs")
  path_flags.path("readme", "", "also put the table into this file, "
                  "between its study markers")


def run():
  """The console script."""
  cli.run(main, define_flags, arguments=True)


if __name__ == "__main__":
  run()
