"""A run beside others: tables, and figures of what changed.

    compare_runs.compare(runs.load("W/atcon"), ["W/baseline"])

prints the scores of all runs side by side, then the paired differences to each
of the others, over all images and of each class. It writes figures into the
run's folder.
"""

import json
import os
import pathlib
import textwrap

import numpy as np

from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.evaluation import comparison
from atcon_tf.evaluation.metrics import localization
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import classifier_maps
from atcon_tf.reports.figures import comparison_figures
from atcon_tf.reports.figures import map_rows
from atcon_tf.reports.tables import class_tables
from atcon_tf.reports.tables import differences_table
from atcon_tf.reports.tables import missing_notes
from atcon_tf.reports.tables import scores_table
from atcon_tf import runs
from atcon_tf.runs import run_data
from atcon_tf.runs import same_images
from atcon_tf.runs import stored_predictions

# Rows of a comparison picture: half gains, half losses.
SHOWN = 8
# A smaller change of the share of a map in its boxes is not shown.
CHANGED = .005


def compare(run, others, out=""):
  """Tables and figures of `run` against each of the others.

  Args:
    run: a finished `runs.Run`.
    others: folders of the runs it is compared with.
    out: a JSON file for all differences; "": none.
  Raises:
    UserError: a run is not finished, or was tested on other images.
  """
  names = _names([run.path, *others])
  bases = [runs.load(other, "compare") for other in others]
  everything = {name: r.result for name, r in zip(names, [run, *bases])}
  table, *tables = [stored_predictions.load_predictions(r.path)
                    for r in (run, *bases)]
  notes = []
  for name, base, one in zip(names[1:], bases, tables):
    comparison.check(table, one, (names[0], name))
    notes.append(same_images.check(run, base, (names[0], name)))
  scores = scores_table(everything)
  print(scores)
  for note in filter(None, notes):
    print(f"\n{note}")
  kept = {}
  for name, base, one in zip(names[1:], bases, tables):
    differences = comparison.compare(one, table)
    title = f"{names[0]} over {name}"
    print(f"\n{differences_table(differences, title)}\n")
    print(class_tables(differences, (name, names[0])), end="\n\n")
    if set(base.split["train_labeled"]) != set(run.split["train_labeled"]):
      print(f"note: {names[0]} and {name} had different labelled images: the "
            "differences are theirs, too\n")
    for line in _without_groups((names[0], run, table), (name, base, one)):
      print(line)
    kept[title] = differences
  things = "clips" if run.config.frames else "images"
  for note in missing_notes(kept.values(), things=things):
    if textwrap.fill(note, 79) not in scores:  # which says it already
      print(textwrap.fill(note, 79), end="\n\n")
  if out:
    files.write_text(out, json.dumps(kept, indent=1))
    print(out)
  # The images may be missing here, so what needs none of them comes first.
  for name, base, one, differences in zip(names[1:], bases, tables,
                                          kept.values()):
    for path, what in _draw(run, base, (names[0], name), (table, one),
                            differences):
      print(f"{path}: {what}")


def _without_groups(*three):
  """Notes on runs whose images have groups, and their predictions none.

  Args:
    three: `(name, run, table)` of each run.
  """
  if any("group" in table for _, _, table in three):
    return []
  return [f"note: the stored predictions of {name} have no groups: intervals "
          "and p are over images, and may be too narrow\n"
          for name, run, _ in three if "groups" in run.result]


def _draw(run, base, names, tables, differences):
  """Writes the figures of a pair of runs; yields paths and what they show."""
  for kind, figure, what in _figures(run, base, names, tables, differences):
    if figure is not None:
      path = run.path / "figures" / f"compare_{names[1]}_{kind}.png"
      files.write_bytes(path, canvas.to_png(figure, dpi=110))
      yield path, what


def _figures(run, base, names, tables, differences):
  """Yields `(kind, figure or None, what it shows)`, that of images last."""
  before, after = names[::-1], tables[::-1]
  yield ("classes", comparison_figures.classes(
      differences, f"{names[0]} over {names[1]}"),
         "the difference of each class")
  if all("consistency" in t for t in tables):
    yield ("gain", comparison_figures.gain(*after, before,
                                           differences["consistency"]),
           "gain of consistency against consistency before")
    few = comparison_figures.too_few(after, before)
    if few:
      print(f"compare_{names[1]}_positives.png is left out: {few}")
    yield ("positives",
           None if few else comparison_figures.positives(after, before),
           "consistency of right and wrong predictions")
  yield ("maps", changed_maps(base, run, before),
         "the maps that changed most, for the better or for the worse")


def changed_maps(first, second, names):
  """The images whose maps changed most between two runs, better and worse.

  For every image and class with a box, the share of the rectified Grad-CAM
  inside the boxes is measured under both runs. The figure has the largest
  gains on the left and as many of the largest losses on the right, whichever
  are larger; or one of them alone, if there is no other of half a point.

  Args:
    first, second: `runs.Run`s with the same test images.
    names: what to call them.
  Returns:
    a matplotlib figure, or None where the data have no boxes, or no map
    changed by half a point, which is said.
  """
  records, images = run_data.load_part(first)
  size = first.classifier.image_size
  pairs = [(r, c) for r in records for c in sorted(set(r.box_label.tolist()))]
  if not pairs:
    return None
  ids = [r.id for r, _ in pairs]
  rows = images.rows(ids)
  target = np.array([c for _, c in pairs])
  boxes = [r.boxes[r.box_label == c] for r, c in pairs]
  others = (images if second.classifier.image_size == size else
            run_data.load_part(second)[1])
  heat = [classifier_maps.grad_cam_at(
      run.classifier, own.pixels, target, size, own.rows(ids))
          for run, own in ((first, images), (second, others))]
  energy = [localization.energy_pointing_game(m, boxes) for m in heat]
  gains = energy[1] - energy[0]
  order = np.argsort(-gains, kind="stable")
  sides = {"gained most": order[gains[order] >= CHANGED],
           "lost most": order[gains[order] <= -CHANGED][::-1]}
  sides = {heading: side for heading, side in sides.items() if len(side)}
  if not sides:
    print("the figure of changed maps is left out: no map has half a point "
          "more or less of it in the boxes")
    return None
  each = min(SHOWN // 2, *map(len, sides.values()))
  chosen = np.concatenate([side[:each] for side in sides.values()])
  captions = [[first.class_names[target[p]],
               *(f"{e[p]:.0%} in the box" for e in energy)] for p in chosen]
  return map_rows.before_after(
      images.pixels[rows[chosen]] / 255, [m[chosen] for m in heat], names,
      [boxes[p] for p in chosen], captions, tuple(sides))


def _names(folders):
  """The names of folders, each with as much of its path as makes it unique."""
  parts = [pathlib.Path(os.path.abspath(f)).parts for f in folders]
  for depth in range(1, max(map(len, parts)) + 1):
    names = ["_".join(p[-depth:]).replace("/", "") for p in parts]
    if len(set(names)) == len(names):
      return names
  raise UserError("compare", None, "the same run is named twice")
