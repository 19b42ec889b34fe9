"""Writes a data set as a list of images, labelled by a classifier.

    python tools/label_list.py --workdir=RUN --part=train --out=W/train.txt
    python tools/label_list.py --model=mine.keras --input_range=-1..1 \
      --dataset=voc --data_dir=VOCdevkit --part=val --out=W/val.txt
    python tools/label_list.py --labels=truth --dataset=folder \
      --data_dir=photos --part=test --out=W/test.txt

Explanation heads are trained on what a classifier says, not on what is right:
the lists that came with TAME and L-CAM are of this kind. A line is the path of
an image below --data_dir and the number of its class; the names of the
classes go beside it, into W/train_classes.txt, so that

    python -m atcon_tf.train --dataset=image_list --data_dir=... \
      --train_list=W/train.txt --class_list=W/train_classes.txt ...

reads both. --labels=truth and --single_label_only leave out what has several
labels. Flags of `atcon_tf.train` say which data and which .keras file; with
--workdir they are the run's, but for those given.
"""

import dataclasses
import os
import pathlib
import sys

# The tools also run from a clone that is not installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import keras
import numpy as np
from absl import flags

from atcon_tf import cli
from atcon_tf import config as config_lib
from atcon_tf import datasets
from atcon_tf import files
from atcon_tf import models
from atcon_tf import pipeline
from atcon_tf import runs
from atcon_tf import settings
from atcon_tf.config import UserError

# Images whose pixels are in memory at a time.
AT_ONCE = 64


def predict(classifier, records, max_bad_images=0, progress=False):
  """The class that a classifier gives each image.

  Args:
    classifier: a `models.Classifier`.
    records: list of `Record`.
    max_bad_images: how many may fail to decode; they are left out.
    progress: show a bar.
  Returns:
    `{image id: class index}`.
  """
  found, bad = {}, 0
  bar = keras.utils.Progbar(len(records), verbose=int(progress),
                            unit_name="image")
  for first in range(0, len(records), AT_ONCE):
    images = pipeline.Images(records[first:first + AT_ONCE],
                             classifier.image_size[0], max_bad_images - bad)
    bad += len(images.bad)
    for batch, pixels in pipeline.evaluation_batches(images, images.records,
                                                     AT_ONCE):
      logits = classifier.model(pixels, training=False)
      found |= zip([r.id for r in batch],
                   np.argmax(logits, -1).tolist())
    bar.update(min(first + AT_ONCE, len(records)))
  return found


def truth(records):
  """The label of each image that has exactly one."""
  return {r.id: int(r.label.argmax()) for r in records if r.label.sum() == 1}


def text(records, labels, names, data_dir):
  """The list: a line for each record that has a label, which it names.

  Not by its number: where classes are called by numbers, that of one may be
  the name of another.

  Raises:
    UserError: the images are no files.
  """
  lines = []
  for record in records:
    if record.id not in labels:
      continue
    if not isinstance(record.image, str):
      raise UserError(f"--dataset: image '{record.id}' is no file that a list "
                      "could name")
    path = os.path.relpath(record.image, data_dir).replace(os.sep, "/")
    lines.append(f"{path}\t{names[labels[record.id]]}\n")
  return "".join(lines)


def _source(values):
  """The settings of the data, the classifier and its class names.

  The last two are None where --labels=truth needs neither.
  """
  if not values.workdir:
    config = config_lib.from_flags()
    if values.labels == "truth":
      return config, None, None
    if not config.model.endswith(".keras"):
      raise UserError("--workdir or --model=FILE.keras: needed by "
                      "--labels=prediction")
    return config, models.load(config.model, config.input_range,
                               config.image_size), None
  if values["model"].present:
    raise UserError(f"--model={values.model}: give either this or --workdir")
  run = runs.load_run(values.workdir)
  given = {f.name: values[f.name].value
           for f in dataclasses.fields(settings.Data)
           if values[f.name].present}
  given = {name: tuple(v) if isinstance(v, list) else v
           for name, v in given.items()}
  return (dataclasses.replace(run.config, **given), run.classifier,
          run.class_names)


def main(argv):
  """Writes the list and the names of its classes."""
  del argv
  values = flags.FLAGS
  if not values.out:
    raise UserError("--out: needed, the list to write")
  config, classifier, names = _source(values)
  data = datasets.load(config)
  records = data.splits[values.part]
  if config.single_label_only:
    records = [r for r in records if r.label.sum() == 1]
  if values.labels == "truth":
    names, labels = data.class_names, truth(records)
  else:
    if names is None:
      fit = classifier.num_classes == len(data.class_names)
      names = data.class_names if fit else tuple(
          map(str, range(classifier.num_classes)))
    labels = predict(classifier, records, config.max_bad_images,
                     sys.stderr.isatty())
  out = pathlib.Path(values.out)
  classes = out.with_name(f"{out.stem}_classes.txt")
  files.write_text(out, text(records, labels, names, config.data_dir))
  files.write_text(classes, "".join(f"{name}\n" for name in names))
  print(f"{out}: {len(labels)} images of the {values.part} part by "
        f"{values.labels}\n{classes}: {len(names)} classes")
  if values.labels == "prediction" and names == data.class_names:
    right = np.mean([r.label[labels[r.id]] for r in records
                     if r.id in labels])
    print(f"{right:.1%} are one of the image's own labels")


def define_flags():
  """The flags of this tool."""
  config_lib.define_flags()
  flags.DEFINE_string("workdir", "", "run whose classifier labels the images")
  flags.DEFINE_enum("part", "train", ["train", "val", "test"],
                    "which images of the data set")
  flags.DEFINE_enum("labels", "prediction", ["prediction", "truth"],
                    "what an image's label is")
  flags.DEFINE_string("out", "", "the list to write")


if __name__ == "__main__":
  cli.run(main, define_flags)
