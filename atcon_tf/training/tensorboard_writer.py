"""Writes the TensorBoard events of a run.

They are scalars, pictures of the maps of fixed images, a precision and recall
curve of every class, a confusion matrix, histograms of consistency, the
settings as hyper-parameters and as text, and the split as text.
"""

import json

import keras
import numpy as np
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.pr_curve import summary as pr_curve
import tensorflow as tf

from atcon_tf.evaluation.metrics import classification
from atcon_tf.models import probabilities
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import score_plots


def confusion(label, probability, multi_label, threshold=None):
  """The confusion matrix, `[classes, classes]`.

  Row i is over the images that show class i. If each image has one label, the
  row holds the share of these images that each class was predicted for;
  otherwise the mean probability of each class, which also depends on classes
  that appear together. The row is NaN if no image shows the class.

  Args:
    label, probability: `[N, classes]`.
    multi_label: whether an image can have several labels.
    threshold: of the second of two classes; None: the most probable class.
  """
  predicted = probability
  if not multi_label:
    predicted = probabilities.labels(probability, False, threshold)
  count = label.sum(0)[:, None]
  return np.where(count > 0, label.T @ predicted / np.maximum(count, 1),
                  np.nan)


def split_text(split):
  """The text of a split: the size of each part, and the labelled images."""
  sizes = [f"{part}: {len(ids)} images" for part, ids in split.items()
           if isinstance(ids, list) and part != "class_names"]
  return "\n".join([*sizes, "", "labelled:",
                    *map(str, split["train_labeled"])])


class Summaries(keras.callbacks.Callback):
  """Writes scalars and pictures at the end of every epoch.

  An epoch ends with a validation. Its number is the number of updates, so that
  runs with another `eval_every` have the same axis.
  """

  def __init__(self, folder, figure=None, texts=None):
    """Opens the event file.

    Args:
      folder: folder of the event files.
      figure: function that draws the pictures; None: no pictures.
      texts: `{name: text}`, which is written once; None: no texts.
    """
    super().__init__()
    self._writer = tf.summary.create_file_writer(str(folder))
    self._figure = figure
    self._texts = texts or {}

  def on_train_begin(self, logs=None):
    with self._writer.as_default(step=0):
      if "settings" in self._texts:
        hparams.hparams({
            name: ",".join(value) if isinstance(value, list) else value
            for name, value in json.loads(self._texts["settings"]).items()})
      for name, text in self._texts.items():
        indented = "\n".join("    " + line for line in text.splitlines())
        tf.summary.text(name, indented)

  def on_epoch_end(self, epoch, logs=None):
    """Writes a validation.

    The scores of a head that was fitted again, and of averaged weights, have
    groups of their own: they are no points of the curve of the training.
    """
    logs = dict(logs or {})
    late = [name for name in ("refit", "averaged") if logs.pop(name, 0)]
    validation = "_".join(["validation", *late[:1]])
    with self._writer.as_default(step=epoch):
      for name, value in logs.items():
        group = validation if name.startswith("val_") else "train"
        tf.summary.scalar(f"{group}/{name.removeprefix('val_')}", value)
      if self._figure:
        png = canvas.to_png(self._figure())
        tf.summary.image("maps", tf.image.decode_png(png, 3)[tf.newaxis])
    self._writer.flush()

  def on_predictions(self, step, label, probability, class_names,
                     multi_label, consistency=None, threshold=None):
    """Writes the curves, the confusion matrix and the histograms.

    Args:
      step: number of updates.
      label, probability: `[N, classes]` of all validation images.
      class_names: names of the classes.
      multi_label: whether an image can show several classes.
      consistency: `[n]` of some images; None: no histogram.
      threshold: of the second of two classes; None: the most probable class.
    """
    with self._writer.as_default(step=step):
      for c, name in enumerate(class_names):
        proto = pr_curve.pb(f"classes/{name}", label[:, c] > 0,
                            probability[:, c].astype(np.float64),
                            num_thresholds=101)
        tf.summary.experimental.write_raw_pb(proto.SerializeToString(), step)
      title = "mean probability (%)" if multi_label else "decisions (%)"
      png = canvas.to_png(score_plots.matrix(
          confusion(label, probability, multi_label, threshold),
          class_names, title,
          "predicted class", "true class"))
      tf.summary.image("confusion",
                       tf.image.decode_png(png, 3)[tf.newaxis])
      if classification.is_binary(label, multi_label) and (
          label.any(0).all()):  # both classes have images
        png = canvas.to_png(score_plots.roc({class_names[1]: dict(zip(
            ("false_alarm_rate", "sensitivity"),
            classification.roc(label[:, 1], probability[:, 1])))}))
        tf.summary.image("roc", tf.image.decode_png(png, 3)[tf.newaxis])
      if consistency is not None:
        tf.summary.histogram("consistency", consistency)

  def on_attention(self, step, figures):
    """Writes `{name: (figure, text)}`; see `attention_figure`."""
    with self._writer.as_default(step=step):
      for name, (figure, text) in figures.items():
        png = canvas.to_png(figure)
        tf.summary.image(f"attention/{name}",
                         tf.image.decode_png(png, 3)[tf.newaxis])
        tf.summary.text(f"attention/{name}", text)
    self._writer.flush()

  def on_train_end(self, logs=None):
    self._writer.close()
