"""Images that nobody labelled: a folder beside any data set.

    --unlabeled_dir=more        more/7.jpg, more/january/8.png, ...

They join the unlabelled pool, and that alone: no image of them is ever
labelled, validated or tested on.
"""

import dataclasses
import os

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.data import record

PART = "unlabeled"
PREFIX = "unlabeled_dir:"  # Of their ids, and of no other image's.


def add(dataset, unlabeled_dir):
  """The data set with one more part, `splits["unlabeled"]`.

  Args:
    dataset: a `record.Dataset`.
    unlabeled_dir: a folder with images in it or anywhere below. Hidden files
      and folders are ignored, and so are files that are no images by their
      extension.
  Returns:
    a `Dataset`; the label of the new records is 0 for every class.
  Raises:
    UserError: no such folder, no image in it, or one that the data set has
      already: a network should not be trained on images that test it.
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
          "{}: image '{}' is in it, which is one of the {} images already; "
          "must be a folder of other images".format(
              flag, *known[os.path.realpath(path)]))
    name = os.path.relpath(path, unlabeled_dir).replace(os.sep, "/")
    records.append(record.Record(PREFIX + name, path, no_label))
  return dataclasses.replace(
      dataset, splits={**dataset.splits, PART: records})


def _images_below(top):
  """Paths of all images in a folder and below, in a fixed order.

  Links are followed, but no folder and no image is there twice.
  """
  def refuse(error):
    raise error  # or else the folder would be passed over

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
