"""Figures of what a classifier looks at in some images."""

import numpy as np
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import attention_mask
from atcon_tf.attribution import consistency
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import cam
from atcon_tf.attribution import registry
from atcon_tf.config import UserError
from atcon_tf.data import class_masks
from atcon_tf.models import geometry
from atcon_tf.reports.figures import map_rows


def story_figure(classifier, images, records, class_names,
                 story=consistency.MapAgreement(mask_scale="std"), multi_label=True):
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
    registry.check(classifier, "guided_backprop")
    story = consistency.explain(classifier, images, story)
  except UserError:
    pass_ = forward_pass.forward(classifier, images)
    target = tf.argmax(pass_.logits, -1)
    story = {"class_index": target, "logits": pass_.logits,
             "first": cam.grad_cam(pass_, target)}
  for name in {"first", "first_masked"} & set(story):
    story[name] = geometry.resize(story[name], classifier.image_size,
                                  classifier.geometry[-1])
  story = {name: value.numpy() for name, value in story.items()}
  if "masked" in story:
    story["seen"] = classifier.normalize.undo(story["masked"])
  captions, boxes = _told(records, class_names, story, multi_label)
  images = images.numpy()
  if "mask" not in story:
    return map_rows.before_after(images, [story["first"]], ["Grad-CAM"], boxes,
                                 [[c, ""] for c in captions])
  return map_rows.explanations(images, story, boxes, captions)


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
  return map_rows.before_after(
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
    score = forward_pass.probability(story["logits"][i], multi_label)[target]
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
  attended = attention_mask.explain(classifier, tf.cast(
      images, classifier.maps.input.dtype), None, attention)
  attended = {name: value.numpy() for name, value in attended.items()}
  attended["seen"] = classifier.normalize.undo(attended["masked"])
  scores = [forward_pass.probability(attended[name], multi_label)
            for name in ("logits", "logits_masked")]
  lines = ["| image | is | says |", "|---|---|---|"]
  captions, outlines = [], []
  for i, record in enumerate(records):
    def score(c):
      first, second = (s[i][c] for s in scores)
      return f"{class_names[c]} {first:.3f} → {second:.3f}"

    target = int(attended["classes"][i].argmax())
    truth = ", ".join(map(score, np.flatnonzero(record.label))) or "-"
    lines.append(f"| {record.id} | {truth} | {score(target)} |")
    captions.append(f"{record.id[-24:]}\n{score(target)}")
    planes = class_masks.drawn(record, images.shape[1]).values()
    outlines.append(np.any([np.zeros(images.shape[1:3], bool),
                            *(plane == 1 for plane in planes)], 0))
  figure = map_rows.attention(images, attended, outlines,
                              [r.boxes for r in records], captions)
  return figure, "\n".join(lines)


def _short(text, most=24):
  return text if len(text) <= most else text[:most - 1] + "…"
