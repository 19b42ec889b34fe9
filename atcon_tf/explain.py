"""Draws what a classifier looks at in pictures or a clip.

    python -m atcon_tf.explain --images=... --workdir=RUN [flags]

    --images=photo.jpg,folder,'*.png'     files, folders, globs
    --methods=grad_cam,guided_backprop    any of attribution.METHODS; default:
                                          these two, or what won the run's
                                          tournament (evaluate --methods=auto)
    --label=dog --top=3 --positive        which classes; default: the best
    --workdir=RUN, --model=FILE.keras or --model=resnet50
    --video=clip.gif                      an animated overlay of a clip, as
                                          GIF or --video_format=mp4; of a
                                          classifier of clips with the evidence
                                          over time
    --video=LONG.mp4 --window_seconds=4   what happens when, by a classifier of
                                          clips: a table and a timeline
    --examples=3                          the nearest training images of
                                          each picture, of a run
    --list_layers                         layers that can carry a map, the
                                          candidates for --feature_layers

Writes into --out: for each image a sheet, an overlay for each method and
class, `NAME.npz` with the raw maps and, for all images, boxes.json and
boxes.csv (its score is the mean of a map in the part that the box surrounds,
over the map's maximum); with --examples also `NAME_examples.png` and
examples.json;
`reports/explained_recordings.py` and `reports/recording_events.py` have the
files of a recording.
"""

import dataclasses
import functools
import pathlib

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import command_flags
from atcon_tf.config import files
from atcon_tf.config import names
from atcon_tf.config import path_flags
from atcon_tf.config import UserError


def main(argv):
  """Parses the flags and explains."""
  del argv
  values = flags.FLAGS
  folder = pathlib.Path(values.out)
  files.check_folder("out", folder)
  classifier_of = command_flags.classifier_from_flags()
  _check_used(values)
  import matplotlib  # slow: only when the flags are right
  if values.colormap not in matplotlib.colormaps:
    raise UserError("colormap", values.colormap,
                    "matplotlib has none of this name; for example inferno, "
                    "viridis, jet")
  methods = _methods(values)
  run = at.runs.load(values.workdir) if values.examples else None
  classifier, class_names, multi_label = (
      (run.classifier, run.class_names, run.multi_label) if run else
      at.runs.load_classifier(**classifier_of))
  explained_files = at.reports.explained_files
  if values.list_layers:
    print(explained_files.layers_text(classifier))
    return
  _check_kind(values, classifier)
  if values.cam_layer:
    classifier = classifier.with_cam_layers(values.cam_layer)
  if values.video_format == "mp4":
    at.reports.moving_pictures.check_mp4()
  paths = at.data.pictures.find(values.images, print) if values.images else []
  if values.workdir:
    paths = at.runs.picture_labels.without_masks(
        paths, at.runs.config_of(values.workdir), print)
  explainer = at.reports.explainer.Explainer(
      classifier, class_names, multi_label, methods,
      values.smooth_views, values.batch_size,
      at.runs.resize_of(values.workdir) if values.workdir else values.resize,
      _threshold(values, class_names, multi_label))
  choose = functools.partial(
      at.reports.explainer.choose_classes,
      class_names=explainer.class_names, labels=values.label,
      top=values.top, positive=values.positive, multi_label=multi_label,
      threshold=explainer.threshold)
  nearest = at.runs.NearestImages(run) if run else None
  if nearest:
    nearest.check(values.examples)
  if paths:
    print(f"explaining {_many(len(paths), 'picture')} by "
          + _many(len(methods), "method"), flush=True)
    sheets, boxes, notes = explained_files.explain_images(
        explainer, paths, folder, choose, values.box_format,
        colormap=values.colormap, alpha=values.alpha,
        threshold=values.threshold, largest=values.largest)
    if any(at.attribution.METHODS[name].family == "cam" for name in methods):
      notes += filter(None, [at.evaluation.map_cells.coarse(classifier)])
    pictures = at.data.pictures
    notes += pictures.frames_note(pictures.several_frames(paths))
    print(*map(files.printable, notes),
          f"{folder}: {_many(sheets, 'sheet')}, "
          + _many(boxes, "box", "boxes"), sep="\n")
    if nearest:
      count = at.reports.example_files.explain_by_examples(
          explainer, nearest, paths, folder, values.examples)
      print(f"{folder}: examples of {_many(count, 'image')}")
  if values.video:
    for line in _recording(values, explainer, folder, choose):
      print(files.printable(line), flush=True)


def _methods(values):
  """The methods of the flags, or the one that won the run's tournament."""
  if (values["methods"].present or not values.workdir
      or values.list_layers):
    return values.methods
  outcome = at.runs.trusted_method.read(values.workdir)
  if outcome is None:
    return values.methods
  if not outcome["method"]:
    print(f"note: {outcome['sentence']}", flush=True)
    return values.methods
  print(f"method: {outcome['method']}, which the tournament of this run chose "
        f"({at.runs.trusted_method.NAME}); --methods names others", flush=True)
  return [outcome["method"]]


def _threshold(values, class_names, multi_label):
  """The threshold of labels that a run chose; None of other models."""
  if not values.workdir or not multi_label and len(class_names) != 2:
    return None
  return at.runs.picture_labels.threshold_of(
      at.runs.read_result(values.workdir)["thresholds"])


def _many(count, one, several=""):
  """A number of things, as "1 box"."""
  return f"{count} {one if count == 1 else several or one + 's'}"


def _recording(values, explainer, folder, choose):
  """Explains a recording; yields lines."""
  recordings = at.reports.explained_recordings
  look = dict(colormap=values.colormap, alpha=values.alpha)
  if not explainer.classifier.frames:
    return recordings.explain_frames(explainer, values.video, folder, choose,
                                     values.video_format, **look)
  cut = (at.runs.cut_of(values.workdir) if values.workdir else
         at.data.recorded_clip.Cut())
  cut = dataclasses.replace(cut, frames=explainer.classifier.frames,
                            window_seconds=values.window_seconds)
  if not values.window_seconds:
    return recordings.explain_recording(
        explainer, values.video, cut, folder, choose, values.video_format,
        **look)
  labels = at.reports.explainer.numbers_of(values.label,
                                           explainer.class_names)
  return at.reports.recording_events.explain_windows(
      explainer, values.video, cut, folder, values.video_format,
      values.event_threshold, labels, **look)


def _check_kind(values, classifier):
  """Refuses pictures for a classifier of clips, and windows for another."""
  if classifier.frames and values.images:
    raise UserError("images", ",".join(values.images),
                    f"this classifier sees clips of {classifier.frames} "
                    "frames; give --video=RECORDING")
  if values.window_seconds and not classifier.frames:
    raise UserError("window_seconds", values.window_seconds,
                    "needs a classifier of clips (--dataset=video); this one "
                    "sees single pictures")


def _check_used(values):
  """Refuses flags that what is explained, or another flag, does not use."""
  if values.label:
    command_flags.refuse(["top", "positive"], "not used with --label")
  if values.positive:
    command_flags.refuse(["top"], "not used with --positive")
  own = [m for m in values.methods if not m.startswith(names.TF_KERAS_VIS)]
  if own or not values.methods:
    names.check("methods", own, names.METHODS)
  if not (values.images or values.video or values.list_layers):
    raise UserError("images", None, "give --images=FILES or --video=CLIP")
  if values.list_layers:
    command_flags.refuse(["images", "video"], "not used with --list_layers")
  if values.examples and not values.workdir:
    raise UserError("examples", values.examples,
                    "needs --workdir=RUN, whose training images they are")
  if values.list_layers or not values.images:
    command_flags.refuse(["examples"], "used with --images alone")
  if not values.video:
    command_flags.refuse(["video_format", "window_seconds"],
                         "not used with --images alone")
  if not values.window_seconds:
    command_flags.refuse(["event_threshold"],
                         "used with --window_seconds alone")
  else:
    command_flags.refuse(["top", "positive"],
                         "not used with --window_seconds")
  if not values.images and not values.list_layers:
    command_flags.refuse(["threshold", "largest", "box_format"],
                         "not used with --video alone")


def define_flags():
  """The flags of this command."""
  command_flags.define_classifier_flags()
  path_flags.paths("images", "image files, folders or globs")
  path_flags.path("video", "", "a folder of frames, a GIF or a video")
  flags.DEFINE_enum("video_format", "gif", ["gif", "mp4"],
                    "of the overlay")
  flags.DEFINE_float("window_seconds", 0, "classify each window of so many "
                     "seconds of --video; 0: its middle alone", 0)
  flags.DEFINE_float("event_threshold", .5, "probability from which on a "
                     "window belongs to an event", 0, 1)
  flags.DEFINE_list("methods", ["grad_cam", "guided_backprop"],
                    "any of " + ", ".join(names.METHODS))
  flags.DEFINE_list("label", [], "explain these classes")
  flags.DEFINE_integer("top", 0, "explain the so many best classes", 0)
  flags.DEFINE_bool("positive", False, "explain all classes that predict would "
                    "give as labels")
  flags.DEFINE_list("cam_layer", [], "layers of the maps; several are fused")
  flags.DEFINE_bool("smooth_views", False, "average over mirrored views")
  flags.DEFINE_integer("batch_size", 0, "images at once; 0: 32, and of methods "
                       "that look at many variations of an image as many as "
                       "4 GiB hold, at most 64", 0)
  flags.DEFINE_string("colormap", names.COLORMAP, "of matplotlib")
  flags.DEFINE_float("alpha", 0.6, "opacity of the colour", 0, 1)
  flags.DEFINE_float("threshold", 0.5, "share of the maximum inside a box",
                     0, 0.99)
  flags.DEFINE_bool("largest", True, "one box, around the largest part")
  flags.DEFINE_enum("box_format", "pascal", ["pascal", "coco"],
                    "corners, or corner and size")
  path_flags.path("out", "W/explain", "folder of the results")
  flags.DEFINE_integer("examples", 0, "show the so many nearest training "
                       "images of each picture", 0)
  flags.DEFINE_bool("list_layers", False, "show which layers carry maps")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
