"""Writes a table of the labels that a classifier gives to pictures.

    python -m atcon_tf.predict --workdir=RUN --images=FOLDER --out=labels.csv

    --images=photo.jpg,folder,'*.png'     files, folders, globs
    --workdir=RUN, --model=FILE.keras or --model=resnet50

A row of --out (CSV) is a picture: its path, the predicted labels, and the
probability of every class. Where classes can be present together, the labels
are those whose probability reaches the threshold that the run chose on its
validation images (--threshold: another one), several with `;` between, none
where no class reaches it; else the label is the most probable class. Of two
classes the label is the second one if its probability reaches the threshold
(of the run's --operating_point, 0.5 by default). A picture that cannot be read
is named and left out. A run on clips labels recordings, video files or folders
of frames: one row each, or one for each of its windows.
"""

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import command_flags
from atcon_tf.config import files
from atcon_tf.config.names import THRESHOLD
from atcon_tf.config import path_flags
from atcon_tf.config import UserError


def main(argv):
  """Parses the flags, predicts, and writes the table."""
  del argv
  values = flags.FLAGS
  files.check_file("out", values.out)
  if not values.images:
    raise UserError("images", None, "needed, files, folders or globs")
  classifier_of = command_flags.classifier_from_flags()
  if values.workdir and at.runs.config_of(values.workdir).frames:
    return _predict_recordings(values)
  pictures = at.data.pictures
  paths = pictures.find(values.images, print)
  if values.workdir:
    paths = at.runs.picture_labels.without_masks(
        paths, at.runs.config_of(values.workdir), print)
  classifier, names, multi_label = at.runs.load_classifier(**classifier_of)
  if not multi_label and len(names) != 2:
    command_flags.refuse(["threshold"], "not used where each image has one "
                         "of more than two labels")
  picture_labels = at.runs.picture_labels
  threshold = values.threshold
  if threshold is None and values.workdir:
    threshold = picture_labels.threshold_of(
        at.runs.read_result(values.workdir)["thresholds"])
  print(f"predicting {len(paths)} pictures", flush=True)
  read, probability, bad = picture_labels.predict(
      classifier, multi_label, paths, values.batch_size, progress=True,
      resize=at.runs.resize_of(values.workdir) if values.workdir else (
          values.resize))
  for path, why in bad.items():
    print(f"left out: {files.printable(path)}: {why}")
  for line in pictures.frames_note(pictures.several_frames(read)):
    print(files.printable(line))
  if not read:
    raise UserError("images", values.images,
                    f"none of the {len(paths)} pictures can be read")
  if multi_label or len(names) == 2:
    which = "a class" if multi_label else f"'{names[1]}'"
    chosen = THRESHOLD if threshold is None else threshold
    print(f"{which} is a label from a probability of {chosen:.3g} on")
  files.write_text(values.out, at.reports.predicted_labels.table(
      read, probability, names,
      picture_labels.named(probability, multi_label, names, threshold)))
  print(f"{values.out}: {len(read)} pictures, {len(names)} classes; "
        f"{len(bad)} could not be read")


def _predict_recordings(values):
  """Labels recordings by a run of clips, and writes the table."""
  run, labels = at.runs.load(values.workdir), at.runs.recording_labels
  paths = labels.find(values.images)
  print(f"predicting {len(paths)} recordings", flush=True)
  read, probability, bad = labels.predict(run, paths, progress=True)
  for path, why in bad.items():
    print(f"left out: {files.printable(path)}: {why}")
  if not read:
    raise UserError("images", values.images,
                    f"none of the {len(paths)} recordings can be read")
  threshold = values.threshold
  if threshold is None:
    threshold = at.runs.picture_labels.threshold_of(run.result["thresholds"])
  files.write_text(values.out, at.reports.predicted_labels.table(
      read, probability, run.class_names, at.runs.picture_labels.named(
          probability, run.multi_label, run.class_names, threshold)))
  print(f"{values.out}: {len(read)} clips, {len(run.class_names)} classes; "
        f"{len(bad)} could not be read")


def define_flags():
  """The flags of this command."""
  command_flags.define_classifier_flags()
  path_flags.paths("images", "image files, folders or globs; for a run on "
                   "clips video files or folders of frames")
  path_flags.path("out", "W/labels.csv", "the table to write")
  flags.DEFINE_float("threshold", None, "probability from which on a class, "
                     "or the second of two, is a label; default: what the run "
                     f"chose, for other models {THRESHOLD}", 0, 1)
  flags.DEFINE_integer("batch_size", 32, "images at once", 1)


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
