"""The labels that a classifier gives to pictures, as a table.

    text = table(paths, probability, class_names, labels)
"""

import csv
import io

from atcon_tf.config import files

BETWEEN = ";"


def table(paths, probability, class_names, labels):
  """The table as CSV: path, labels, and a column for each class.

  Args:
    paths: of N pictures.
    probability: `[N, classes]`.
    class_names: of the classes.
    labels: N tuples of class names, see `picture_labels.named`.
  """
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["path", "labels", *class_names])
  for path, row, own in zip(paths, probability, labels):
    writer.writerow([files.printable(path), BETWEEN.join(own),
                     *(f"{p:.6f}" for p in row)])
  return text.getvalue()
