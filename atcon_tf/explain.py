"""Explains pictures: `python -m atcon_tf.explain --images=... --workdir=RUN`.

    --images=photo.jpg,folder,'*.png'     files, folders, globs
    --methods=grad_cam,guided_backprop    any of attribution.METHODS
    --label=dog --top=3 --positive        which classes; default: the best
    --workdir=RUN, --model=FILE.keras or --model=resnet50
    --video=clip.gif                      an animated overlay of a clip
    --list_layers                         layers that can carry a map, the
                                          candidates for --feature_layers

Writes into --out: for each image a sheet, an overlay for each method and
class, `NAME.npz` with the raw maps and, for all images, boxes.json and
boxes.csv.
"""

import csv
import io
import json
import pathlib

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from absl import flags

from atcon_tf import attribution
from atcon_tf import backbones
from atcon_tf import cli
from atcon_tf import files
from atcon_tf import models
from atcon_tf import pictures
from atcon_tf import plots
from atcon_tf import prediction
from atcon_tf import runs
from atcon_tf import sheets
from atcon_tf.attribution import learned
from atcon_tf.config import UserError


def load(workdir="", model="", class_names=(), input_range="0..1",
         image_size=0, multi_label=False, weights="imagenet"):
  """What is to be explained.

  Args:
    workdir: folder of a run; or else
    model: a .keras file, or the name of a stock Keras model with its 1000
      ImageNet classes.
    class_names: of a model; default: numbers.
    input_range, image_size, multi_label: of a .keras file.
    weights: of a stock model: "imagenet", "none" or a file.
  Returns:
    `(classifier, class_names, multi_label)`.
  """
  if bool(workdir) == bool(model):
    raise UserError("give either --workdir=RUN or --model=FILE.keras")
  if workdir:
    run = runs.load_run(workdir)
    return run.classifier, run.class_names, run.multi_label
  if model.endswith(".keras"):
    classifier = models.load(model, input_range, image_size)
  else:
    classifier = models.stock(model, weights)
  count = classifier.num_classes
  names = tuple(class_names) or tuple(f"class {i}" for i in range(count))
  if len(names) != count:
    raise UserError(f"--class_names: {len(names)} names for {count} classes")
  return classifier, names, multi_label


def choose_classes(probability, class_names, labels=(), top=0,
                   positive=False, threshold=0.5):
  """Which classes of one image are explained, best first.

  Args:
    probability: `[classes]`.
    labels: names of classes; or
    top: the so many highest; or
    positive: all above `threshold`. Without any of them, or when none is
      above it: the highest.
  Raises:
    UserError: an unknown class.
  """
  order = np.argsort(-probability, kind="stable").tolist()
  if labels:
    for label in labels:
      if label not in class_names:
        raise UserError(f"--label={label}: no such class; one of "
                        f"{', '.join(class_names[:30])}")
    return [class_names.index(label) for label in labels]
  if top > len(class_names):
    raise UserError(f"--top={top}: there are {len(class_names)} classes")
  if positive:
    return [c for c in order if probability[c] > threshold] or order[:1]
  return order[:max(top, 1)]


class Explainer:
  """A classifier with the methods that explain it."""

  def __init__(self, classifier, class_names, multi_label, methods,
               smooth_views=False, batch_size=32):
    """Checks that each method works for this classifier.

    Raises:
      UserError: naming the first that does not.
    """
    self.classifier, self.class_names = classifier, tuple(class_names)
    self.multi_label, self.methods = multi_label, methods
    self.options = {"smooth_views": True} if smooth_views else {}
    self.batch_size = batch_size
    for method in methods:
      attribution.build(classifier, method)

  def see(self, image):
    """A picture as the network sees it, float32 `[1, S, S, 3]`."""
    return pictures.squeeze(image, self.classifier.image_size[0])[np.newaxis]

  def probability(self, images):
    """`[B, classes]` of images `[B, S, S, 3]`."""
    logits = [self.classifier.model(tf.constant(images[i:i + self.batch_size]),
                                    training=False).numpy()
              for i in range(0, len(images), self.batch_size)]
    return prediction.to_probability(np.concatenate(logits), self.multi_label)

  def maps(self, images, method, class_index):
    """Raw maps at the network's size, `[B, S, S]`."""
    heat = attribution.explain(self.classifier, images, method, class_index,
                               batch_size=self.batch_size, **self.options)
    return attribution.enlarge(self.classifier, heat).numpy()


def explain_image(explainer, image, classes, colormap=plots.COLORMAP,
                  alpha=0.6, threshold=0.5, largest=True):
  """All maps of one picture.

  Args:
    explainer: an `Explainer`.
    image: uint8 `[height, width, 3]`.
    classes: list of class numbers.
    colormap, alpha, threshold, largest: see `sheets`.
  Returns:
    dict: "probability" `[classes]`; "maps" `{(method, class): [S, S]}`;
    "overlays" `{(method, class): uint8 [height, width, 3]}`; "boxes"
    `{(method, class): [{"box", "score"}]}`.
  """
  seen = np.repeat(explainer.see(image), len(classes), 0)
  result = {"probability": explainer.probability(seen[:1])[0], "maps": {},
            "overlays": {}, "boxes": {}}
  for method in explainer.methods:
    for c, heat in zip(classes, explainer.maps(seen, method,
                                               np.array(classes))):
      key = method, c
      result["maps"][key] = heat
      light = sheets.stretch(sheets.brightness(heat), image.shape[:2])
      result["overlays"][key] = sheets.overlay(
          image, np.clip(light, 0, 1), colormap, alpha)
      # Gradients are dots: see `sheets.gathered`.
      area = sheets.gathered(heat) if method in attribution.GRADIENTS else heat
      result["boxes"][key] = sheets.boxes(
          sheets.stretch(area, image.shape[:2]), threshold, largest)
  return result


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
      note = "" if result["maps"][method, c].max() > 0 else (
          "no positive value")
      cells.append((result["overlays"][method, c],
                    [one["box"] for one in found], note))
    rows.append((f"{names[c]} {probability[c]:.0%}", cells))
  return plots.to_png(sheets.sheet(image, explainer.methods, rows, subtitle),
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


def explain_clip(explainer, clip, class_index, method,
                 colormap=plots.COLORMAP, alpha=0.6):
  """A clip with the map of one class over every frame.

  The brightness is that of the whole clip: frames do not flicker.

  Args:
    clip: list of uint8 `[height, width, 3]`.
  Returns:
    list of uint8 `[height, width, 3]`.
  """
  seen = np.concatenate([explainer.see(frame) for frame in clip])
  light = sheets.brightness(explainer.maps(seen, method, class_index))
  return [sheets.overlay(frame, np.clip(sheets.stretch(
      one, frame.shape[:2]), 0, 1), colormap, alpha)
          for frame, one in zip(clip, light)]


def layers_text(classifier):
  """The layers that can carry a map, with their shapes, a line each.

  Marked are those of the CAMs, and those that a head looks at, or would look
  at if one were trained without --feature_layers.
  """
  head = classifier.attention
  marks = {n: ["cam"] for n in classifier.cam_layers}
  for name in (head.layers_used if head else
               learned.default_layers(classifier.walk)):
    marks.setdefault(name, []).append(head.name if head else "tame")
  lines = []
  for name in models.map_layers(classifier.walk):
    shape = " x ".join(map(str, classifier.walk.tensors[name].shape[1:]))
    lines.append(f"{name:40s} {shape:18s} {', '.join(marks.get(name, []))}")
  return "\n".join(line.rstrip() for line in lines)


def main(argv):
  """Parses the flags and explains."""
  del argv
  values = flags.FLAGS
  if values.colormap not in matplotlib.colormaps:
    raise UserError(f"--colormap={values.colormap}: matplotlib has none of "
                    "this name; for example inferno, viridis, jet")
  names = values.class_names
  if len(names) == 1 and pathlib.Path(names[0]).is_file():
    names = pathlib.Path(names[0]).read_text().split("\n")
    names = [n.strip() for n in names if n.strip()]
  classifier, names, multi_label = load(
      values.workdir, values.model, names, values.input_range,
      values.image_size, values.multi_label, values.weights)
  if values.list_layers:
    print(layers_text(classifier))
    return
  if values.cam_layer:
    classifier = classifier.with_cam_layers(values.cam_layer)
  if not values.images and not values.video:
    raise UserError("give --images=FILES or --video=CLIP")
  paths = pictures.find(values.images) if values.images else []
  explainer = Explainer(classifier, names, multi_label, values.methods,
                        values.smooth_views, values.batch_size)
  folder = pathlib.Path(values.out)
  if paths:
    _explain_images(explainer, paths, folder, values)
  if values.video:
    _explain_video(explainer, folder, values)


def _chosen(probability, explainer, values):
  return choose_classes(probability, explainer.class_names, values.label,
                        values.top, values.positive)


def _explain_images(explainer, paths, folder, values):
  rows, broken = [], []
  bar = keras.utils.Progbar(len(paths), unit_name="image")
  for path, name in zip(paths, unique_names(paths)):
    try:
      image = pictures.read(path)
    except UserError as error:
      if len(paths) == 1:
        raise
      broken.append(str(error))
      bar.add(1)
      continue
    classes = _chosen(explainer.probability(explainer.see(image))[0],
                      explainer, values)
    result = explain_image(explainer, image, classes, values.colormap,
                           values.alpha, values.threshold, values.largest)
    save_image(folder, name, explainer, image, result, classes)
    rows += box_rows(name, image, result, explainer.class_names,
                     values.box_format)
    bar.add(1)
  save_boxes(folder, rows, values.box_format)
  for line in broken:
    print(f"left out: {line}")
  print(f"{folder}: {len(paths) - len(broken)} sheets, {len(rows)} boxes")


def _explain_video(explainer, folder, values):
  clip = pictures.frames(values.video)
  seen = np.concatenate([explainer.see(frame) for frame in clip])
  classes = _chosen(explainer.probability(seen).mean(0), explainer, values)
  stem = pathlib.Path(values.video).stem
  folder.mkdir(parents=True, exist_ok=True)
  for method in explainer.methods:
    for c in classes:
      label = explainer.class_names[c].replace(" ", "_").replace("/", "_")
      path = folder / f"{stem}_{method}_{label}.gif"
      pictures.write_gif(path, explain_clip(
          explainer, clip, c, method, values.colormap, values.alpha))
      print(f"{path}: {len(clip)} frames")


def define_flags():
  """The flags of this command."""
  flags.DEFINE_list("images", [], "image files, folders or globs")
  flags.DEFINE_string("video", "", "a folder of frames, a GIF or a video")
  flags.DEFINE_string("workdir", "", "folder of a run")
  flags.DEFINE_string("model", "", "a .keras file or a stock model's name")
  flags.DEFINE_string("weights", "imagenet", "of a stock model")
  flags.DEFINE_enum("input_range", "0..1", sorted(backbones.INPUT_RANGES),
                    "what a .keras model expects")
  flags.DEFINE_integer("image_size", 0, "of a .keras model of any size", 0)
  flags.DEFINE_bool("multi_label", False, "a .keras model's classes can be "
                    "present together (sigmoid)")
  flags.DEFINE_list("class_names", [], "names, or a file with one a line")
  flags.DEFINE_list("methods", ["grad_cam", "guided_backprop"],
                    "any of " + ", ".join(attribution.METHODS))
  flags.DEFINE_list("label", [], "explain these classes")
  flags.DEFINE_integer("top", 0, "explain the so many best classes", 0)
  flags.DEFINE_bool("positive", False, "explain all classes above 0.5")
  flags.DEFINE_list("cam_layer", [], "layers of the maps; several are fused")
  flags.DEFINE_bool("smooth_views", False, "average over mirrored views")
  flags.DEFINE_integer("batch_size", 32, "images at once", 1)
  flags.DEFINE_string("colormap", plots.COLORMAP, "of matplotlib")
  flags.DEFINE_float("alpha", 0.6, "opacity of the colour", 0, 1)
  flags.DEFINE_float("threshold", 0.5, "share of the maximum inside a box",
                     0, 0.99)
  flags.DEFINE_bool("largest", True, "one box, around the largest part")
  flags.DEFINE_enum("box_format", "pascal", ["pascal", "coco"],
                    "corners, or corner and size")
  flags.DEFINE_string("out", "W/explain", "folder of the results")
  flags.DEFINE_bool("list_layers", False, "show which layers carry maps")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
