"""Images without labels, which a folder adds to any data set.

    --unlabeled_dir=more        more/7.jpg, more/january/8.png, ...

These images join the unlabelled pool only. They are never labelled, validated
or tested on.
"""

import dataclasses
import os

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import image_files
from atcon_tf.data import record

PART = "unlabeled"
PREFIX = "unlabeled_dir:"  # Prefix of the ids of these images only.


def add(dataset, unlabeled_dir):
  """Adds the part `splits["unlabeled"]` to a data set.

  Args:
    dataset: a `record.Dataset`.
    unlabeled_dir: a folder with images in it or anywhere below; see
      `image_files`. An image with two names is taken once.
  Returns:
    a new `Dataset`; the label of the new records is 0 for every class.
  Raises:
    UserError: the folder does not exist or has no image, or an image is also
      in the data set, whose test images must not train a network.
  """
  flag = f"--unlabeled_dir={unlabeled_dir}"
  if not os.path.isdir(unlabeled_dir):
    raise UserError(f"{flag}: no such folder")
  below = image_files.below(unlabeled_dir)
  paths = {}
  for name in below.images:
    path = os.path.join(unlabeled_dir, *name.split("/"))
    paths.setdefault(os.path.realpath(path), path)
  if not paths:
    raise UserError(f"{flag}: no image in it or below "
                    f"({', '.join(image_files.ENDINGS)})")
  known = {os.path.realpath(r.image): (r.id, part)
           for part, records in dataset.splits.items() for r in records
           if isinstance(r.image, str)}
  no_label = np.zeros([len(dataset.class_names)], np.float32)
  records = []
  for real, path in paths.items():
    if real in known:
      raise UserError(
          "{}: holds image '{}', which is also one of the {} images; must be "
          "a folder of other images".format(flag, *known[real]))
    name = os.path.relpath(path, unlabeled_dir).replace(os.sep, "/")
    records.append(record.Record(PREFIX + name, path, no_label))
  before = dataset.splits.get(PART, [])
  return dataclasses.replace(
      dataset, splits={**dataset.splits, PART: before + records},
      notes=(*dataset.notes, *image_files.note(unlabeled_dir, below.others)))
