"""Explains pictures: `python -m atcon_tf.explain --images=... --workdir=RUN`.

    --images=photo.jpg,folder,'*.png'     files, folders, globs
    --methods=grad_cam,guided_backprop    any of attribution.METHODS
    --label=dog --top=3 --positive        which classes; default: the best
    --workdir=RUN, --model=FILE.keras or --model=resnet50
    --video=clip.gif                      an animated overlay of a clip, as
                                          GIF or --video_format=mp4
    --list_layers                         layers that can carry a map, the
                                          candidates for --feature_layers

Writes into --out: for each image a sheet, an overlay for each method and
class, `NAME.npz` with the raw maps and, for all images, boxes.json and
boxes.csv.
"""

import pathlib

from absl import flags
import keras
import matplotlib
import numpy as np

from atcon_tf import attribution
from atcon_tf.attribution import maps
from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.models import backbones
from atcon_tf.reports import explained_files
from atcon_tf.reports.explainer import choose_classes
from atcon_tf.reports.explainer import explain_clip
from atcon_tf.reports.explainer import explain_image
from atcon_tf.reports.explainer import Explainer
from atcon_tf.runs.run import load_classifier


def main(argv):
  """Parses the flags and explains."""
  del argv
  values = flags.FLAGS
  folder = pathlib.Path(values.out)
  files.check_folder("out", folder)
  _check_used(values)
  if values.colormap not in matplotlib.colormaps:
    raise UserError("colormap", values.colormap,
                    "matplotlib has none of this name; for example inferno, "
                    "viridis, jet")
  names = values.class_names
  if len(names) == 1 and pathlib.Path(names[0]).is_file():
    names = [n.strip() for n in files.lines("class_names", names[0])
             if n.strip()]
  classifier, names, multi_label = load_classifier(
      values.workdir, values.model, names, values.input_range,
      values.image_size, values.multi_label, values.weights)
  if values.list_layers:
    print(explained_files.layers_text(classifier))
    return
  if values.cam_layer:
    classifier = classifier.with_cam_layers(values.cam_layer)
  if not values.images and not values.video:
    raise UserError("images", None, "give --images=FILES or --video=CLIP")
  if values.video:
    pictures.check_writable(values.video_format)
  paths = pictures.find(values.images) if values.images else []
  explainer = Explainer(classifier, names, multi_label, values.methods,
                        values.smooth_views, values.batch_size)
  if paths:
    _explain_images(explainer, paths, folder, values)
  if values.video:
    _explain_video(explainer, folder, values)


def _check_used(values):
  """Refuses flags that what is explained, or another flag, does not use."""
  ours = values.model.endswith(".keras")
  unused = {
      "--workdir": ("class_names", "input_range", "image_size", "multi_label",
                    "weights") if values.workdir else (),
      f"--model={values.model}": (
          ("weights",) if ours else
          ("input_range", "image_size", "multi_label") if values.model else
          ()),
      "--label": ("top", "positive") if values.label else (),
      "--positive": ("top",) if values.positive else (),
      "--list_layers": ("images", "video") if values.list_layers else (),
      "--images alone": () if values.video else ("video_format",),
      "--video alone": () if values.images or values.list_layers else (
          "threshold", "largest", "box_format")}
  for other, names in unused.items():
    for name in names:
      if values[name].present:
        shown = values[name].value
        shown = ",".join(shown) if isinstance(shown, list) else shown
        raise UserError(name, shown, f"not used with {other}")


def _chosen(probability, explainer, values):
  return choose_classes(probability, explainer.class_names, values.label,
                        values.top, values.positive)


def _explain_images(explainer, paths, folder, values):
  rows, notes = [], []
  bar, sheets = keras.utils.Progbar(len(paths), unit_name="image"), 0
  for path, name in zip(paths, explained_files.unique_names(paths)):
    try:
      image = pictures.read(path)
    except UserError as error:
      if len(paths) == 1:
        raise
      notes.append(f"left out: {error}")
      bar.add(1)
      continue
    sheets += 1
    classes = _chosen(explainer.probability(explainer.see(image))[0],
                      explainer, values)
    result = explain_image(explainer, image, classes, values.colormap,
                           values.alpha, values.threshold, values.largest)
    explained_files.save_image(folder, name, explainer, image, result, classes)
    rows += explained_files.box_rows(name, image, result, explainer.class_names,
                                     values.box_format)
    notes += [f"{name}: {method} of {explainer.class_names[c]}: {note}"
              for (method, c), note in result["notes"].items() if note]
    bar.add(1)
  if not sheets:
    raise UserError("images", values.images,
                    f"none of the {len(paths)} can be read; {notes[0]}")
  explained_files.save_boxes(folder, rows, values.box_format)
  print(*notes, f"{folder}: {sheets} sheets, {len(rows)} boxes", sep="\n")


def _explain_video(explainer, folder, values):
  clip = pictures.frames(values.video)
  seen = np.concatenate([explainer.see(frame) for frame in clip])
  classes = _chosen(explainer.probability(seen).mean(0), explainer, values)
  stem = pathlib.Path(values.video).stem
  for method in explainer.methods:
    for c in classes:
      label = explainer.class_names[c].replace(" ", "_").replace("/", "_")
      path = folder / f"{stem}_{method}_{label}.{values.video_format}"
      pictures.write_clip(path, explain_clip(
          explainer, clip, c, method, values.colormap, values.alpha))
      print(f"{path}: {len(clip)} frames")


def define_flags():
  """The flags of this command."""
  flags.DEFINE_list("images", [], "image files, folders or globs")
  flags.DEFINE_string("video", "", "a folder of frames, a GIF or a video")
  flags.DEFINE_enum("video_format", "gif", ["gif", "mp4"],
                    "of the overlay; mp4 needs imageio[pyav]")
  flags.DEFINE_string("workdir", "", "folder of a run")
  flags.DEFINE_string("model", "", "a .keras file or a stock model's name")
  flags.DEFINE_string("weights", "imagenet", "of a stock model")
  flags.DEFINE_enum("input_range", "0..1", sorted(backbones.INPUT_RANGES),
                    "what a .keras model expects")
  flags.DEFINE_integer("image_size", 0, "of a .keras model of any size", 0)
  flags.DEFINE_bool("multi_label", False, "a .keras model's classes can be "
                    "present together (so they can where it ends in a "
                    "sigmoid)")
  flags.DEFINE_list("class_names", [], "names, or a file with one a line")
  flags.DEFINE_list("methods", ["grad_cam", "guided_backprop"],
                    "any of " + ", ".join(attribution.METHODS))
  flags.DEFINE_list("label", [], "explain these classes")
  flags.DEFINE_integer("top", 0, "explain the so many best classes", 0)
  flags.DEFINE_bool("positive", False, "explain all classes above 0.5")
  flags.DEFINE_list("cam_layer", [], "layers of the maps; several are fused")
  flags.DEFINE_bool("smooth_views", False, "average over mirrored views")
  flags.DEFINE_integer("batch_size", 32, "images at once", 1)
  flags.DEFINE_string("colormap", maps.COLORMAP, "of matplotlib")
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
