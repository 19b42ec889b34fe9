"""What TensorBoard shows of a run.

Scalars; pictures of the maps of fixed images; of every class a precision and
recall curve; which classes are taken for which; histograms of consistency;
the settings, as hyper-parameters and as text, and the split as text.
"""

import json

import keras
import numpy as np
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.pr_curve import summary as pr_curve
import tensorflow as tf

from atcon_tf.evaluation.metrics import classification
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import score_plots


def confusion(label, probability, multi_label):
  """Which class is taken for which, `[classes, classes]`.

  Row i is over the images that show class i: with one label an image, the
  share that each class was chosen for; with several, the mean probability of
  each class, so that what appears together shows as well. NaN: no image.
  """
  said = probability
  if not multi_label:
    said = np.eye(label.shape[1])[probability.argmax(1)]
  count = label.sum(0)[:, None]
  return np.where(count > 0, label.T @ said / np.maximum(count, 1), np.nan)


def split_text(split):
  """What was drawn, as text: sizes, and every labelled image."""
  sizes = [f"{part}: {len(ids)} images" for part, ids in split.items()
           if isinstance(ids, list) and part != "class_names"]
  return "\n".join([*sizes, "", "labelled:",
                    *map(str, split["train_labeled"])])


class Summaries(keras.callbacks.Callback):
  """Writes scalars and pictures at the end of every epoch.

  An epoch is the stretch between two validations; its number is the count of
  updates, so that runs of another cadence lie on the same axis.
  """

  def __init__(self, folder, figure=None, texts=None):
    """Args: folder, of the event files; figure, a function that draws the
    pictures or None; texts, `{name: text}` written once."""
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
    with self._writer.as_default(step=epoch):
      for name, value in (logs or {}).items():
        group = "validation" if name.startswith("val_") else "train"
        tf.summary.scalar(f"{group}/{name.removeprefix('val_')}", value)
      if self._figure:
        png = canvas.to_png(self._figure())
        tf.summary.image("maps", tf.image.decode_png(png, 3)[tf.newaxis])
    self._writer.flush()

  def on_predictions(self, step, label, probability, class_names,
                     multi_label, consistency=None):
    """Writes what needs every validation image.

    Args:
      step: number of updates.
      label, probability: `[N, classes]`.
      class_names: of the classes.
      multi_label: whether an image may show several.
      consistency: `[n]` of some images, or None.
    """
    with self._writer.as_default(step=step):
      for c, name in enumerate(class_names):
        proto = pr_curve.pb(f"classes/{name}", label[:, c] > 0,
                            probability[:, c].astype(np.float64),
                            num_thresholds=101)
        tf.summary.experimental.write_raw_pb(proto.SerializeToString(), step)
      title = "mean probability (%)" if multi_label else "decisions (%)"
      png = canvas.to_png(score_plots.matrix(
          confusion(label, probability, multi_label), class_names, title,
          "the model says", "the image shows"))
      tf.summary.image("confusion",
                       tf.image.decode_png(png, 3)[tf.newaxis])
      if classification.is_binary(label, multi_label) and (
          label.any(0).all()):  # of both classes there are images
        png = canvas.to_png(score_plots.roc({class_names[1]: dict(zip(
            ("false_alarm_rate", "sensitivity"),
            classification.roc(label[:, 1], probability[:, 1])))}))
        tf.summary.image("roc", tf.image.decode_png(png, 3)[tf.newaxis])
      if consistency is not None:
        tf.summary.histogram("consistency", consistency)

  def on_attention(self, step, stories):
    """Writes `{name: (figure, text)}`; see `attention_figure`."""
    with self._writer.as_default(step=step):
      for name, (figure, text) in stories.items():
        png = canvas.to_png(figure)
        tf.summary.image(f"attention/{name}",
                         tf.image.decode_png(png, 3)[tf.newaxis])
        tf.summary.text(f"attention/{name}", text)
    self._writer.flush()

  def on_train_end(self, logs=None):
    self._writer.close()
