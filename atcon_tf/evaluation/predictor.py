"""Probabilities, consistency and localisation of records by a classifier.

    predictor = Predictor(classifier, multi_label)
    predictions = predictor.predict(images, records)
"""

import dataclasses

import numpy as np
import tensorflow as tf

from atcon_tf.attribution.consistency import PUBLISHED
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import maps
from atcon_tf.attribution.methods import cam
from atcon_tf.attribution.methods import gradient
from atcon_tf.attribution import registry
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.data import class_masks
from atcon_tf.data import pipeline
from atcon_tf.data import recorded_clip
from atcon_tf.evaluation import class_boxes
from atcon_tf.evaluation.metrics import localization
from atcon_tf.evaluation.metrics import segmentation
from atcon_tf.models import geometry
from atcon_tf.models import probabilities

# The slope of the soft mask in every score, whatever a run trained with.
INTENSITY = 8.0


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
  group: np.ndarray | None = None


def use_xla(xla):
  """Whether to compile first-order attribution.

  On the CPU compiled maps are the same and 2 to 10 times slower.

  Args:
    xla: "on", "off", or "auto", which is "on" where there is a GPU.
  """
  if xla == "auto":
    return bool(tf.config.list_physical_devices("GPU"))
  return xla == "on"


class Predictor:
  """Runs a classifier on records; TensorFlow traces its functions once."""

  def __init__(self, classifier, multi_label, batch_size=32, xla="auto"):
    """Prepares a classifier.

    Args:
      classifier: a `models.Classifier`.
      multi_label: the probability is a sigmoid; otherwise a softmax.
      batch_size: images, or frames of clips, in the network at once.
      xla: see `use_xla`.
    """
    self.classifier, self.multi_label = classifier, multi_label
    self.batch_size = classifier.per_batch(batch_size)
    try:
      registry.check(classifier, "guided_backprop")
      self._measured = True
    except UserError:
      self._measured = False  # consistency has no meaning for this network
    self._logits = tf.function(
        lambda x: classifier.model(x, training=False),
        input_signature=[tf.TensorSpec([None, *classifier.image_shape],
                                       classifier.maps.input.dtype)])
    self._look = tf.function(
        lambda x, columns, consistency: _look(
            classifier, x, columns, consistency),
        reduce_retracing=True, jit_compile=use_xla(xla))

  def _batches(self, images, records, progress):
    """Yields the records and images of each batch; moves a bar."""
    bar = Progress(len(records), "images", progress)
    dtype = self.classifier.maps.input.dtype
    for batch, pixels in pipeline.evaluation_batches(images, records,
                                                     self.batch_size):
      yield batch, tf.cast(pixels, dtype)
      bar.add(len(batch))

  def logits(self, images, records, progress=False):
    """Logits of records, `[N, classes]`; arguments as `predict`."""
    return np.concatenate([
        self._logits(pixels).numpy()
        for _, pixels in self._batches(images, records, progress)])

  def probability(self, images, records):
    """Probabilities of records, `[N, classes]`; arguments as `predict`."""
    return probabilities.probability(self.logits(images, records),
                                     self.multi_label)

  def predict(self, images, records, progress=False, consistency=True,
              views=1):
    """Predictions, consistency and localisation of records.

    Args:
      images: an `image_store.Images` with the images of the records.
      records: list of `Record`.
      progress: show a bar.
      consistency: measure consistency, which takes three quarters of the
        time.
      views: clips of each recording over which probabilities are averaged;
        `images` holds them, see `data.recorded_clip.views`.
    Returns:
      `Predictions`.
    """
    seen, done, pairs = [], 0, _Pairs()
    consistency = consistency and self._measured
    width = _width(records)
    for batch, pixels in self._batches(images, records, progress):
      classes = [class_boxes.of_record(r) for r in batch]
      # One [B] column for each class of the fullest image.
      columns = np.zeros([width, self.batch_size], np.int64)
      for i, present in enumerate(classes):
        columns[:len(present), i] = list(present)
      # All batches have one size: TensorFlow would trace another one anew.
      pixels = tf.pad(pixels, [[0, self.batch_size - len(batch)],
                               *[[0, 0]] * (len(pixels.shape) - 1)])
      result = self._look(pixels, [tf.constant(c) for c in columns],
                          consistency)
      result = {name: value.numpy()[:len(batch)]
                for name, value in result.items()}
      pairs.add(done, batch, classes, result.pop("maps"))
      seen.append(result)
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
        consistency=columns.get("consistency"),
        consistency_raw=columns.get("consistency_raw"),
        **pairs.columns())


def _width(records):
  """The most classes with boxes in one image, from 2 on a multiple of 8.

  TensorFlow traces `_look` anew for each number of classes.
  """
  most = max((len(class_boxes.of_record(r)) for r in records), default=0)
  return most if most < 2 else -(-most // 8) * 8


def _look(classifier, images, columns, with_consistency):
  """Logits, Grad-CAMs and consistency of a batch.

  Args:
    classifier: a `models.Classifier`.
    images: `[B, H, W, 3]` in [0, 1], or clips `[B, T, H, W, 3]`.
    columns: list of int `[B]`, one class for each image; a map for each.
    with_consistency: whether to compute consistency.
  """
  pass_ = forward_pass.forward(classifier, images)
  result = {"logits": pass_.logits}
  cams = [cam.grad_cam(pass_, column) for column in columns]
  size = classifier.extent
  result["maps"] = tf.stack(
      [class_boxes.evidence(geometry.resize(
          m, size, classifier.geometry[-1])) for m in cams],
      1) if cams else tf.zeros([0])
  if with_consistency:
    target = tf.argmax(pass_.logits, -1)
    first = cam.grad_cam(pass_, target)
    guided = gradient.guided_backprop(pass_, target)
    for name, scale in [("consistency", "std"), ("consistency_raw", "none")]:
      mask = maps.soft_mask(guided, INTENSITY, scale)
      result[name] = PUBLISHED.under(
          pass_, target, first, mask)["similarity"]
  return result


class _Pairs:
  """Collects the scores of the pairs of `Predictions`."""

  def __init__(self):
    self.image, self.label, self.boxes = [], [], []
    self.iou = [np.zeros([0, len(localization.THRESHOLDS)])]
    self.pointing = [np.zeros([0])]
    self.masks = [np.zeros([0, 2, len(localization.THRESHOLDS)])]

  def add(self, first, batch, classes, cams):
    """Scores the maps of a batch.

    Args:
      first: index of the first image.
      batch: list of `Record`.
      classes: `{class: boxes}` of each record, see `class_boxes.of_record`.
      cams: `[B, K, H, W]`, a map for each of these classes; see
        `class_boxes.evidence`.
    """
    chosen, boxes, masks, size = [], [], [], cams.shape[2:]
    for i, (record, present) in enumerate(zip(batch, classes)):
      mask = record.mask() if present and record.mask else None
      for k, (c, own) in enumerate(present.items()):
        chosen.append(cams[i, k])
        boxes.append(own)
        masks.append(class_masks.class_mask(mask, c, size))
        self.image.append(first + i)
        self.label.append(c)
    if chosen:
      self.boxes += boxes
      self.iou.append(localization.box_iou(np.stack(chosen), boxes))
      self.pointing.append(
          localization.pointing_game(np.stack(chosen), boxes))
      centre = np.repeat(segmentation.centre_map(size)[None], len(chosen), 0)
      self.masks.append(np.stack([
          segmentation.mask_ious(m, masks)
          for m in (np.stack(chosen), centre)], 1))

  def columns(self):
    """The fields of `Predictions` that describe pairs, as a dict."""
    masks = np.concatenate(self.masks)
    return dict(pair_image=np.array(self.image, np.int64),
                pair_class=np.array(self.label, np.int64),
                pair_boxes=self.boxes, iou=np.concatenate(self.iou),
                pointing=np.concatenate(self.pointing).astype(float),
                mask_iou=masks[:, 0], centre_mask_iou=masks[:, 1])
