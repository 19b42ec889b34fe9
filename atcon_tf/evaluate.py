"""Judges a run: `python -m atcon_tf.evaluate --workdir=RUN [flags]`.

    --split=val                  another part of its own data
    --data_dir=OTHER --out=FILE  other data of the same classes; the run's own
                                 result stays as it is
    --compare=RUN2               two finished runs side by side: the paired
                                 differences, over all and of each class, and
                                 figures of what changed
    --methods=all --metrics=...  a leaderboard of attribution methods instead
    --methods=all --metrics=sanity --random_model=RUN2
                                 whether their maps depend on what was learned;
                                 RUN2 was trained with --random_labels
"""

import dataclasses
import json
import os
import pathlib

import numpy as np
from absl import flags

from atcon_tf import cli
from atcon_tf import comparison
from atcon_tf import comparison_figures
from atcon_tf import datasets
from atcon_tf import files
from atcon_tf import image_pairs
from atcon_tf import leaderboard
from atcon_tf import leaderboard_page
from atcon_tf import maps
from atcon_tf import pipeline
from atcon_tf import plots
from atcon_tf import prediction
from atcon_tf import randomization
from atcon_tf import results
from atcon_tf import runs
from atcon_tf import scoring
from atcon_tf.attribution import METHODS
from atcon_tf.attribution import explain
from atcon_tf.config import UserError
from atcon_tf.metrics import METRICS
from atcon_tf.metrics import localization

# Among --metrics: the checks of `randomization` instead of scores.
SANITY = "sanity"
# Rows of a comparison picture: half gains, half losses.
SHOWN = 8


def load_images(run, split="test", data_dir="", voc_year=0, limit=0):
  """Records of one part of a run's data, or of other data, and its images.

  Args:
    run: a `runs.Run`.
    split: "val" or "test" (the run's own ids), or any part of `data_dir`,
      or "all" of it.
    data_dir: judge the data there instead of the run's own.
    voc_year: judge this VOC instead of the run's own.
    limit: only the first so many images; 0: all.
  Raises:
    UserError: other classes, no such part, or missing data.
  """
  config = run.config
  other = bool(data_dir or voc_year)
  config = dataclasses.replace(config, data_dir=data_dir or config.data_dir,
                               voc_year=voc_year or config.voc_year)
  data = datasets.load(config)
  if data.class_names != run.class_names:
    raise UserError(f"--data_dir={data_dir or config.data_dir}: has other "
                    f"classes ({', '.join(data.class_names)[:80]}) than the "
                    f"run ({', '.join(run.class_names)[:80]})")
  if other and split == "all":
    records = [r for part in data.splits.values() for r in part]
  elif other:
    records = data.splits.get(split, [])
  else:
    known = {r.id: r for part in data.splits.values() for r in part}
    records = [known[i] for i in run.split.get(split, []) if i in known]
  if not records:
    raise UserError(f"--split={split}: no images there")
  records = records[:limit or None]
  images = pipeline.Images(records, run.classifier.image_size[0],
                           config.max_bad_images)
  return images.records, images


def evaluate(run, split="test", data_dir="", progress=False):
  """Scores of a run on a split, at the thresholds it chose on validation.

  Returns:
    `{"split", "images", "thresholds", split: scores}`; see `scoring.judge`.
  """
  records, images = load_images(run, split, data_dir)
  config, thresholds = run.config, run.result["thresholds"]
  predictor = prediction.Predictor(run.classifier, run.multi_label,
                                config.eval_batch_size, config.xla)
  predictions = predictor.predict(images, records, progress)
  table = scoring.tabulate(predictions, thresholds, run.class_names,
                           config.false_alarm_rates)
  return {"split": split, "images": len(records), "thresholds": thresholds,
          "steps": run.result["steps"], "seconds": run.result["seconds"],
          split: scoring.judge(table, config.bootstrap)}


def compare_figure(first, second, names):
  """The images whose maps changed most between two runs, better and worse.

  Of every (image, class with a box), the share of the rectified Grad-CAM
  inside the boxes is measured under both runs; shown are the largest gains
  on the left and the largest losses on the right, so that neither story hides
  the other.

  Args:
    first, second: `runs.Run`s with the same test images.
    names: what to call them.
  Returns:
    a matplotlib figure, or None where the data have no boxes.
  """
  records, images = load_images(first)
  pairs = [(r, c) for r in records for c in sorted(set(r.box_label.tolist()))]
  if not pairs:
    return None
  rows = images.rows([r.id for r, _ in pairs])
  target = np.array([c for _, c in pairs])
  boxes = [r.boxes[r.box_label == c] for r, c in pairs]
  heat = [_maps(run.classifier, images.pixels, rows, target)
          for run in (first, second)]
  energy = [localization.energy_pointing_game(m, boxes) for m in heat]
  order = np.argsort(energy[0] - energy[1], kind="stable")
  half = min(SHOWN // 2, len(order) // 2)
  chosen = np.concatenate([order[:half], order[len(order) - half:]])
  captions = [[first.class_names[target[p]],
               *(f"{e[p]:.0%} in the box" for e in energy)] for p in chosen]
  return plots.before_after(
      images.pixels[rows[chosen]] / 255, [m[chosen] for m in heat], names,
      [boxes[p] for p in chosen], captions, ("gained most", "lost most"))


def _maps(classifier, pixels, rows, target, batch_size=32):
  """Grad-CAM of each row's class at the image's size, `[P, H, W]`."""
  out = []
  for first in range(0, len(rows), batch_size):
    part = slice(first, first + batch_size)
    cams = explain(classifier, pixels[rows[part]] / np.float32(255),
                   "grad_cam", target[part])
    out.append(maps.resize(cams, classifier.image_size,
                           classifier.geometry[-1]).numpy())
  return np.concatenate(out)


def main(argv):
  """Parses the flags and prints what was asked for."""
  del argv
  values = flags.FLAGS
  if values.data_dir and not values.out:
    raise UserError(f"--data_dir={values.data_dir}: needs --out=FILE, where "
                    "the scores on other data are written")
  for flag in ("metrics", "random_model", "page"):
    if flags.FLAGS[flag].present and not values.methods:
      raise UserError(f"--{flag}: needs --methods, which it judges")
  run = runs.load_run(values.workdir)
  name = _name(values.workdir)
  if values.compare:
    _compare(run, values.compare, values.out)
    return
  if values.methods:
    judge_methods(run, values)
    return
  result = evaluate(run, values.split, values.data_dir, progress=True)
  print(results.table({name: result}, values.split))
  if values.out:
    files.write_text(values.out, json.dumps(result, indent=1))
    print(f"\n{values.out}")


def judge_methods(run, values):
  """Judges attribution methods: a leaderboard, or the sanity checks."""
  sane = SANITY in values.metrics
  if sane and len(values.metrics) > 1:
    raise UserError(f"--metrics={','.join(values.metrics)}: {SANITY} stands "
                    "alone, as it changes the network")
  if values.random_model and not sane:
    raise UserError(f"--random_model={values.random_model}: goes with "
                    f"--metrics={SANITY}")
  if values.page and sane:
    raise UserError(f"--page={values.page}: not for --metrics={SANITY}")
  other = randomization.load_other(run, values.random_model)
  methods = [*METHODS, leaderboard.CENTRE] if values.methods == ["all"] else (
      values.methods)
  leaderboard.check_methods(methods)
  records, images = load_images(run, values.split, values.data_dir,
                                values.voc_year)
  target = values.target or (
      "box" if any(len(r.boxes) for r in records) else "prediction")
  judged = image_pairs.pairs_of(run.classifier, records, images, target,
                                values.images)
  name = "sanity.json" if sane else "attribution.json"
  out = pathlib.Path(values.out or run.path / name)
  about = leaderboard_page.about(run, values.split, values.voc_year)
  about |= {"json": values.out or name, "target": target}
  if sane:
    board = randomization.judge(run.classifier, judged, methods, other,
                                values.slow_images)
    print(randomization.table(board))
    files.write_text(out, json.dumps(board | about, indent=1))
  else:
    board = leaderboard.judge(
        run.classifier, judged, methods, values.metrics, run.multi_label,
        values.slow_images, out.with_suffix(".parts"))
    print(leaderboard_page.table(board))
    leaderboard_page.save(board | about, out, values.page)
  for method, reason in board["skipped"].items():
    print(f"not measured: {method} ({reason})")
  print(f"\n{out}" + f"\n{values.page}" * bool(values.page))


def _name(workdir):
  return os.path.basename(os.path.normpath(workdir))


def _names(folders):
  """What to call runs: their folders' names, with as much of the path before
  them as tells them apart."""
  parts = [pathlib.Path(os.path.abspath(f)).parts for f in folders]
  for depth in range(1, max(map(len, parts)) + 1):
    names = ["_".join(p[-depth:]).replace("/", "") for p in parts]
    if len(set(names)) == len(names):
      return names
  raise UserError("--compare: the same run is named twice")


def _compare(run, others, out):
  """Tables and figures of `run` against each of the others.

  Args:
    run: a finished `runs.Run`.
    others: folders of the runs it is compared with.
    out: a JSON file for all differences, or "".
  """
  names = _names([run.path, *others])
  bases = [runs.load_run(other) for other in others]
  everything = {name: r.result for name, r in zip(names, [run, *bases])}
  table, *tables = [results.load_predictions(r.path) for r in (run, *bases)]
  for name, one in zip(names[1:], tables):
    comparison.check(table, one, (names[0], name))
  print(results.table(everything))
  kept = {}
  for name, base, one in zip(names[1:], bases, tables):
    differences = comparison.compare(one, table)
    title = f"{names[0]} over {name}"
    print(f"\n{comparison.table(differences, title)}\n")
    print(comparison.class_tables(differences, (name, names[0])), end="\n\n")
    if set(base.split["train_labeled"]) != set(run.split["train_labeled"]):
      print(f"note: {names[0]} and {name} had different labelled images: the "
            "differences are theirs, too\n")
    for path, what in _draw(run, base, (names[0], name), (table, one),
                            differences):
      print(f"{path}: {what}")
    kept[title] = differences
  if out:
    files.write_text(out, json.dumps(kept, indent=1))
    print(out)


def _draw(run, base, names, tables, differences):
  """Writes the figures of a pair of runs; yields paths and what they show."""
  before, after = names[::-1], tables[::-1]
  figures = {"classes": (
      comparison_figures.classes(differences, f"{names[0]} over {names[1]}"),
      "the difference of each class")}
  if all("consistency" in t for t in tables):
    figures["gain"] = (comparison_figures.gain(*after, before),
                       "gain of consistency against consistency before")
    figures["positives"] = (comparison_figures.positives(after, before),
                            "consistency of true and false positives")
  figures["maps"] = (compare_figure(base, run, before),
                     "the maps that changed most, left for the better, right "
                     "for the worse")
  for kind, (figure, what) in figures.items():
    if figure is not None:
      path = run.path / "figures" / f"compare_{names[1]}_{kind}.png"
      files.write_bytes(path, plots.to_png(figure, dpi=110))
      yield path, what


def define_flags():
  """The flags of this command."""
  flags.DEFINE_string("workdir", "W/run", "folder of the run")
  flags.DEFINE_enum("split", "test", ["val", "test", "train", "all"],
                    "which images; train and all only of other data")
  flags.DEFINE_string("data_dir", "", "judge other data of the same kind")
  flags.DEFINE_string("out", "", "write the scores, or with "
                      "--compare the differences, to this JSON file")
  flags.DEFINE_integer("voc_year", 0, "judge this VOC instead", 0)
  flags.DEFINE_list("methods", [], "attribution methods to judge, or all")
  flags.DEFINE_enum("target", None, list(image_pairs.TARGETS), "which class "
                    "of an image they explain; default: of its largest box, or "
                    "what the classifier says where there are no boxes")
  flags.DEFINE_list("metrics", list(leaderboard.DEFAULT_METRICS),
                    f"by which scores: {', '.join(METRICS)}; or {SANITY}")
  flags.DEFINE_string("random_model", "", f"for --metrics={SANITY}: a run "
                      "like it, trained with --random_labels")
  flags.DEFINE_integer("images", 200, "images that judge the methods", 1)
  flags.DEFINE_integer("slow_images", 50, "images that judge the methods "
                       "that need hundreds of passes", 1)
  flags.DEFINE_string("page", "", "write the leaderboard as Markdown, too")
  flags.DEFINE_multi_string("compare", [], "folder of a run to compare with")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
