"""What `explain` leaves behind: sheets, overlays, raw maps, boxes.

    NAME_sheet.png           the picture beside all its maps
    NAME_METHOD_CLASS.png    one map over the picture
    NAME.npz                 the raw maps, "METHOD/CLASS" -> [S, S]
    boxes.json, boxes.csv    the boxes of all pictures
"""

import csv
import io
import json

import numpy as np
import tensorflow as tf

from atcon_tf.config import files
from atcon_tf.models.classifier import map_layers
from atcon_tf.models import explanation_head
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import contact_sheets


def unique_names(paths):
  """A name for each path: its stem, with a number where that is taken."""
  names = []
  for path in paths:
    name, number = path.stem, 1
    while name in names:
      number += 1
      name = f"{path.stem}_{number}"
    names.append(name)
  return names


def save_image(folder, name, explainer, image, result, classes):
  """Writes the sheet, the overlays and the raw maps of one picture."""
  files.write_bytes(folder / f"{name}_sheet.png",
                    draw(explainer, image, result, classes))
  arrays = {}
  for (method, c), heat in result["maps"].items():
    label = explainer.class_names[c]
    arrays[f"{method}/{label}"] = heat
    encoded = tf.io.encode_png(result["overlays"][method, c]).numpy()
    files.write_bytes(
        folder / f"{name}_{method}_{label.replace(' ', '_').replace('/', '_')}"
        ".png", encoded)
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  files.write_bytes(folder / f"{name}.npz", buffer.getvalue())


def draw(explainer, image, result, classes):
  """The sheet of `explain_image`'s result, as PNG bytes."""
  names = explainer.class_names
  probability = result["probability"]
  best = np.argsort(-probability)[:3]
  subtitle = "\n".join(f"{names[c]} {probability[c]:.0%}" for c in best)
  rows = []
  for c in classes:
    cells = []
    for method in explainer.methods:
      found = result["boxes"][method, c]
      cells.append((result["overlays"][method, c],
                    [one["box"] for one in found],
                    result["notes"][method, c]))
    rows.append((f"{names[c]} {probability[c]:.0%}", cells))
  return canvas.to_png(contact_sheets.sheet(image, explainer.methods, rows, subtitle),
                       dpi=100)


def box_rows(name, image, result, class_names, box_format):
  """The boxes of one picture as rows of boxes.csv.

  In pixels: "pascal" `x_min, y_min, x_max, y_max`; "coco" `x, y, width,
  height`.
  """
  height, width = image.shape[:2]
  rows = []
  for (method, c), found in result["boxes"].items():
    for one in found:
      x0, y0, x1, y1 = one["box"] * np.array([width, height] * 2)
      box = [x0, y0, x1, y1] if box_format == "pascal" else [
          x0, y0, x1 - x0, y1 - y0]
      rows.append({"image": name, "method": method, "class": class_names[c],
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
  writer.writerow(["image", "method", "class", "probability", *names, "score"])
  for row in rows:
    writer.writerow([row["image"], row["method"], row["class"],
                     f"{row['probability']:.4f}", *row["box"],
                     f"{row['score']:.4f}"])
  files.write_text(folder / "boxes.csv", text.getvalue())


def layers_text(classifier):
  """The layers that can carry a map, with their shapes, a line each.

  Marked are those of the CAMs, and those that a head looks at, or would look
  at if one were trained without --feature_layers.
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
