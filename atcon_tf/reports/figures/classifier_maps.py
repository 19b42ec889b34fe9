"""Figures of the maps of a classifier for some images or clips."""

import functools

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
from atcon_tf.data import recorded_clip
from atcon_tf.models import geometry
from atcon_tf.models import probabilities
from atcon_tf.reports.figures import film_strips
from atcon_tf.reports.figures import map_rows


def grad_cam_at(classifier, pixels, target, size, rows=None, batch_size=32):
  """Grad-CAM of one class of each image, at a size that several models share.

  Each map is first placed on the image that its classifier sees.

  Args:
    classifier: a `models.Classifier`.
    pixels: uint8 `[N, H, W, 3]`, or clips `[N, T, H, W, 3]`.
    target: int `[P]`, the class of each map.
    size: height and width of the maps; of clips also T before them.
    rows: int `[P]`, the image of each map; None: the image of the same number.
    batch_size: maps at once.
  Returns:
    `[P, *size]`.
  """
  rows = np.arange(len(target)) if rows is None else rows
  found = []
  for first in range(0, len(rows), batch_size):
    part = slice(first, first + batch_size)
    heat = attribution.explain(classifier, pixels[rows[part]] / np.float32(255),
                               "grad_cam", target[part])
    heat = attribution.enlarge(classifier, heat)
    found.append(geometry.resize(heat, size).numpy())
  return np.concatenate(found)


def agreement_figure(classifier, images, records, class_names, explain=None,
                     multi_label=True):
  """The two maps that ATCON compares, and the mask between them.

  Each row explains the most probable class, whatever the threshold of two
  classes is, as the consistency does. Boxes of that class are drawn where
  the image has some, else the boxes of all classes.

  Args:
    classifier: a `models.Classifier`.
    images: float32 `[B, H, W, 3]` in [0, 1].
    records: their B records.
    class_names: of the classes.
    explain: `images -> dict` of `consistency.explain` that compares by a
      mask, traced for figures that are drawn often; None: with the mask scaled
      by its standard deviation.
    multi_label: whether a score is a sigmoid or a softmax.
  Returns:
    a matplotlib figure; for a network without ReLU, of Grad-CAM alone.
  """
  images = tf.cast(images, classifier.maps.input.dtype)
  explain = explain or functools.partial(
      consistency.explain, classifier,
      agreement=consistency.MapAgreement(mask_scale="std"))
  try:
    registry.check(classifier, "guided_backprop")
    found = dict(explain(images))
  except UserError:
    pass_ = forward_pass.forward(classifier, images)
    target = tf.argmax(pass_.logits, -1)
    found = {"class_index": target, "logits": pass_.logits,
             "first": cam.grad_cam(pass_, target)}
  for name in {"first", "first_masked"} & set(found):
    found[name] = geometry.resize(found[name], classifier.extent,
                                  classifier.geometry[-1])
  found = {name: value.numpy() for name, value in found.items()}
  captions, boxes = _captions(records, class_names, found["class_index"],
                              found["logits"], multi_label)
  if "mask" in found:
    masked = classifier.normalize(images) * found["mask"][..., np.newaxis]
    found["seen"] = classifier.normalize.undo(masked.numpy())
  images = images.numpy()
  if classifier.frames:
    return film_strips.explanations(images, found, captions,
                                    _seconds(records))
  if "mask" not in found:
    return map_rows.before_after(images, [found["first"]], ["Grad-CAM"], boxes,
                                 [[c, ""] for c in captions])
  return map_rows.explanations(images, found, boxes, captions)


def verdict_figure(classifier, images, records, class_names,
                   multi_label=True, threshold=None):
  """A photo, Grad-CAM of the predicted class, and a verdict, for each image.

  Args:
    classifier, images, records, class_names, multi_label: see
      `agreement_figure`.
    threshold: of the second of two classes; None: the most probable class.
  Returns:
    a matplotlib figure.
  """
  images = tf.cast(images, classifier.maps.input.dtype)
  logits = classifier.model(images, training=False)
  probability = probabilities.probability(logits.numpy(), multi_label)
  target = said(probability, multi_label, threshold)
  heat = attribution.enlarge(classifier, attribution.explain(
      classifier, images, "grad_cam", target)).numpy()
  words = (
      [f"{class_names[c]} {p[c]:.0%}" for c, p in zip(target, probability)],
      [_shown(record, class_names) for record in records],
      [record.label[c] > 0 for record, c in zip(records, target)],
      [_name(record) for record in records])
  if classifier.frames:
    return film_strips.verdicts(images.numpy(), heat, *words,
                                _seconds(records))
  _, boxes = _captions(records, class_names, target, logits.numpy(),
                       multi_label)
  return map_rows.verdicts(images.numpy(), heat, boxes, *words)


def said(probability, multi_label, threshold=None):
  """The class that the model says of each image, int `[N]`.

  Args:
    probability: `[N, classes]`.
    multi_label, threshold: see `verdict_figure`.
  """
  if multi_label:
    return probability.argmax(1)
  return probabilities.labels(probability, False, threshold).argmax(1)


def head_figure(classifier, images, records, class_names, method,
                multi_label=True):
  """The maps of a trained head beside Grad-CAM, of the predicted class.

  Args:
    method: "tame" or "l_cam".
    classifier, images, records, class_names, multi_label: see
      `agreement_figure`.
  Returns:
    a matplotlib figure.
  """
  images = tf.cast(images, classifier.maps.input.dtype)
  logits = classifier.model(images, training=False)
  target = tf.argmax(logits, -1).numpy()
  heat = [attribution.enlarge(classifier, attribution.explain(
      classifier, images, name, target)).numpy()
          for name in ("grad_cam", method)]
  captions, boxes = _captions(records, class_names, target, logits.numpy(),
                              multi_label)
  names = ["Grad-CAM", method.replace("_", "-").upper()]
  if classifier.frames:
    return film_strips.side_by_side(images.numpy(), heat, names, captions,
                                    _seconds(records))
  return map_rows.before_after(images.numpy(), heat, names, boxes,
                               [[c, "", ""] for c in captions])


def _seconds(records):
  """Of each clip the seconds of its frames; None: the clip is drawn."""
  return [r.image.seconds if isinstance(r.image, recorded_clip.RecordedClip)
          else None for r in records]


def _captions(records, class_names, class_index, logits, multi_label):
  """A caption and the boxes of each image.

  The boxes are those of the class that is explained; without any, all boxes.
  """
  captions, boxes = [], []
  for i, record in enumerate(records):
    target = class_index[i]
    own = record.boxes[record.box_label == target]
    boxes.append(own if len(own) else record.boxes)
    right = "right" if record.label[target] else "wrong"
    score = probabilities.probability(logits[i], multi_label)[target]
    captions.append(f"{_name(record)}\nis: {_shown(record, class_names)}\n"
                    f"most probable: {class_names[target]} {score:.0%} "
                    f"({right})")
  return captions, boxes


def attention_figure(classifier, images, records, class_names, attention,
                     multi_label=True):
  """What GAIN's mask takes from images, and the scores before and after.

  The predicted class of each image is explained.

  Args:
    classifier: a `models.Classifier`.
    images: float32 `[B, H, W, 3]` in [0, 1].
    records: their B records; boxes and masks are drawn on the images.
    class_names: of the classes.
    attention: an `attention_mask.Attention`.
    multi_label: whether a score is a sigmoid or a softmax.
  Returns:
    a matplotlib figure, and a Markdown table with a line for each image: the
    score of every label and of the prediction in both passes.
  """
  attended = attention_mask.explain(classifier, tf.cast(
      images, classifier.maps.input.dtype), None, attention)
  attended = {name: value.numpy() for name, value in attended.items()}
  attended["seen"] = classifier.normalize.undo(attended["masked"])
  scores = [probabilities.probability(attended[name], multi_label)
            for name in ("logits", "logits_masked")]
  lines = ["| image | is | most probable |", "|---|---|---|"]
  captions, outlines = [], []
  for i, record in enumerate(records):
    def score(c):
      first, second = (s[i][c] for s in scores)
      return f"{class_names[c]} {first:.3f} → {second:.3f}"

    target = int(attended["classes"][i].argmax())
    truth = ", ".join(map(score, np.flatnonzero(record.label))) or "-"
    lines.append(f"| {record.id} | {truth} | {score(target)} |")
    captions.append(f"{_name(record)}\n{score(target)}")
    planes = class_masks.drawn(record, images.shape[1]).values()
    outlines.append(np.any([np.zeros(images.shape[1:3], bool),
                            *(plane == 1 for plane in planes)], 0))
  figure = map_rows.attention(images, attended, outlines,
                              [r.boxes for r in records], captions)
  return figure, "\n".join(lines)


def _name(record):
  """The name of an image's file."""
  return str(record.id).rpartition("/")[2]


def _shown(record, class_names):
  """The labels of an image."""
  return ", ".join(class_names[c] for c in np.flatnonzero(record.label)) or (
      "none of the classes")
