"""Judges a run, alone or beside others, or attribution methods on it.

    python -m atcon_tf.evaluate --workdir=RUN [flags]

    --split=val                  another part of its own data
    --data_dir=OTHER --out=FILE  other data of the same classes; the run's own
                                 result stays as it is; so do --table=FILE.csv
                                 and --annotations=FILE (of --dataset=coco,
                                 label_studio or cvat), whatever the run is of
    --compare=RUN2               two finished runs side by side: the paired
                                 differences, over all and of each class, and
                                 figures of what changed
    --methods=auto               which map to trust: a tournament of all
                                 attribution methods on validation images, in
                                 a budget of --passes. The run's `explain` then
                                 uses the method that wins
    --methods=all --metrics=...  a leaderboard of attribution methods instead
    --methods=all --compare=RUN2
                                 how far the maps of the two runs agree
    --methods=all --metrics=sanity --random_model=RUN2
                                 whether their maps depend on what was learned;
                                 RUN2 was trained with --random_labels
"""

import json
import os
import pathlib

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import command_flags
from atcon_tf.config import files
from atcon_tf.config import names
from atcon_tf.config import path_flags
from atcon_tf.config import settings
from atcon_tf.config import UserError


# The flags of leaderboards alone.
_OF_BOARDS = ("metrics", "random_model", "page", "independent", "voc_year")
# The flags of data of another kind than the run's, and the kinds.
_OTHER = ("dataset", "table", "annotations")
_KINDS = [d for d in settings.FILES["dataset"]
          if d not in (settings.TFDS, "image_list", "video")]


def main(argv):
  """Parses the flags and prints what was asked for."""
  del argv
  values = flags.FLAGS
  _check_modes(values)
  for flag in ("out", "page"):
    if values[flag].value:
      files.check_file(flag, values[flag].value)
  run = at.runs.load(values.workdir)
  name = os.path.basename(os.path.normpath(values.workdir))
  if values.methods == [names.AUTO]:
    _hold_tournament(run, values)
    return
  if values.compare and values.methods:
    _judge_agreement(run, values)
    return
  if values.compare:
    at.reports.compare(run, values.compare, values.out)
    return
  if values.methods:
    _judge_methods(run, values)
    return
  result = at.evaluation.evaluate(run, values.split, values.data_dir,
                                  progress=True, **_other(values))
  print(at.reports.tables.scores_table({name: result}, values.split))
  if values.out:
    files.write_text(values.out, json.dumps(result, indent=1))
    print(f"\n{values.out}")


def _check_modes(values):
  """Refuses flags that this kind of judgement ignores, or lacks."""
  if not values.methods:
    command_flags.refuse(
        ["metrics", "random_model", "page", "target", "images", "slow_images",
         "independent", "voc_year"], "needs --methods, the methods to judge")
  auto = values.methods == [names.AUTO]
  if auto:
    command_flags.refuse(
        [*_OF_BOARDS, "split", "data_dir", "compare", *_OTHER, "slow_images"],
        "not used with --methods=auto, which chooses by the run's validation "
        "images, so that the test images stay untouched")
  else:
    command_flags.refuse(["passes"], "goes with --methods=auto")
  if values.compare:
    command_flags.refuse(
        ["split", "data_dir", *_OTHER], "not used with --compare, "
        "which compares the test images of both runs")
    command_flags.refuse(_OF_BOARDS, "not used with --compare")
    if values.methods and len(values.compare) > 1:
      raise UserError("compare", values.compare,
                      "one run, with --methods")
  for flag in ("data_dir", *_OTHER):
    if values[flag].value and not values.out:
      raise UserError(flag, values[flag].value,
                      "needs --out=FILE, where the scores on other data are "
                      "written")
  sane = names.SANITY in values.metrics
  if sane and len(values.metrics) > 1:
    raise UserError("metrics", values.metrics,
                    f"{names.SANITY} stands alone, as it changes the network")
  if values.random_model and not sane:
    raise UserError("random_model", values.random_model,
                    f"goes with --metrics={names.SANITY}")
  if values.independent and not sane:
    raise UserError("independent", True,
                    f"goes with --metrics={names.SANITY}")
  if values.page and sane:
    raise UserError("page", values.page, f"not for --metrics={names.SANITY}")
  if not sane:
    names.check("metrics", values.metrics, names.METRICS)
  if values.methods and values.methods != ["all"] and not auto:
    names.check("methods", values.methods, [*names.METHODS, names.CENTRE])


def _judge_methods(run, values):
  """Judges attribution methods: a leaderboard, or the sanity checks."""
  if values.voc_year and run.config.dataset != "voc":
    raise UserError("voc_year", values.voc_year,
                    f"the run is of --dataset={run.config.dataset}")
  sane = names.SANITY in values.metrics
  other = at.evaluation.randomization.load_other(run, values.random_model)
  methods = _methods(values)
  records, images = at.runs.load_part(
      run, values.split, values.data_dir, values.voc_year,
      None if sane else lambda records: at.evaluation.check_measurable(
          values.metrics, records), **_other(values))
  target = values.target or (
      "box" if any(len(r.boxes) for r in records) else "prediction")
  judged = at.evaluation.cases_of(run.classifier, records, images, target,
                                  values.images)
  note = at.evaluation.map_cells.note(run.classifier, records)
  print(f"judging {len(methods)} methods on {len(judged.ids)} images"
        + f"\n{note}" * bool(note), flush=True)
  name = "sanity.json" if sane else "attribution.json"
  out = pathlib.Path(values.out or run.path / name)
  about = at.runs.provenance.about(run, values.split, values.voc_year,
                                   values.table or values.annotations)
  about |= {"json": values.out or name, "target": target,
            "trained": " ".join(["python -m atcon_tf.train",
                                 *run.config.public().to_flags().split()])}
  if sane:
    board = at.evaluation.randomization.judge(
        run.classifier, judged, methods, other, values.slow_images,
        multi_label=run.multi_label, independent=values.independent)
    print(at.reports.map_tables.randomization(board))
    files.write_text(out, json.dumps(board | about, indent=1))
  else:
    board = at.evaluation.judge(
        run.classifier, judged, methods, values.metrics, run.multi_label,
        values.slow_images, out.with_suffix(".parts"))
    print(at.reports.leaderboard_page.leaderboard_table(board))
    at.reports.leaderboard_page.save(board | about, out, values.page)
  for method, reason in board["skipped"].items():
    print(f"not measured: {method} ({reason})")
  print(f"\n{out}")
  if values.page:
    print(values.page)


def _methods(values):
  """The names of the methods that --methods means."""
  if values.methods == ["all"]:
    return [*names.METHODS, names.CENTRE]
  return values.methods


def _hold_tournament(run, values):
  """Chooses the method that the run's maps are drawn by."""
  records, images = at.runs.load_part(run, "val")
  boxed = sum(len(r.boxes) > 0 for r in records)
  few = boxed < min(2 * at.evaluation.tournament.LEAST_UNITS, len(records))
  target = values.target or ("prediction" if few else "box")
  if few and boxed and not values.target:
    print(f"note: {boxed} of the {len(records)} validation images have boxes, "
          "too few for a tournament; so all take part, and the class that the "
          "network predicts is explained", flush=True)
  cases = at.evaluation.cases_of(run.classifier, records, images, target,
                                 values.images)
  print(f"a tournament of {len(names.METHODS)} methods on {len(cases.ids)} "
        "validation images; no test image is looked at", flush=True)
  outcome = at.evaluation.tournament.hold(
      run.classifier, cases, names.METHODS, run.multi_label, values.passes)
  page = at.reports.tournament_page
  outcome |= {"sentence": page.sentence(outcome), "target": target,
              "command": at.runs.provenance.environment()["command"]}
  print(page.table(outcome), end="\n\n")
  path = pathlib.Path(values.out or run.path / at.runs.trusted_method.NAME)
  sheet = page.sheet(run.classifier, outcome, cases, run.multi_label,
                     run.class_names)
  if sheet:
    files.write_bytes(path.with_suffix(".png"),
                      at.reports.canvas.to_png(sheet, dpi=110))
    print(path.with_suffix(".png"))
  at.runs.trusted_method.keep(path, outcome)
  print(path, outcome["sentence"], sep="\n")
  if values.out:
    print("note: with --out the maps of the run stay as they are")
  elif outcome["method"]:
    print(f"`explain --workdir={run.path}` now uses {outcome['method']}; "
          "--methods names others")


def _judge_agreement(run, values):
  """How far the maps of two runs agree, method by method."""
  other = at.runs.load(values.compare[0], "compare")
  board = at.evaluation.map_agreement.judge(
      run, other, _methods(values), values.target or "label", values.images,
      values.slow_images)
  print(at.reports.map_tables.agreement(board))
  for method, reason in board["skipped"].items():
    print(f"not measured: {method} ({reason})")
  if values.out:
    files.write_text(values.out, json.dumps(
        board | {"runs": [run.path.name, other.path.name],
                 "command": at.runs.provenance.environment()["command"]},
        indent=1))
    print(values.out)


def _other(values):
  """The flags of other data, as arguments of `runs.load_part`."""
  return {name: values[name].value or "" for name in _OTHER}


def define_flags():
  """The flags of this command."""
  path_flags.path("workdir", "W/run", "folder of the run")
  flags.DEFINE_enum("split", "test", ["val", "test", "train", "all"],
                    "which images; train and all only of other data")
  path_flags.path("data_dir", "", "judge other data of the same kind")
  path_flags.path("table", "", "judge the images of this table, as of train")
  path_flags.path("annotations", "", "judge the images of these annotations")
  flags.DEFINE_enum("dataset", None, _KINDS, "kind of the other data; default: "
                    "csv with --table, else that of the run")
  path_flags.path("out", "", "write the scores, or with "
                  "--compare the differences, to this JSON file")
  flags.DEFINE_integer("voc_year", 0, "judge this VOC instead", 0)
  flags.DEFINE_list("methods", [], "attribution methods to judge, or all; "
                    "auto: a tournament says which one to trust")
  flags.DEFINE_integer("passes", 20000, "forward passes of an image that the "
                       "tournament of --methods=auto may take", 1)
  flags.DEFINE_enum("target", None, list(names.TARGETS), "which class of an "
                    "image they explain; default: that of its largest box, or "
                    "the predicted class where no image has boxes")
  flags.DEFINE_list("metrics", list(names.DEFAULT_METRICS),
                    f"by which scores: {', '.join(names.METRICS)}; or "
                    f"{names.SANITY}")
  flags.DEFINE_bool("independent", False, f"for --metrics={names.SANITY}: "
                    "also each group of layers random alone")
  path_flags.path("random_model", "", f"for --metrics={names.SANITY}: a "
                  "run like it, trained with --random_labels")
  flags.DEFINE_integer("images", 200, "images that judge the methods", 1)
  flags.DEFINE_integer("slow_images", 50, "images that judge the methods "
                       "that need hundreds of passes", 1)
  path_flags.path("page", "", "write the leaderboard as Markdown, too")
  path_flags.multi_path("compare", "folder of a run to compare with")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
