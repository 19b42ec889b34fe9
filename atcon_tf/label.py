r"""Writes a data set as a list of images labelled by a classifier.

    python -m atcon_tf.label --workdir=RUN --part=train --out=W/train.txt
    python -m atcon_tf.label --model=mine.keras --input_range=-1..1 \
      --dataset=voc --data_dir=VOCdevkit --part=val --out=W/val.txt
    python -m atcon_tf.label --labels=truth --dataset=folder \
      --data_dir=photos --part=test --out=W/test.txt

Explanation heads are trained on the predictions of a classifier, not on the
true labels: the lists published with TAME and L-CAM are of this kind. A line
of --out is the path of an image below --data_dir and the name of its class.
The names of all classes are written beside it, here into W/train_classes.txt.
The command

    python -m atcon_tf.train --dataset=image_list --data_dir=... \
      --train_list=W/train.txt --class_list=W/train_classes.txt ...

reads both. --labels=truth and --single_label_only leave out images with
several labels. The flags of `atcon_tf.train` name the data and the .keras
file; with --workdir the data are the run's, but for the flags that are given.
"""

import dataclasses
import pathlib

from absl import flags
import numpy as np

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import config_flags
from atcon_tf.config import defaults
from atcon_tf.config import files
from atcon_tf.config import path_flags
from atcon_tf.config import settings
from atcon_tf.config import UserError


def _source(values):
  """The settings of the data, the classifier, and its class names.

  The classifier is None where --labels=truth needs none; the names are None
  then and for a model's file, which stores none.
  """
  if not values.workdir:
    config = config_flags.from_flags()
    if values.labels == "truth":
      return config, None, None
    if not defaults.is_file(config.model):
      raise UserError("workdir", None, "needed by --labels=prediction, or "
                      "--model=FILE.keras")
    classifier = at.models.load(config.model, config.input_range,
                                config.image_size)
    print(*(f"note: {note}\n" for note in classifier.notes), end="", sep="")
    return config, classifier, None
  if values["model"].present:
    raise UserError("model", values.model,
                    "give either this or --workdir")
  run = at.runs.load(values.workdir)
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
    raise UserError("out", None, "needed, the list to write")
  config, classifier, names = _source(values)
  if classifier is not None:
    config = dataclasses.replace(config, image_size=classifier.image_size)
  data, labelling = at.data.load(config), at.data.labelling
  for line in data.notes:
    print(files.printable(line))
  records = data.splits[values.part]
  if config.single_label_only:
    records = [r for r in records if r.label.sum() == 1]
  if values.labels == "truth":
    names, labels = data.class_names, labelling.truth(records)
  else:
    if names is None:
      fit = classifier.num_classes == len(data.class_names)
      names = data.class_names if fit else tuple(
          map(str, range(classifier.num_classes)))
    labels = labelling.predict(classifier, records, config.max_bad_images,
                               progress=True)
  out = pathlib.Path(values.out)
  classes = out.with_name(f"{out.stem}_classes.txt")
  files.write_text(out, labelling.text(records, labels, names, config.data_dir))
  files.write_text(classes, "".join(f"{name}\n" for name in names))
  print(f"{out}: {len(labels)} images of the {values.part} part by "
        f"{values.labels}\n{classes}: {len(names)} classes")
  if values.labels == "prediction" and names == data.class_names:
    right = np.mean([r.label[labels[r.id]] for r in records
                     if r.id in labels])
    print(f"{right:.1%} are one of the image's own labels")


def define_flags():
  """The flags of this command."""
  config_flags.define_flags()
  path_flags.path("workdir", "", "run whose classifier labels the images")
  flags.DEFINE_enum("part", "train", ["train", "val", "test"],
                    "which images of the data set")
  flags.DEFINE_enum("labels", "prediction", ["prediction", "truth"],
                    "what an image's label is")
  path_flags.path("out", "", "the list to write")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
