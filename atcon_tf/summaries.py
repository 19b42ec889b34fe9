"""What TensorBoard shows of a run: scalars, and pictures of the maps."""

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf import maps
from atcon_tf import plots
from atcon_tf.attribution import cam
from atcon_tf.attribution import forward
from atcon_tf.config import UserError
from atcon_tf.objectives import atcon


def story_figure(classifier, images, records, class_names,
                 story=atcon.Story(mask_scale="std")):
  """The figure of ATCON's story for some images.

  Each row explains the predicted class; its boxes are drawn where the image
  has some, else those of every class.

  Args:
    classifier: a `models.Classifier`.
    images: float32 `[B, H, W, 3]` in [0, 1].
    records: their B records.
    class_names: of the classes.
    story: an `atcon.Story` that matches its maps by a mask.
  Returns:
    a matplotlib figure; for a network without ReLU, of Grad-CAM alone.
  """
  size = classifier.image_size
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
    story[name] = maps.resize(story[name], size, classifier.geometry[-1])
  story = {name: value.numpy() for name, value in story.items()}
  captions, boxes = [], []
  for i, record in enumerate(records):
    target = story["class_index"][i]
    own = record.boxes[record.box_label == target]
    boxes.append(own if len(own) else record.boxes)
    truth = ", ".join(class_names[c] for c in np.flatnonzero(record.label))
    right = "right" if record.label[target] else "wrong"
    captions.append(f"is: {truth[:30]}\nsays: {class_names[target]} ({right})")
  images = images.numpy()
  if "mask" not in story:
    return plots.before_after(images, [story["first"]], ["Grad-CAM"], boxes,
                              [[c, ""] for c in captions])
  return plots.explanations(images, story, boxes, captions)


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

  def on_train_end(self, logs=None):
    self._writer.close()
