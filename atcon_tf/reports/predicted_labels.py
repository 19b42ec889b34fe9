"""The labels that a classifier gives to pictures, as a table.

    paths, probability, bad = predict(classifier, True, ["a.jpg", "b.png"])
    text = table(paths, probability, class_names, threshold=0.5)
"""

import concurrent.futures
import csv
import io

import keras
import numpy as np
import tensorflow as tf

from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.attribution import forward_pass

# The probability from which on a class is a label, if nothing chose another.
THRESHOLD = 0.5
BETWEEN = ";"


def predict(classifier, multi_label, paths, batch_size=32, progress=False):
  """The probabilities of the classes for pictures of any size.

  Args:
    classifier: a `models.Classifier`.
    multi_label: whether a probability is a sigmoid or a softmax.
    paths: of the pictures.
    batch_size: pictures at once.
    progress: show a bar.
  Returns:
    the N paths that can be read, `[N, classes]`, and
    `{path: what is wrong}` of the others.
  """
  logits = tf.function(
      lambda images: classifier.model(images, training=False),
      input_signature=[tf.TensorSpec([None, *classifier.image_shape],
                                     classifier.model.input.dtype)])
  bar = keras.utils.Progbar(len(paths), verbose=int(progress),
                            unit_name="image")
  read, found, bad = [], [np.zeros([0, classifier.num_classes])], {}
  with concurrent.futures.ThreadPoolExecutor() as pool:
    for first in range(0, len(paths), batch_size):
      part = paths[first:first + batch_size]
      images = []
      for path, image in zip(part, pool.map(
          lambda path: _try_read(path, classifier.image_size), part)):
        if isinstance(image, str):
          bad[path] = image
        else:
          read.append(path)
          images.append(image)
      if images:
        found.append(forward_pass.probability(
            logits(np.stack(images)).numpy(), multi_label))
      bar.update(min(first + batch_size, len(paths)))
  return read, np.concatenate(found), bad


def _try_read(path, size):
  """A picture as the network sees it, or what is wrong with it, a text."""
  try:
    return pictures.squeeze(pictures.read(path), size)
  except UserError as error:
    return str(error).removeprefix(f"{path}: ")


def table(paths, probability, class_names, threshold=None):
  """The table as CSV: path, labels, and a column for each class.

  Args:
    paths: of N pictures.
    probability: `[N, classes]`.
    class_names: of the classes.
    threshold: the probability from which on a class is a label; None: the
      most probable class is the one label.
  """
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["path", "labels", *class_names])
  for path, row in zip(paths, probability):
    labels = [row.argmax()] if threshold is None else np.flatnonzero(
        row >= threshold)
    writer.writerow([files.printable(path),
                     BETWEEN.join(class_names[c] for c in labels),
                     *(f"{p:.6f}" for p in row)])
  return text.getvalue()
