"""A run as one HTML page that loads nothing from elsewhere."""

import os
import shlex

import jinja2
import numpy as np

from atcon_tf import attribution
from atcon_tf.attribution import maps
from atcon_tf.config import UserError
from atcon_tf.data import clip_statistics
from atcon_tf.evaluation import comparison
from atcon_tf.evaluation import map_cells
from atcon_tf.evaluation import random_weights
from atcon_tf.reports import glossary
from atcon_tf.reports import kept_weights
from atcon_tf.reports import run_page_figures
from atcon_tf.reports import tables as tables_lib
from atcon_tf.reports.tables import cell
from atcon_tf.reports.tables import ROWS
from atcon_tf.reports import two_classes
from atcon_tf.reports.figures import score_plots
from atcon_tf.runs import run_data
from atcon_tf.runs import same_images
from atcon_tf.runs import stored_predictions
from atcon_tf.runs import trusted_method

CLASS_COLUMNS = {"support": "images", "predicted": "predicted",
                 "recall": "found ↑", "precision": "correct ↑", "f1": "F1 ↑",
                 "ap": "AP ↑", "auc": "AUC ↑", "box_iou": "box IoU ↑",
                 "mask_iou": "mask IoU ↑", "pointing_game": "pointing ↑"}

# Maps of random weights that correlate less with the run's are another matter.
ALIKE = 0.5

THRESHOLDS = {"probability": "a class is present from probability %.3f on",
              "cam": "a map's box holds what is above %.2f of its maximum",
              "mask": "a map's mask is what is above %.2f of its maximum",
              "centre_box": "the centred box has %.2f of the image's sides"}


def report(run, other=None):
  """A run as an HTML page, text.

  Args:
    run: a finished `runs.Run`.
    other: another one, tested on the same images.
  Raises:
    UserError: a run is not finished, or their test images differ.
  """
  result, names = run.result, _names(run, other)
  tables = [stored_predictions.load_predictions(r.path)
            for r in (run, other) if r]
  differences = comparison.compare(tables[1], tables[0]) if other else {}
  unsure = same_images.check(run, other, names) if other else ""
  templates = jinja2.Environment(
      loader=jinja2.PackageLoader("atcon_tf.reports", "."), autoescape=True,
      trim_blocks=True)
  coarse = missing = ""
  pictures, prototypes = [], None
  try:
    known = run_data.records_of(run)
    coarse = map_cells.note(run.classifier, list(known.values()))
    pictures = run_page_figures.pictures(run, other, names, tables[0], known)
    prototypes = run_page_figures.prototypes(run, known)
  except UserError as error:  # the data may have moved since
    missing = str(error)
  things = "clips" if run.classifier.frames else "images"
  return templates.get_template("run_page.html").render(
      title=f"Run {names[0]}", name=names[0], other=(names + [""])[1],
      config=result["config"], steps=result["steps"],
      things=things,
      clip_rows=clip_statistics.cells(result.get("clips", [])),
      kept=kept_weights.short(result["steps"]), data=result["data"],
      notes=_notes(dict(zip(names, (run, other))), unsure, differences,
                   things),
      roc=run_page_figures.roc(result),
      other_labels=bool(other) and set(run.split["train_labeled"]) != set(
          other.split["train_labeled"]),
      folder=shlex.quote(str(run.path)), groups=result.get("groups"),
      glossary=glossary.WORDS, confusion=_confusion(run),
      skipped=result["skipped_images"],
      scores=_scores(result, other and other.result, differences),
      checks=_checks(run, tables[0]) + [
          (False, _sentence(coarse))] * bool(coarse) + [
              (fine, f"{names[1]}: {sentence}") for fine, sentence in (
                  [kept_weights.judged(other.result)] if other else ())],
      curves=run_page_figures.curves(run, other, names),
      class_columns=_class_columns(result).values(), classes=_classes(result),
      pictures=pictures, prototypes=prototypes,
      trusted=trusted_method.read(run.path), no_pictures=missing,
      consistency=run_page_figures.histogram(tables, names),
      class_names=run.class_names,
      flags=run.config.public().to_flags(),
      shortened=run.config.public() != run.config,
      environment={**result["versions"], "commit": result["commit"],
                   "command": result["command"],
                   "time": f"{result['seconds'] / 60:.1f} minutes"})


def _names(*some):
  return [os.path.basename(os.path.abspath(r.path)) for r in some if r]


def _notes(known, unsure, differences, things):
  """Sentences below the scores, each once.

  Args:
    known: `{name: run}`.
    unsure: what `same_images.check` says of them.
    differences: from `comparison.compare`; {}: of one run.
    things: "images" or "clips".
  """
  notes, own = [_sentence(unsure)] * bool(unsure), {}
  for name, run in known.items():
    scores, limits = run.result["test"], run.result["thresholds"]
    notes += tables_lib.interval_notes(scores, things)
    chosen = "; ".join(THRESHOLDS[key] % value for key, value in limits.items()
                       if key in THRESHOLDS)
    own[name] = [*tables_lib.absent_classes(scores, "test"),
                 *two_classes.notes(scores),
                 *filter(None, [two_classes.decision(run.result)]),
                 *[f"Chosen on validation: {chosen}."] * bool(chosen)]
  notes += tables_lib.missing_notes([differences], False, things)
  return dict.fromkeys(notes + tables_lib.shared(own))


def _scores(result, other, differences):
  rows = []
  for metric, label in tables_lib.rows(result["test"]).items():
    if metric not in result["test"]:
      continue
    cells = [cell(r["test"], metric) for r in (result, other) if r]
    if metric in differences and not metric.startswith("centre"):
      row = differences[metric]
      cells += [f"{tables_lib.difference(row)} "
                + tables_lib.ends(row["interval"], "+.3f"),
                tables_lib.p_value(row)]
    elif other:
      cells += ["", ""]
    rows.append({"label": label.strip(), "cells": cells,
                 "trivial": metric.startswith("centre")})
  own = [two_classes.rows(r["test"]) for r in (result, other) if r]
  for label in own[0]:
    rows.append({"label": label.strip(), "trivial": False, "cells": [
        *(one.get(label, "") for one in own), *(["", ""] if other else [])]})
  return rows


def _confusion(run):
  """The confusion matrix as a figure; None where an image has many labels."""
  counts = run.result["test"].get("confusion")
  if counts is None:
    return None
  names = run.class_names
  total, right = sum(map(sum, counts)), sum(
      row[c] for c, row in enumerate(counts))
  wrong = sorted(((count, i, j) for i, row in enumerate(counts)
                  for j, count in enumerate(row) if i != j and count),
                 reverse=True)
  words = f"{right} of {total} test images are classified correctly."
  if wrong:
    count, i, j = wrong[0]
    most = ("The most frequent mistake"
            if len(wrong) == 1 or wrong[1][0] < count
            else "One of the most frequent mistakes")
    words += (f" {most}: {count} of {sum(counts[i])} images of "
              f"'{names[i]}' {'is' if count == 1 else 'are'} called "
              f"'{names[j]}'.")
  return run_page_figures.inline(
      score_plots.confusion(counts, names), f"Confusion matrix. {words}",
      f"{words} A row is a true class, a column what the model says.")


def _class_columns(result):
  known = set().union(*result["test"]["per_class"].values())
  return {key: label for key, label in CLASS_COLUMNS.items() if key in known}


def _classes(result):
  rows = []
  for name, scores in result["test"]["per_class"].items():
    rows.append((name, [
        "-" if key not in scores else
        f"{scores[key]:.0f}" if key in ("support", "predicted") else
        f"{scores[key]:.3f}"
        for key in _class_columns(result)]))
  return rows


def _checks(run, table):
  """The sanity checks of a run, `[(whether it is well, sentence)]`.

  Args:
    run: a `runs.Run`.
    table: its predictions.
  """
  test, val = run.result["test"], run.result["val"]
  parts = [set(run.split[p]) for p in ("train_labeled", "train_unlabeled",
                                       "val", "test")]
  apart = len(set().union(*parts)) == sum(map(len, parts))
  checks = [(apart, "No image is in two of the parts." if apart else
             "Some images are in two parts: the scores are not to be "
             "trusted.")]
  for metric, trivial, what in [
      ("pointing_game", "centre_point_pointing_game", "the image's centre"),
      ("box_iou", "centre_box_iou", "a centred box"),
      ("mask_iou", "centre_mask_iou", "a centred mask"),
      ("moment_pointing_game", "centre_moment_pointing_game",
       "the middle of the clip"),
      ("moment_iou", "centre_moment_iou", "a centred moment")]:
    if metric in test:
      fine, words, row = _against(table, test, metric, trivial)
      checks.append((fine, (
          f"{_sentence(ROWS[metric])}: {cell(test, metric)}, {words} what "
          f"{what} scores without looking ({cell(test, trivial)}{row}).")))
  gap = val["map_macro"] - test["map_macro"]
  chosen = _chosen(run)
  checks.append((abs(gap) < 0.05, f"mAP is {val['map_macro']:.3f} on "
                 f"validation{', which chose the ' * bool(chosen)}{chosen}, "
                 f"and {test['map_macro']:.3f} on test."))
  checks.append(kept_weights.judged(run.result))
  things = "clips" if run.classifier.frames else "images"
  few = kept_weights.too_few(
      {name: row.get("groups", row["support"])
       for name, row in val["per_class"].items()},
      "groups" if "groups" in val else things, run.config.refit == "on")
  if few and run.config.trains and run.config.keep == "best":
    checks.append((False, few))
  checks.append(_random_network(run))
  return checks


def _sentence(text):
  """A note as the beginning of a sentence."""
  text = text.removeprefix("note: ")
  return text[:1].upper() + text[1:]


def _against(table, scores, metric, trivial):
  """Whether a score is above a trivial one, by a paired test, and words.

  Returns:
    `(bool, the words between the two scores, their difference as text)`.
  """
  row = comparison.against(table, metric, trivial)
  shown = row and (f"; difference {tables_lib.difference(row)} "
                   + tables_lib.ends(row["interval"], "+.3f"))
  if scores[metric] <= scores[trivial]:
    return False, "NOT above", shown or ""
  if row and comparison.differs(row):
    return True, "above", shown
  if not row or row["interval"] is None:
    return False, "without an interval not told apart from", ""
  return False, "not told apart from", shown


def _chosen(run):
  """What was chosen on validation, in words; "" if nothing was."""
  config, result = run.config, run.result
  chosen = ["weights"] * (config.trains and config.keep == "best")
  if result["thresholds"].keys() - {"positive"} or result.get(
      "operating_point", {}).get("wanted"):
    chosen.append("thresholds")
  return " and ".join(chosen)


def _random_network(run):
  """Adebayo et al., arXiv 1810.03292: maps must depend on the weights."""
  classifier = run.classifier
  size = classifier.image_size
  count = 4 if classifier.frames else 8
  noise = np.random.default_rng(0).uniform(
      size=[count, *classifier.extent[:-2], *(-(-s // 8) for s in size),
            classifier.image_shape[-1]]).astype(np.float32)
  images = noise.repeat(8, -3).repeat(8, -2)[..., :size[0], :size[1], :]
  target = np.arange(count) % classifier.num_classes
  learned = attribution.explain(classifier, images, "grad_cam", target)
  variables = classifier.network.variables
  with random_weights.restored(variables):
    random_weights.shuffle(variables, 0)
    random = attribution.explain(classifier, images, "grad_cam", target)
  alike = float(np.mean(np.abs(maps.pearson(learned, random))))
  return alike < ALIKE, (
      "Grad-CAM of the same network with its weights in random order is "
      f"{'another one' if alike < ALIKE else 'much the same'}: mean "
      f"|correlation| {alike:.2f} on noise, good below {ALIKE} (1 would mean "
      "that the maps do not depend on what was learnt).")
