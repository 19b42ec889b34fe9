"""What TensorBoard shows of a run.

Scalars; pictures of the maps of fixed images; of every class a precision and
recall curve; which classes are taken for which; histograms of consistency;
the settings, as hyper-parameters and as text, and the split as text.
"""

import json

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.pr_curve import summary as pr_curve

from atcon_tf import attribution
from atcon_tf import maps
from atcon_tf import masks
from atcon_tf import plots
from atcon_tf.attribution import cam
from atcon_tf.attribution import forward
from atcon_tf.config import UserError
from atcon_tf.metrics import classification
from atcon_tf.objectives import atcon
from atcon_tf.objectives import gain


def story_figure(classifier, images, records, class_names,
                 story=atcon.Story(mask_scale="std"), multi_label=True):
  """The figure of ATCON's story for some images.

  Each row explains the predicted class; its boxes are drawn where the image
  has some, else those of every class.

  Args:
    classifier: a `models.Classifier`.
    images: float32 `[B, H, W, 3]` in [0, 1].
    records: their B records.
    class_names: of the classes.
    story: an `atcon.Story` that matches its maps by a mask.
    multi_label: whether a score is a sigmoid or a softmax.
  Returns:
    a matplotlib figure; for a network without ReLU, of Grad-CAM alone.
  """
  images = tf.cast(images, classifier.maps.input.dtype)
  try:
    attribution.check(classifier, "guided_backprop")
    story = atcon.explain(classifier, images, story)
  except UserError:
    pass_ = forward.forward(classifier, images)
    target = tf.argmax(pass_.logits, -1)
    story = {"class_index": target, "logits": pass_.logits,
             "first": cam.grad_cam(pass_, target)}
  for name in {"first", "first_masked"} & set(story):
    story[name] = maps.resize(story[name], classifier.image_size,
                              classifier.geometry[-1])
  story = {name: value.numpy() for name, value in story.items()}
  if "masked" in story:
    story["seen"] = classifier.normalize.undo(story["masked"])
  captions, boxes = _told(records, class_names, story, multi_label)
  images = images.numpy()
  if "mask" not in story:
    return plots.before_after(images, [story["first"]], ["Grad-CAM"], boxes,
                              [[c, ""] for c in captions])
  return plots.explanations(images, story, boxes, captions)


def head_figure(classifier, images, records, class_names, method,
                multi_label=True):
  """The maps of a trained head beside Grad-CAM, of the predicted class.

  Args:
    method: "tame" or "l_cam".
    Others as of `story_figure`.
  Returns:
    a matplotlib figure.
  """
  images = tf.cast(images, classifier.maps.input.dtype)
  logits = classifier.model(images, training=False)
  target = tf.argmax(logits, -1).numpy()
  heat = [attribution.enlarge(classifier, attribution.explain(
      classifier, images, name, target)).numpy()
          for name in ("grad_cam", method)]
  captions, boxes = _told(
      records, class_names,
      {"class_index": target, "logits": logits.numpy()}, multi_label)
  return plots.before_after(
      images.numpy(), heat, ["Grad-CAM", method.replace("_", "-").upper()],
      boxes, [[c, "", ""] for c in captions])


def _told(records, class_names, story, multi_label):
  """A caption and the boxes of each image."""
  captions, boxes = [], []
  for i, record in enumerate(records):
    target = story["class_index"][i]
    own = record.boxes[record.box_label == target]
    boxes.append(own if len(own) else record.boxes)
    truth = ", ".join(class_names[c] for c in np.flatnonzero(record.label))
    right = "right" if record.label[target] else "wrong"
    score = _probability(story["logits"][i], multi_label)[target]
    captions.append(f"{record.id[-24:]}\nis: {_short(truth)}\n"
                    f"says: {class_names[target]} {score:.2f} ({right})")
  return captions, boxes


def attention_story(classifier, images, records, class_names, attention,
                    multi_label=True):
  """What GAIN sees in some images, with and without their attention.

  Each image's predicted class is explained, as in evaluation.

  Args:
    classifier: a `models.Classifier`.
    images: float32 `[B, H, W, 3]` in [0, 1].
    records: their B records; boxes and masks are drawn on the images.
    class_names: of the classes.
    attention: a `gain.Attention`.
    multi_label: whether a score is a sigmoid or a softmax.
  Returns:
    a matplotlib figure, and a Markdown table with a line for each image: the
    score of every label and of the prediction in both passes.
  """
  told = gain.explain(classifier, tf.cast(
      images, classifier.maps.input.dtype), None, attention)
  told = {name: value.numpy() for name, value in told.items()}
  told["seen"] = classifier.normalize.undo(told["masked"])
  scores = [_probability(told[name], multi_label)
            for name in ("logits", "logits_masked")]
  lines = ["| image | is | says |", "|---|---|---|"]
  captions, outlines = [], []
  for i, record in enumerate(records):
    def score(c):
      first, second = (s[i][c] for s in scores)
      return f"{class_names[c]} {first:.3f} → {second:.3f}"

    target = int(told["classes"][i].argmax())
    truth = ", ".join(map(score, np.flatnonzero(record.label))) or "-"
    lines.append(f"| {record.id} | {truth} | {score(target)} |")
    captions.append(f"{record.id[-24:]}\n{score(target)}")
    planes = masks.drawn(record, images.shape[1]).values()
    outlines.append(np.any([np.zeros(images.shape[1:3], bool),
                            *(plane == 1 for plane in planes)], 0))
  figure = plots.attention(images, told, outlines,
                           [r.boxes for r in records], captions)
  return figure, "\n".join(lines)


def _short(text, most=24):
  return text if len(text) <= most else text[:most - 1] + "…"


def _probability(logits, multi_label):
  return (tf.sigmoid(logits) if multi_label else tf.nn.softmax(logits)).numpy()


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
        png = plots.to_png(self._figure())
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
      png = plots.to_png(plots.matrix(
          confusion(label, probability, multi_label), class_names, title,
          "the model says", "the image shows"))
      tf.summary.image("confusion",
                       tf.image.decode_png(png, 3)[tf.newaxis])
      if classification.is_binary(label, multi_label) and (
          label.any(0).all()):  # of both classes there are images
        png = plots.to_png(plots.roc({class_names[1]: dict(zip(
            ("false_alarm_rate", "sensitivity"),
            classification.roc(label[:, 1], probability[:, 1])))}))
        tf.summary.image("roc", tf.image.decode_png(png, 3)[tf.newaxis])
      if consistency is not None:
        tf.summary.histogram("consistency", consistency)

  def on_attention(self, step, stories):
    """Writes `{name: (figure, text)}`; see `attention_story`."""
    with self._writer.as_default(step=step):
      for name, (figure, text) in stories.items():
        png = plots.to_png(figure)
        tf.summary.image(f"attention/{name}",
                         tf.image.decode_png(png, 3)[tf.newaxis])
        tf.summary.text(f"attention/{name}", text)
    self._writer.flush()

  def on_train_end(self, logs=None):
    self._writer.close()
