"""Probabilities, consistency and localisation of records by a classifier.

    predictor = Predictor(classifier, multi_label)
    predictions = predictor.predict(images, records)
"""

import dataclasses

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import registry
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.data import pipeline
from atcon_tf.data import recorded_clip
from atcon_tf.evaluation import batch_scores
from atcon_tf.evaluation import class_boxes
from atcon_tf.evaluation.pair_scores import PairScores
from atcon_tf.models import probabilities

@dataclasses.dataclass(eq=False)
class Predictions:
  """Predictions of N images, and of P pairs.

  A pair is an image and a class of which the image has boxes.

  Attributes:
    id: `[N]`.
    label: `[N, classes]`, 0 or 1.
    probability: `[N, classes]`.
    multi_label: an image may show several classes.
    consistency: `[N]` in [-1, 1], of the predicted class, under the guided
      mask scaled by its standard deviation; None for a network without ReLU.
    consistency_raw: the same under the unscaled mask.
    pair_image: int `[P]`, index of the image.
    pair_class: int `[P]`.
    pair_boxes: list of P float arrays `[n, 4]`, see `class_boxes`.
    iou: `[P, len(localization.THRESHOLDS)]`, box IoU of the rectified
      Grad-CAM at each threshold.
    pointing: `[P]`, 1 where the maximum of Grad-CAM lies in a box.
    mask_iou: like `iou`, with the mask of the class; NaN where it has no
      pixel.
    centre_mask_iou: the same of `segmentation.centre_map`.
    of_clips: the images are clips, and the boxes events; see `class_boxes`.
    clip_probability: `[N, K, classes]` of K clips of each recording, whose
      mean is `probability`; None: of the one clip alone.
    dead: bool `[N]`, whether Grad-CAM of the predicted class is constant, so
      that it explains nothing; None where `consistency` is None.
    group: `[N]`, see `Record.group`; None: unknown.
  """

  id: np.ndarray
  label: np.ndarray
  probability: np.ndarray
  multi_label: bool
  consistency: np.ndarray | None
  consistency_raw: np.ndarray | None
  pair_image: np.ndarray
  pair_class: np.ndarray
  pair_boxes: list
  iou: np.ndarray
  pointing: np.ndarray
  mask_iou: np.ndarray
  centre_mask_iou: np.ndarray
  of_clips: bool = False
  clip_probability: np.ndarray | None = None
  dead: np.ndarray | None = None
  group: np.ndarray | None = None


# Images from which on compiling their Grad-CAM can repay itself on a GPU: the
# compilation takes seconds, and an image well below a millisecond without it.
XLA_PAYS = 100_000


def use_xla(xla, count):
  """Whether to compile logits and Grad-CAM with XLA.

  On the CPU compiled maps are the same and 2 to 10 times slower. The second
  passes of the consistency are never compiled: that takes minutes.

  Args:
    xla: "on", "off", or "auto", which is "on" for many images on a GPU.
    count: number of images.
  """
  if xla == "auto":
    return count >= XLA_PAYS and bool(
        tf.config.list_physical_devices("GPU"))
  return xla in ("on", "steps")


class Predictor:
  """Runs a classifier on records; TensorFlow traces its functions once."""

  def __init__(self, classifier, multi_label, batch_size=32, xla="auto",
               fast=None):
    """Prepares a classifier.

    Args:
      classifier: a `models.Classifier`.
      multi_label: the probability is a sigmoid; otherwise a softmax.
      batch_size: images, or frames of clips, in the network at once.
      xla: see `use_xla`.
      fast: the classifier in the precision of training, which `logits` runs;
        None: `classifier`.
    """
    self._fast = fast or classifier
    self.classifier, self.multi_label = classifier, multi_label
    self.batch_size = classifier.per_batch(batch_size)
    self._xla, self._prefix = xla, None
    try:
      registry.check(classifier, "guided_backprop")
      self._measured = True
    except UserError:
      self._measured = False  # consistency has no meaning for this network
    self._logits = tf.function(
        lambda x: self._fast.model(x, training=False), autograph=False,
        input_signature=[tf.TensorSpec([None, *classifier.image_shape],
                                       classifier.maps.input.dtype)])
    self._traced = {}

  def _batches(self, images, records, progress):
    """Yields the records and images of each batch; moves a bar."""
    bar = Progress(len(records), "images", progress)
    dtype = self.classifier.maps.input.dtype
    for batch, pixels in pipeline.evaluation_batches(images, records,
                                                     self.batch_size):
      yield batch, tf.cast(pixels, dtype)
      bar.add(len(batch))

  def keep_prefix(self, prefix):
    """Lets `logits` compute the frozen layers once for each image.

    Args:
      prefix: a `frozen_prefix.FrozenPrefix` of the classifier `fast`.
    """
    if prefix.tensor is not None:
      self._prefix = prefix
      self._rest = prefix.rest(self._fast.maps.outputs[-2:])

  def prefix_of(self, classifier):
    """The `FrozenPrefix` of this very classifier, or None."""
    return self._prefix if classifier is self._fast else None

  def logits(self, images, records, progress=False):
    """Logits of records, `[N, classes]`; arguments as `predict`."""
    if self._prefix is None:
      return np.concatenate([
          self._logits(pixels).numpy()
          for _, pixels in self._batches(images, records, progress)])
    self._prefix.check(images)
    bar, found = Progress(len(records), "images", progress), []
    for first in range(0, len(records), self.batch_size):
      part = records[first:first + self.batch_size]
      _, logits = self._rest(self._prefix.of(images, part))
      found.append(logits.numpy())
      bar.add(len(part))
    return np.concatenate(found)

  def probability(self, images, records):
    """Probabilities of records, `[N, classes]`; arguments as `predict`."""
    return probabilities.probability(self.logits(images, records),
                                     self.multi_label)

  def compare(self, images, mask_scale):
    """`consistency.explain` at the slope of every score, by the traced code.

    Args:
      images: `[B, H, W, 3]` in [0, 1].
      mask_scale: "std" or "none".
    Returns:
      the dict of `consistency.explain`, without "masked".
    """
    nothing = np.zeros([len(images), 0], np.int64)
    result = self._look(images, nothing, True, False)
    return {"class_index": tf.argmax(result["logits"], -1),
            **{name: result[name] for name in ("logits", "first", "second")},
            **{name: result[f"{name}/{mask_scale}"]
               for name in ("mask", "first_masked", "similarity")}}

  def _look(self, images, classes, consistency, compiled):
    """`batch_scores.look` of any number of images, traced once.

    It is traced again for each number of classes where Grad-CAM takes a
    gradient for each of them. XLA compiles one shape alone: batches are
    filled up to one size for it.
    """
    classifier, count = self.classifier, len(images)
    width = None if classifier.pooled_head else classes.shape[1]
    key = width, consistency, compiled
    if key not in self._traced:
      self._traced[key] = tf.function(
          lambda x, c: batch_scores.look(classifier, x, c, consistency),
          autograph=False, jit_compile=compiled, input_signature=[
              tf.TensorSpec([None, *classifier.image_shape],
                            classifier.maps.input.dtype),
              tf.TensorSpec([None, width], tf.int64)])
    if not compiled:
      return self._traced[key](images, tf.constant(classes))
    more = [0, self.batch_size - count]
    result = self._traced[key](
        tf.pad(images, [more, *[[0, 0]] * (len(images.shape) - 1)]),
        tf.pad(tf.constant(classes), [more, [0, 0]]))
    return {name: value[:count] for name, value in result.items()}

  def predict(self, images, records, progress=False, consistency=True,
              views=1, boxes=True):
    """Predictions, consistency and localisation of records.

    Args:
      images: an `image_store.Images` with the images of the records.
      records: list of `Record`.
      progress: show a bar.
      consistency: measure consistency, which takes three quarters of the
        time.
      views: clips of each recording over which probabilities are averaged;
        `images` holds them, see `data.recorded_clip.views`.
      boxes: score maps against boxes; otherwise "iou" and "pointing" are NaN,
        and images without a mask have no pair.
    Returns:
      `Predictions`.
    """
    seen, done, pairs = [], 0, PairScores(boxes)
    consistency = consistency and self._measured
    present = [class_boxes.of_record(r) if boxes or r.mask else {}
               for r in records]
    width = _width(present)
    compiled = not consistency and use_xla(self._xla, len(records))
    kept = not consistency and not compiled and (
        self.prefix_of(self.classifier) and self.classifier.pooled_head)
    if kept:
      self._prefix.check(images)
    for batch, pixels in self._batches(images, records, progress):
      classes = present[done:done + len(batch)]
      # As many classes for each image as the fullest one has.
      columns = np.zeros([len(batch), width], np.int64)
      for row, own in zip(columns, classes):
        row[:len(own)] = list(own)
      if kept:
        result = batch_scores.located(self.classifier, *self._rest(
            self._prefix.of(images, batch)), tf.constant(columns))
      else:
        result = self._look(pixels, columns, consistency, compiled)
      pairs.add(done, batch, classes, result["maps"].numpy())
      seen.append({name: result[name].numpy() for name in (
          "logits", "similarity/std", "similarity/none", "dead")
          if name in result})
      done += len(batch)
    columns = {name: np.concatenate([s[name] for s in seen])
               for name in seen[0]}
    probability, of_views = probabilities.probability(
        columns["logits"], self.multi_label), None
    if views > 1:
      of_views = self.probability(images, [
          v for r in records for v in recorded_clip.views(r, views)]).reshape(
              len(records), views, -1)
      probability = of_views.mean(1)
    return Predictions(
        id=np.array([r.id for r in records]),
        group=np.array([r.group for r in records]),
        label=np.stack([r.label for r in records]),
        probability=probability, multi_label=self.multi_label,
        of_clips=bool(self.classifier.frames), clip_probability=of_views,
        consistency=columns.get("similarity/std"),
        consistency_raw=columns.get("similarity/none"),
        dead=columns.get("dead"),
        **pairs.columns())


def _width(classes):
  """The most classes of one image, from 2 on a multiple of 8.

  TensorFlow may trace `batch_scores.look` anew for each number of classes.
  """
  most = max(map(len, classes), default=0)
  return most if most < 2 else -(-most // 8) * 8
