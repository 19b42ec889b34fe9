"""A run as one page: `python -m atcon_tf.report --workdir=RUN [flags]`.

    --compare=RUN2   another run on the same test images beside it
    --out=FILE       default: RUN/report.html

The page is one file without scripts; its pictures are in it, and nothing is
loaded from anywhere: it can be mailed, printed and archived.
"""

import base64
import io
import os

import jinja2
import numpy as np
from absl import flags
from matplotlib.figure import Figure

from atcon_tf import attribution
from atcon_tf import cli
from atcon_tf import datasets
from atcon_tf import maps
from atcon_tf import pipeline
from atcon_tf import plots
from atcon_tf import results
from atcon_tf import runs
from atcon_tf import summaries
from atcon_tf.config import UserError

# Best, and as many worst, images.
SHOWN = 4
CURVES = {"val_map_macro": "mAP, validation",
          "val_f1_macro": "macro F1, validation",
          "val_consistency": "consistency, validation",
          "supervised": "supervised loss"}
CLASS_COLUMNS = {"support": "images", "ap": "AP", "auc": "AUC", "f1": "F1",
                 "box_iou": "box IoU", "pointing_game": "pointing"}


def report(run, other=None):
  """A run as an HTML page, text.

  Args:
    run: a finished `runs.Run`.
    other: another one, tested on the same images.
  Raises:
    UserError: a run is not finished, or they saw other test images.
  """
  result, names = run.result, _names(run, other)
  tables = [results.load_predictions(r.path) for r in (run, other) if r]
  differences = results.compare(tables[1], tables[0]) if other else {}
  loader = jinja2.Environment(loader=jinja2.PackageLoader("atcon_tf", "."),
                              autoescape=True, trim_blocks=True)
  try:
    pictures, missing = _pictures(run, other, names, tables[0]), ""
  except UserError as error:  # the data may be elsewhere by now
    pictures, missing = [], str(error)
  return loader.get_template("report.html").render(
      title=f"Run {names[0]}", name=names[0], other=(names + [""])[1],
      config=result["config"], steps=result["steps"], data=result["data"],
      thresholds=result["thresholds"], skipped=result["skipped_images"],
      scores=_scores(result, other and other.result, differences),
      checks=_checks(run), curves=_curves(run, other, names),
      class_columns=_class_columns(result).values(), classes=_classes(result),
      pictures=pictures, no_pictures=missing,
      consistency=_histogram(tables, names), class_names=run.class_names,
      flags=(run.path / "flags.txt").read_text(),
      environment={**result["versions"], "commit": result["commit"],
                   "command": result["command"],
                   "time": f"{result['seconds'] / 60:.1f} minutes"})


def _names(*some):
  return [os.path.basename(os.path.abspath(r.path)) for r in some if r]


def _scores(result, other, differences):
  rows = []
  for metric, label in results.ROWS.items():
    if metric not in result["test"]:
      continue
    cells = [results.cell(r["test"], metric) for r in (result, other) if r]
    if metric in differences and not metric.startswith("centre"):
      low, high = differences[metric]["interval"]
      cells += [f"{differences[metric]['difference']:+.3f} "
                f"[{low:+.3f}, {high:+.3f}]", f"{differences[metric]['p']:.3f}"]
    elif other:
      cells += ["", ""]
    rows.append({"label": label.strip(), "cells": cells,
                 "trivial": metric.startswith("centre")})
  return rows


def _class_columns(result):
  known = set().union(*result["test"]["per_class"].values())
  return {key: label for key, label in CLASS_COLUMNS.items() if key in known}


def _classes(result):
  rows = []
  for name, scores in result["test"]["per_class"].items():
    rows.append((name, [
        "-" if key not in scores else
        f"{scores[key]:.0f}" if key == "support" else f"{scores[key]:.3f}"
        for key in _class_columns(result)]))
  return rows


def _checks(run):
  """What a careful reader asks first: `[(whether it is well, sentence)]`."""
  test, val = run.result["test"], run.result["val"]
  parts = [set(run.split[p]) for p in ("train_labeled", "train_unlabeled",
                                       "val", "test")]
  apart = len(set().union(*parts)) == sum(map(len, parts))
  checks = [(apart, "No image is in two of the parts." if apart else
             "Some images are in two parts: the scores are not to be "
             "trusted.")]
  for metric, trivial, what in [
      ("pointing_game", "centre_point_pointing_game", "the image's centre"),
      ("box_iou", "centre_box_iou", "a centred box")]:
    if metric in test:
      fine = test[metric] > test[trivial]
      label = results.ROWS[metric]
      checks.append((fine, (
          f"{label[0].upper()}{label[1:]}: {test[metric]:.3f}, "
          f"{'above' if fine else 'NOT above'} what {what} scores without "
          f"looking ({test[trivial]:.3f}).")))
  gap = val["map_macro"] - test["map_macro"]
  checks.append((abs(gap) < 0.05, f"mAP is {val['map_macro']:.3f} on "
                 f"validation, which chose the weights and thresholds, and "
                 f"{test['map_macro']:.3f} on test."))
  best, last = run.result["steps"]["best"], run.result["history"][-1]["step"]
  checks.append((best < last, f"The best weights came after {best} of {last} "
                 "updates" + ("." if best < last else
                              ": longer training may be better.")))
  checks.append(_random_network(run))
  return checks


def _random_network(run):
  """Adebayo et al., arXiv 1810.03292: maps must depend on the weights."""
  classifier = run.classifier
  size = classifier.image_size
  noise = np.random.default_rng(0).uniform(
      size=[8, *(-(-s // 8) for s in size), 3]).astype(np.float32)
  images = noise.repeat(8, 1).repeat(8, 2)[:, :size[0], :size[1]]
  target = np.arange(8) % classifier.num_classes
  untrained = runs.build_classifier(
      run.config, len(run.class_names), run.multi_label, trained=True)
  pair = [attribution.explain(c, images, "grad_cam", target)
          for c in (classifier, untrained)]
  alike = float(np.mean(np.abs(maps.pearson(*pair))))
  return alike < 0.5, (
      f"Grad-CAM of the same network with random weights is another one: "
      f"mean |correlation| {alike:.2f} on noise (1 would mean that the maps "
      "do not depend on what was learnt).")


def _figure(figure, alt, caption, kind="svg"):
  """A matplotlib figure as what the template shows."""
  if kind == "png":
    data, media = plots.to_png(figure, dpi=90), "image/png"
  else:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    data, media = buffer.getvalue(), "image/svg+xml"
  encoded = base64.b64encode(data).decode()
  return {"source": f"data:{media};base64,{encoded}", "alt": alt,
          "caption": caption}


def _curves(run, other, names):
  known = [name for name in CURVES if name in run.result["history"][-1]]
  figure = Figure(figsize=(9, 2.4 * -(-len(known) // 2)),
                  layout="constrained")
  axes = figure.subplots(-(-len(known) // 2), 2, squeeze=False).flat
  words = []
  for one, metric in zip(axes, known):
    for r, name, style in zip((run, other), names, ("-", "--")):
      points = [(row["step"], row[metric]) for row in r.result["history"]
                if metric in row]
      if points:
        one.plot(*zip(*points), style, marker=".", label=name)
        words.append(f"{CURVES[metric]} of {name} goes from "
                     f"{points[0][1]:.3f} to {points[-1][1]:.3f}")
    one.set_title(CURVES[metric], fontsize=10)
    one.set_xlabel("supervised updates", fontsize=9)
    one.grid(alpha=.3)
    one.legend(fontsize=8)
  for one in list(axes):
    one.set_axis_off()
  return _figure(figure, "Curves: " + "; ".join(words) + ".",
                 "Scores on validation and the loss over training.")


def _histogram(tables, names):
  if "consistency" not in tables[0]:
    return None
  figure = Figure(figsize=(7, 2.6), layout="constrained")
  axes = figure.subplots()
  words = []
  for table, name in zip(tables, names):
    if "consistency" in table:
      values = table["consistency"]
      axes.hist(values, np.linspace(-1, 1, 41), alpha=.6, label=name)
      low, middle, high = np.percentile(values, [10, 50, 90])
      words.append(f"{name}: median {middle:.2f}, 80 % of images between "
                   f"{low:.2f} and {high:.2f}")
  axes.set_xlabel("consistency of an image", fontsize=9)
  axes.set_ylabel("test images", fontsize=9)
  axes.legend(fontsize=8)
  text = "; ".join(words) + "."
  return _figure(figure, "Histogram of consistency. " + text, text)


def _pictures(run, other, names, table):
  """The images the run is most and least right about, with their maps."""
  label, p = table["label"], np.clip(table["probability"], 1e-7, 1 - 1e-7)
  loss = -(label * np.log(p) + (1 - label) * np.log1p(-p)).mean(1)
  order = np.argsort(loss, kind="stable")
  # The easiest images are those that show nothing the model knows.
  shows = [i for i in order if label[i].any()]
  known = {r.id: r for part in datasets.load(run.config).splits.values()
           for r in part}
  out = []
  for rows, kind in [(shows[:SHOWN], "best"), (shows[::-1][:SHOWN], "worst")]:
    records = [known[str(table["id"][i])] for i in rows
               if str(table["id"][i]) in known]
    if not records:
      raise UserError("the images of this run are not where they were")
    pixels = pipeline.Images(records, run.classifier.image_size[0]).pixels
    images = pixels.astype(np.float32) / 255
    words = "; ".join(
        f"{r.id}: shows {_listed(run, r.label)}, "
        f"{_listed(run, table['probability'][i])} comes first"
        for r, i in zip(records, rows))
    out.append(_figure(
        summaries.story_figure(run.classifier, images, records,
                               run.class_names, multi_label=run.multi_label),
        f"The {kind} images with their maps. {words}.",
        f"The {len(records)} test images with the "
        f"{'lowest' if kind == 'best' else 'highest'} loss, and what "
        "explains the class the model puts first; boxes are the true ones.",
        "png"))
    if other:
      out.append(_figure(
          _both(run, other, names, images, records),
          f"The same images, Grad-CAM of {names[1]} and of {names[0]}.",
          f"The same images: Grad-CAM of a true class, {names[1]} and "
          f"{names[0]}.", "png"))
  return out


def _listed(run, values):
  """The positive classes of a label, or the first of probabilities."""
  values = np.asarray(values)
  chosen = (np.flatnonzero(values) if set(values.tolist()) <= {0., 1.}
            else [values.argmax()])
  return ", ".join(run.class_names[c] for c in chosen)


def _both(run, other, names, images, records):
  target = np.array([r.label.argmax() for r in records])
  heat = []
  for one in (other, run):
    size = one.classifier.image_size
    heat.append(maps.resize(
        attribution.explain(one.classifier, images, "grad_cam", target)
        if size == run.classifier.image_size else _refuse(one),
        size, one.classifier.geometry[-1]).numpy())
  boxes = [r.boxes[r.box_label == c] for r, c in zip(records, target)]
  captions = [[run.class_names[c], "", ""] for c in target]
  return plots.before_after(images, heat, names[::-1], boxes, captions)


def _refuse(run):
  raise UserError(f"{run.path.name} takes images of another size")


def main(argv):
  """Parses the flags and writes the page."""
  del argv
  values = flags.FLAGS
  run = runs.load_run(values.workdir)
  other = runs.load_run(values.compare) if values.compare else None
  path = values.out or os.path.join(values.workdir, "report.html")
  page = report(run, other)
  runs.write_text(path, page)
  print(f"{path}: {len(page) / 1e6:.1f} MB, one file")


def define_flags():
  """The flags of this command."""
  flags.DEFINE_string("workdir", "W/run", "folder of the run")
  flags.DEFINE_string("compare", "", "folder of a run to compare with")
  flags.DEFINE_string("out", "", "the page; default: report.html in workdir")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
