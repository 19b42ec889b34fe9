"""The files that `explain` writes: sheets, overlays, raw maps, boxes.

    NAME_sheet.png           the picture beside all its maps; NAME is that of
                             the picture's file, with a number where two
                             pictures have one name
    NAME_METHOD_CLASS.png    one map over the picture
    NAME.npz                 the raw maps, "METHOD/CLASS" -> [S, S]
    boxes.json, boxes.csv    the boxes of all pictures, with their paths

`explained_recordings` has the files of recordings.
"""

import csv
import io
import json
import re
import unicodedata

import numpy as np
import tensorflow as tf

from atcon_tf.config import files
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.models.classifier import map_layers
from atcon_tf.models import explanation_head
from atcon_tf.reports import explainer as explainers
from atcon_tf.reports import moving_pictures
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import contact_sheets


# Bytes of a picture's or a class's name in the name of a file, which may have
# 255 with both, the method and the ending.
LONGEST = 90


def explain_images(explainer, paths, folder, choose, box_format="pascal",
                   **look):
  """Explains pictures, writes the files of each, and the boxes of all.

  Args:
    explainer: an `Explainer`.
    paths: of the pictures. One of several that cannot be read is left out.
    folder: a `pathlib.Path` to write into.
    choose: probabilities `[classes]` -> list of the classes to explain.
    box_format: "pascal" or "coco"; see `box_rows`.
    **look: "colormap", "alpha", "threshold", "largest" of `explain_image`.
  Returns:
    the number of sheets and of boxes, and a list of notes: pictures that were
    left out, maps that show nothing.
  Raises:
    UserError: none of the pictures can be read.
  """
  rows, notes, sheets = [], [], 0
  bar = Progress(len(paths), "pictures")
  for path, name in zip(paths, unique_names([path.stem for path in paths])):
    try:
      image = pictures.read(path)
    except UserError as error:
      if len(paths) == 1:
        raise
      notes.append(f"left out: {error}")
      bar.add()
      continue
    sheets += 1
    classes = choose(explainer.probability(explainer.see(image))[0])
    result = explainers.explain_image(explainer, image, classes, **look)
    save_image(folder, name, explainer, image, result, classes)
    rows += box_rows(name, path, image, result, explainer.class_names,
                     box_format)
    notes += [f"{name}: {method} of {explainer.class_names[c]}: {note}"
              for (method, c), note in result["notes"].items() if note]
    bar.add()
  if not sheets:
    raise UserError("images", None, f"none of the {len(paths)} can be read; "
                    f"{notes[0]}")
  save_boxes(folder, rows, box_format)
  return sheets, len(rows), notes


def write_clip(path, images, seconds=0.1):
  """Writes uint8 images `[height, width, 3]` as an animated GIF or an MP4.

  Args:
    path: ends in .gif or .mp4.
    images: list of frames of one size.
    seconds: that each is shown.
  """
  write = (moving_pictures.mp4 if path.suffix == ".mp4" else
           moving_pictures.gif)
  files.write_bytes(path, write(images, seconds))


def unique_names(words):
  """Names of files, distinct on every system, a list.

  A name that is taken gets a number. "A" and "a" are one name on macOS and
  Windows; a separator of folders becomes _; a name too long for a file system
  is cut.
  """
  names, taken = [], set()
  for word in words:
    plain = re.sub(r"[/\\:]", "_", word)
    plain = plain.encode("utf-8", "surrogateescape")[:LONGEST].decode(
        "utf-8", "ignore")
    name, number = plain, 1
    while _folded(name) in taken:
      number += 1
      name = f"{plain}_{number}"
    taken.add(_folded(name))
    names.append(name)
  return names


def labels_of(explainer):
  """The name of each class in names of files."""
  return unique_names([n.replace(" ", "_") for n in explainer.class_names])


def _folded(name):
  """What names have in common that a file system may take for one."""
  return unicodedata.normalize("NFC", name).casefold()


def save_image(folder, name, explainer, image, result, classes):
  """Writes the sheet, the overlays and the raw maps of one picture."""
  files.write_bytes(folder / f"{name}_sheet.png",
                    draw(explainer, image, result, classes))
  arrays, labels = {}, labels_of(explainer)
  for (method, c), heat in result["maps"].items():
    arrays[f"{method}/{explainer.class_names[c]}"] = heat
    encoded = tf.io.encode_png(result["overlays"][method, c]).numpy()
    files.write_bytes(
        folder / f"{name}_{method}_{labels[c]}.png", encoded)
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  files.write_bytes(folder / f"{name}.npz", buffer.getvalue())


def draw(explainer, image, result, classes):
  """The sheet of `explain_image`'s result, as PNG bytes."""
  names = explainer.class_names
  probability = result["probability"]
  rows = []
  for c in classes:
    cells = []
    for method in explainer.methods:
      boxes = [one["box"] for one in result["boxes"][method, c]]
      why = {str(b): contact_sheets.pointing(b, image.shape[:2])
             for b in boxes}
      note = result["notes"][method, c]
      if not note and all(why.values()):
        note = next(iter(why.values()), "")
      cells.append((result["overlays"][method, c],
                    [b for b in boxes if not why[str(b)]], note))
    rows.append((f"{names[c]} {probability[c]:.0%}", cells))
  figure = contact_sheets.sheet(image, explainer.methods, rows,
                                subtitle(explainer, probability),
                                explainer.dotted)
  return canvas.to_png(figure, dpi=100)


def subtitle(explainer, probability):
  """What stands below the photo of a sheet: the most probable classes.

  Where a run chose a threshold of labels, it is the last line.
  """
  names = explainer.class_names
  lines = [f"{names[c]} {probability[c]:.0%}"
           for c in np.argsort(-probability)[:3]]
  if explainer.threshold is not None:
    said = "a class" if explainer.multi_label else names[1]
    lines.append(f"({said} is said from {explainer.threshold:.1%} on)")
  return "\n".join(lines)


def box_rows(name, path, image, result, class_names, box_format):
  """The boxes of one picture as rows of boxes.csv.

  `name` is that of the picture's files, `path` its own.

  In pixels: "pascal" `x_min, y_min, x_max, y_max`; "coco" `x, y, width,
  height`. "score" is that of `contact_sheets.boxes`, no probability.
  """
  height, width = image.shape[:2]
  rows = []
  for (method, c), found in result["boxes"].items():
    for one in found:
      x0, y0, x1, y1 = one["box"] * np.array([width, height] * 2)
      box = [x0, y0, x1, y1] if box_format == "pascal" else [
          x0, y0, x1 - x0, y1 - y0]
      rows.append({"path": files.printable(path), "image": name,
                   "method": method, "class": class_names[c],
                   "probability": float(result["probability"][c]),
                   "box": [round(float(v), 1) for v in box],
                   "score": one["score"]})
  return rows


def save_boxes(folder, rows, box_format):
  """Writes boxes.json and boxes.csv."""
  files.write_text(folder / "boxes.json", json.dumps(
      {"format": box_format, "boxes": rows}, indent=1))
  names = {"pascal": ["x_min", "y_min", "x_max", "y_max"],
           "coco": ["x", "y", "width", "height"]}[box_format]
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["path", "image", "method", "class", "probability", *names,
                   "score"])
  for row in rows:
    writer.writerow([row["path"], row["image"], row["method"], row["class"],
                     f"{row['probability']:.4f}", *row["box"],
                     f"{row['score']:.4f}"])
  files.write_text(folder / "boxes.csv", text.getvalue())


def layers_text(classifier):
  """The layers that can carry a map, with their shapes, a line each.

  A line ends in "cam" where the classifier's CAMs are taken, and in the name
  of its head where the head reads the layer. Without a head, "tame" marks the
  layers that TAME would read by default.
  """
  head = classifier.attention
  marks = {n: ["cam"] for n in classifier.cam_layers}
  for name in (head.layers_used if head else
               explanation_head.default_layers(classifier.graph)):
    marks.setdefault(name, []).append(head.name if head else "tame")
  lines = []
  for name in map_layers(classifier.graph):
    shape = " x ".join(map(str, classifier.graph.tensors[name].shape[1:]))
    lines.append(f"{name:40s} {shape:18s} {', '.join(marks.get(name, []))}")
  return "\n".join(line.rstrip() for line in lines)
