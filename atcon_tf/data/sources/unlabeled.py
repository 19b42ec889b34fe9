"""Images without labels, which a folder adds to any data set.

    --unlabeled_dir=more        more/7.jpg, more/january/8.png, ...

These images join the unlabelled pool only. They are never labelled, validated
or tested on.
"""

import dataclasses
import os

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.data import record

PART = "unlabeled"
PREFIX = "unlabeled_dir:"  # Prefix of the ids of these images only.


def add(dataset, unlabeled_dir):
  """Adds the part `splits["unlabeled"]` to a data set.

  Args:
    dataset: a `record.Dataset`.
    unlabeled_dir: a folder with images in it or anywhere below. Hidden files
      and folders are ignored, and so are files without the extension of an
      image.
  Returns:
    a new `Dataset`; the label of the new records is 0 for every class.
  Raises:
    UserError: the folder does not exist or has no image, or an image is also
      in the data set, whose test images must not train a network.
  """
  flag = f"--unlabeled_dir={unlabeled_dir}"
  if not os.path.isdir(unlabeled_dir):
    raise UserError(f"{flag}: no such folder")
  paths = _images_below(unlabeled_dir)
  if not paths:
    raise UserError(f"{flag}: no image in it or below "
                    f"({', '.join(pictures.ENDINGS)})")
  known = {os.path.realpath(r.image): (r.id, part)
           for part, records in dataset.splits.items() for r in records
           if isinstance(r.image, str)}
  no_label = np.zeros([len(dataset.class_names)], np.float32)
  records = []
  for path in paths:
    if os.path.realpath(path) in known:
      raise UserError(
          "{}: holds image '{}', which is also one of the {} images; must be "
          "a folder of other images".format(
              flag, *known[os.path.realpath(path)]))
    name = os.path.relpath(path, unlabeled_dir).replace(os.sep, "/")
    records.append(record.Record(PREFIX + name, path, no_label))
  before = dataset.splits.get(PART, [])
  return dataclasses.replace(
      dataset, splits={**dataset.splits, PART: before + records})


def _images_below(top):
  """Paths of all images in a folder and below, in a fixed order.

  Links are followed, but each folder and each image is taken only once.
  """
  def refuse(error):
    raise error  # without this os.walk would skip the folder

  found, seen = {}, set()
  for where, below, names in os.walk(top, onerror=refuse, followlinks=True):
    here = os.path.realpath(where)
    below[:] = () if here in seen else sorted(
        name for name in below if not name.startswith("."))
    seen.add(here)
    for name in sorted(names):
      if not name.startswith(".") and name.lower().endswith(
          pictures.ENDINGS):
        path = os.path.join(where, name)
        found.setdefault(os.path.realpath(path), path)
  return list(found.values())
