"""Lists of images with labels, predicted or true."""

import os

import numpy as np

from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.data import image_store
from atcon_tf.data import pipeline

# The number of images that are in memory at a time.
AT_ONCE = 64


def predict(classifier, records, max_bad_images=0, progress=False):
  """The class that a classifier predicts for each image.

  Args:
    classifier: a `models.Classifier`.
    records: list of `Record`.
    max_bad_images: number of images that may fail to decode; they are left
      out.
    progress: whether to show a progress bar.
  Returns:
    `{image id: class index}`.
  Raises:
    UserError: more than `max_bad_images` images fail to decode.
  """
  found, bad = {}, 0
  bar = Progress(len(records), "images", progress)
  for first in range(0, len(records), AT_ONCE):
    images = image_store.Images(records[first:first + AT_ONCE],
                                classifier.image_size, max_bad_images - bad)
    bad += len(images.bad)
    for batch, pixels in pipeline.evaluation_batches(images, images.records,
                                                     AT_ONCE):
      logits = classifier.model(pixels, training=False)
      found |= zip([r.id for r in batch],
                   np.argmax(logits, -1).tolist())
    bar.update(min(first + AT_ONCE, len(records)))
  return found


def truth(records):
  """`{image id: class index}` of the images with exactly one label."""
  return {r.id: int(r.label.argmax()) for r in records if r.label.sum() == 1}


def text(records, labels, names, data_dir):
  """The text of a list: a line for each record that has a label.

  A line has the name of the class and not its index, because the index of a
  class can be the name of another if the names are numbers.

  Args:
    records: list of `Record`.
    labels: `{image id: class index}`.
    names: class names.
    data_dir: folder to which the paths in the list are relative.
  Raises:
    UserError: the image of a record is no file.
  """
  lines = []
  for record in records:
    if record.id not in labels:
      continue
    if not isinstance(record.image, str):
      raise UserError("dataset", None,
                      f"image '{record.id}' is no file, so no list can name "
                      "it")
    path = os.path.relpath(record.image, data_dir).replace(os.sep, "/")
    lines.append(f"{path}\t{names[labels[record.id]]}\n")
  return "".join(lines)
