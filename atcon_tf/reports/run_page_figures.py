"""The pictures of a run's page, each with a description in words."""

import base64

from matplotlib.figure import Figure
import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import image_store
from atcon_tf.evaluation import class_boxes
from atcon_tf.reports import example_files
from atcon_tf.reports import moving_pictures
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import classifier_maps
from atcon_tf.reports.figures import contact_sheets
from atcon_tf.reports.figures import film_strips
from atcon_tf.reports.figures import map_rows
from atcon_tf.reports.figures import score_plots
from atcon_tf.runs import nearest_images

# Best, and as many worst, images.
SHOWN = 4
# Labelled images of a class among which its prototypes are sought.
CANDIDATES = 30


# What the boxes are, see `class_boxes.kind`.
_BOXES = {"": "",
          "boxes": " Boxes were drawn by people, and the model has not seen "
                   "them.",
          "boxes around the masks": " Boxes are around the masks of the data, "
                                    "which the model has not seen."}


def inline(figure, alt, caption, kind="svg"):
  """A matplotlib figure as the template of the page takes it.

  Returns:
    dict: "source", the picture as a data: address; "alt"; "caption".
  """
  if kind == "png":
    data, media = canvas.to_png(figure, dpi=90), "image/png"
  else:
    data, media = canvas.to_svg(figure), "image/svg+xml"
  encoded = base64.b64encode(data).decode()
  return {"source": f"data:{media};base64,{encoded}", "alt": alt,
          "caption": caption}


def curves(run, other, names):
  """Validation scores and the loss of one or two runs."""
  counts = {name: sum(name in row for row in run.result["history"])
            for name in score_plots.CURVES}
  # One point beside curves shows nothing; of a probe there is no more.
  known = [name for name, count in counts.items()
           if count >= min(2, max(counts.values()))]
  figure = Figure(figsize=(9, 2.4 * -(-len(known) // 2) + .3),
                  layout="constrained")
  axes = figure.subplots(-(-len(known) // 2), 2, squeeze=False).flat
  words = []
  for metric, one in zip(known, axes):  # `axes` goes on below
    for r, name, style in zip((run, other), names, ("-", "--")):
      points = [row[metric] for row in score_plots.trained(
          r.result["history"], metric)]
      if points:
        line = score_plots.trace(one, r.result["history"], metric, style,
                                 name if other else "")
        score_plots.mark_kept(
            one, r.result["history"], metric,
            *(line.get_color(), f"kept weights of {name}") if other else ())
        words.append(f"{score_plots.CURVES[metric]} of {name} goes from "
                     f"{points[0]:.3f} to {points[-1]:.3f}")
    one.set_title(score_plots.CURVES[metric], fontsize=10)
    one.set_xlabel("updates", fontsize=9)
    one.grid(alpha=.3)
  figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=8,
                loc="outside lower center", ncols=4, frameon=False)
  for one in list(axes):
    one.set_axis_off()
  return inline(figure, "Curves: " + "; ".join(words) + ".",
                "Scores on validation and the loss over training; a ring "
                "marks the weights that were kept and tested.")


def histogram(tables, names):
  """Consistency of the test images; None where the first run has none."""
  if "consistency" not in tables[0]:
    return None
  figure = Figure(figsize=(7, 2.6), layout="constrained")
  axes = figure.subplots()
  # Forty bars of a few images each would show nothing.
  bars = int(np.clip(np.sqrt(len(tables[0]["consistency"])), 8, 40))
  words = []
  for table, name in zip(tables, names):
    if "consistency" in table:
      values = table["consistency"]
      *_, (patch,) = axes.hist(
          values, np.linspace(-1, 1, bars + 1), alpha=.35,
          histtype="stepfilled", label=canvas.entry(name))
      patch.set_edgecolor((*patch.get_facecolor()[:3], 1))
      patch.set_linewidth(1.5)
      low, middle, high = np.percentile(values, [10, 50, 90])
      words.append(f"{name}: median {middle:.2f}, 80 % of images between "
                   f"{low:.2f} and {high:.2f}")
  axes.set_xlabel("consistency of an image", fontsize=9)
  axes.set_ylabel("test images", fontsize=9)
  axes.yaxis.get_major_locator().set_params(integer=True)
  axes.legend(fontsize=8)
  text = "; ".join(words) + "."
  return inline(figure, "Histogram of consistency. " + text, text)


def roc(result):
  """The ROC curves of two classes; None of other data, or of one class."""
  parts = {part: result[part] for part in ("val", "test")
           if "roc" in result[part]}
  if not parts:
    return None
  known = {part: scores["operating_point"] for part, scores in parts.items()}
  words = "; ".join(
      f"at the threshold {point['threshold']:.3f} the {part} images have a "
      f"sensitivity of {point['sensitivity']:.3f} and a rate of false alarms "
      f"of {1 - point['specificity']:.3f}" for part, point in known.items())
  return inline(
      score_plots.roc({part: scores["roc"] for part, scores in parts.items()},
                      known), f"ROC curves: {words}.",
      f"ROC curves of validation (val) and test; {words}.")


def _loss(label, probability, threshold=None):
  """How wrong the model is about each image, `[N]`.

  The mean cross-entropy over the classes; the threshold of two classes counts
  as a probability of 0.5, so that what it decides wrongly comes last.
  """
  p = np.clip(probability, 1e-7, 1 - 1e-7)
  if threshold is not None:
    at = np.clip(threshold, 1e-7, 1 - 1e-7)
    odds = p[:, 1] / p[:, 0] * (1 - at) / at
    p = np.stack([1 / (1 + odds), odds / (1 + odds)], 1)
    p = np.clip(p, 1e-7, 1 - 1e-7)
  return -(label * np.log(p) + (1 - label) * np.log1p(-p)).mean(1)


def pictures(run, other, names, table, known):
  """The test images with the lowest and the highest `_loss`, with their maps.

  Args:
    run, other: `runs.Run`s; the second may be None.
    names: of the runs.
    table: predictions of the first.
    known: its images, see `run_data.records_of`.
  Returns:
    list of what `inline` gives.
  Raises:
    UserError: the data set has none of the images any more.
  """
  label, threshold = table["label"], run.result["thresholds"].get("positive")
  order = np.argsort(_loss(label, table["probability"], threshold),
                     kind="stable")
  # Images without any class would be the ones with the lowest loss.
  shows = [i for i in order if label[i].any()]
  out, things = [], "clips" if run.classifier.frames else "images"
  there = [i for i in shows if str(table["id"][i]) in known]
  if not there:
    raise UserError("the images of this run are not where they were")
  for rows, kind in [(there[:SHOWN], "best"), (there[::-1][:SHOWN], "worst")]:
    records = [known[str(table["id"][i])] for i in rows]
    images = image_store.Images(
        records, run.classifier.image_size).batch(records)
    answers = classifier_maps.said(table["probability"][rows],
                                   run.multi_label, threshold)
    words = "; ".join(
        f"{r.id}: shows "
        f"{', '.join(run.class_names[c] for c in np.flatnonzero(r.label))}, "
        f"the model says {run.class_names[answer]}"
        for r, answer in zip(records, answers))
    out.append(inline(
        classifier_maps.verdict_figure(
            run.classifier, images, records, run.class_names,
            multi_label=run.multi_label, threshold=threshold),
        f"The {kind} {things} with their maps. {words}.",
        f"The {len(records)} test {things} on which the model "
        + ("does best" if kind == "best" else
           "does worst: it is wrong, or least sure")
        + ". Bright: where it finds evidence for the class that it says"
        + (f", '{run.class_names[1]}' from a probability of {threshold:.1%} on."
           if threshold is not None else ".")
        + (" Below, how much in each frame." if run.classifier.frames else
           _BOXES[class_boxes.kind(records)]), "png"))
    if run.classifier.frames:
      out.append(_playing(run, images, records, kind))
    if other:
      out.append(inline(
          _both(run, other, names, images, records),
          f"The same images, Grad-CAM of {names[1]} and of {names[0]}.",
          f"The same images: where {names[1]} and where {names[0]} find "
          "evidence for a class that is there (Grad-CAM).", "png"))
  return out


def prototypes(run, known):
  """The labelled training images that stand for each class best.

  Args:
    run: a `runs.Run`.
    known: its images, see `run_data.records_of`.
  Returns:
    what `inline` gives; None for clips, and where the data, or a vector that
    a last dense layer reads, are missing.
  """
  count, ids = np.zeros(len(run.class_names)), []
  for i in run.split["train_labeled"]:
    if i in known and np.any((known[i].label > 0) & (count < CANDIDATES)):
      count += known[i].label > 0
      ids.append(i)
  if run.classifier.frames or not ids:
    return None
  try:
    nearest = nearest_images.NearestImages(run, ids)
  except UserError:
    return None
  words = "; ".join(
      f"{name}: {', '.join(one.record.id for one in found)}"
      for c, name in enumerate(run.class_names)
      for found in [nearest.prototypes(c, example_files.EACH)] if found)
  return inline(
      example_files.prototypes(nearest, run.class_names),
      f"Prototypes. {words}.",
      f"Labelled training images of each class that together stand for it "
      f"best ({example_files.EACH} medoids in the features of the network"
      + f", among the first {CANDIDATES} of a class" * bool(
          count.max() >= CANDIDATES)
      + "); the number is the mean similarity to those of the class.", "png")


def _playing(run, clips, records, kind):
  """The clips and their maps as one animation."""
  target = run.classifier.model(clips, training=False).numpy().argmax(1)
  heat = classifier_maps.grad_cam_at(run.classifier, (255 * clips).round(),
                                     target, run.classifier.extent)
  pictures = np.uint8((255 * clips).round())
  rows = [moving_pictures.side_by_side(list(map(list, pictures))),
          moving_pictures.side_by_side([
              moving_pictures.overlays(clip, contact_sheets.brightness(one))
              for clip, one in zip(pictures, heat)])]
  data = moving_pictures.gif([np.concatenate(both) for both in zip(*rows)])
  words = ", ".join(r.id for r in records)
  return {"source": "data:image/gif;base64," + base64.b64encode(data).decode(),
          "alt": f"The {kind} clips, playing: {words}.",
          "caption": f"The same clips, playing: {words}. Bright: where and "
          "when the model finds evidence for the class that it says."}


def _both(run, other, names, images, records):
  """Grad-CAM of a true class of each image, by both runs."""
  target = np.array([r.label.argmax() for r in records])
  heat = []
  for one in (other, run):
    pixels = image_store.Images(records, one.classifier.image_size).pixels
    heat.append(classifier_maps.grad_cam_at(
        one.classifier, pixels, target, run.classifier.extent))
  if run.classifier.frames:
    return film_strips.side_by_side(
        images, heat, names[::-1], [run.class_names[c] for c in target],
        [None] * len(records))
  boxes = [r.boxes[r.box_label == c] for r, c in zip(records, target)]
  captions = [[run.class_names[c], "", ""] for c in target]
  return map_rows.before_after(images, heat, names[::-1], boxes, captions)
