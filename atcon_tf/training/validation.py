"""Validates a run while it trains; writes TensorBoard and progress lines."""

import functools

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import consistency
from atcon_tf.config import files
from atcon_tf.evaluation.batch_scores import INTENSITY
from atcon_tf.evaluation.metrics import classification
from atcon_tf.evaluation.metrics import operating_point
from atcon_tf.models import probabilities
from atcon_tf.reports.figures import classifier_maps
from atcon_tf.training import head_scores
from atcon_tf.training import tensorboard_writer
from atcon_tf.training import weight_choice
from atcon_tf.training.validation_images import spread

# Number of validation images whose consistency is scored during training.
FOLLOWED = 64
# A soft mask with a smaller standard deviation over the image has no effect.
FLAT_MASK = 0.05
SHOWN = ("supervised", "consistency", "pseudo", "attention_mining",
         "extra_supervision", "class_embed", "val_map_macro", "val_f1_macro",
         "val_consistency")
SHOWN_OF_HEADS = ("cross_entropy", "area", "variation", "val_loss",
                  "val_average_drop_15", "val_increase_in_confidence_15")


class Validator:
  """Validates, keeps weights, writes TensorBoard, prints progress."""

  def __init__(self, config, data, predictor, work, interactive,
               objectives, losses=None, group=None):
    """Opens the event file.

    Args:
      config: the run's `Config`.
      data: the run's `run_data.RunData`.
      predictor: a `predictor.Predictor` of the classifier that is trained.
      work: the run's `run_folder.Workdir`.
      interactive: whether a progress bar is shown, and no lines are printed.
      objectives: `{kind of step: Objective}`. If an objective has an
        `attention`, its maps are drawn as well.
      losses: for a run that trains an explanation head,
        `records -> {"loss" and each term: float}`. The loss then chooses the
        weights, because the classifier's scores do not change. None: the
        classifier's mAP chooses them; see `weight_choice`.
      group: the `WorkerGroup` whose chief's scores count; None: one process.
    """
    self._group = group
    self.config, self.data, self.work = config, data, work
    self.predictor, self.interactive = predictor, interactive
    self.losses = losses
    self._attention = next((o.attention for o in objectives.values()
                            if hasattr(o, "attention")), None)
    if losses:
      self.head_scores = head_scores.HeadScores(config, data,
                                                predictor.classifier)
    shown = config.public()
    texts = {"settings": shown.to_json(), "flags": shown.to_flags(),
             "split": tensorboard_writer.split_text(data.split)}
    self._callback = tensorboard_writer.Summaries(
        work.path / "tb", self.figure if config.summary_images else None,
        texts)
    self._callback.on_train_begin()

  def close(self):
    """Closes the event file."""
    self._callback.on_train_end()

  def follow(self, state, keep=True):
    """Validates and records if they are due, and after the last update.

    Args:
      state: the `RunState`.
      keep: see `validate`.
    Returns:
      whether the weights were kept.
    """
    config, updates, kept = self.config, state.updates, False
    last = updates == config.steps
    if last or updates % config.eval_every == 0:
      kept = self.validate(state, keep)
    every = config.record_every or config.eval_every
    if self._attention and (last or updates % every == 0):
      self.record(updates)
    return kept

  def record(self, updates):
    """Draws the attention in fixed images, positives and negatives apart."""
    config, data = self.config, self.data
    figures = {}
    for part, name in [("train_labeled", "train"), ("val", "validation")]:
      kinds = {"positives": [], "negatives": []}
      for r in data.records[part]:
        kinds["negatives" if _is_negative(r, data.multi_label)
              else "positives"].append(r)
      counts = config.record_positives, config.record_negatives
      for (kind, records), count in zip(kinds.items(), counts):
        records = spread(records, count)
        if records:
          figures[f"{name}_{kind}"] = classifier_maps.attention_figure(
              self.predictor.classifier, data.images.batch(records), records,
              data.class_names, self._attention, data.multi_label)
    self._callback.on_attention(updates, figures)

  def validate(self, state, keep=True):
    """Scores the validation images, and keeps the weights if they win.

    Args:
      state: the `RunState`, whose sums, history and best are updated.
      keep: whether these weights can be kept; untrained weights cannot.
    Returns:
      whether the weights were kept.
    """
    row = state.take_means()
    if self.losses:
      scores = self.losses(self.data.records["val"]) | self.head_scores("val")
    else:
      scores = self._scores(state.updates)
    row |= {f"val_{name}": value for name, value in scores.items()}
    if self._group:
      row, scores = self._group.same([row, scores])
    score = -scores["loss"] if self.losses else scores["map_macro"]
    updates = state.updates
    late = {"refit": state.refit,
            "averaged": state.averaged if state.mean_taken else 0}
    said = {kind: value for kind, value in late.items() if value}
    state.history.append({"step": updates, **row, **said})
    if self.losses:
      files.write_text(self.work.path / "attribution.csv",
                       head_scores.table(state.history))
    new = {"updates": updates, "score": score, "loss": scores["loss"], **late}
    # A refitted probe has to be better, whichever weights it begins with.
    kept = keep and weight_choice.wins(
        new, state.best, "best" if state.refit else self.config.keep)
    if kept:
      state.best = {**new, "sha256": self.work.save_best(
          self.predictor.classifier)}
    self._callback.on_epoch_end(updates, row | said)
    self._report_a_flat_mask_once(state, row)
    self._report_dead_maps_once(state, row)
    if not self.interactive:
      names = SHOWN_OF_HEADS if self.losses else SHOWN
      shown = [f"{name} {row[name]:.4f}" for name in names if name in row]
      what = "refitted probe  " if state.refit else (
          f"mean of {state.averaged} weights  " if state.mean_taken else "")
      print(f"{updates}/{self.config.steps}  {what}" + "  ".join(shown),
            flush=True)
    return kept

  def _report_a_flat_mask_once(self, state, row):
    """Prints a note at the first validation with a nearly constant mask."""
    deviation = row.get("mask_std", 1.0)
    if deviation < FLAT_MASK and self.config.mask == "map" and (
        not state.flat_mask):
      state.flat_mask = True
      print(f"note: the soft mask is nearly constant (mean "
            f"{row['mask_mean']:.3f}, standard deviation {deviation:.4f}), so "
            "the loss compares the maps of two contrasts; --mask_scale=std "
            "makes a mask that varies", flush=True)

  def _report_dead_maps_once(self, state, row):
    """Prints a note at the first validation with maps that explain nothing."""
    dead = row.get("val_dead_maps", 0)
    if dead and not state.dead_maps:
      state.dead_maps = True
      print(f"note: Grad-CAM of the predicted class is constant for {dead} of "
            f"{min(FOLLOWED, len(self.data.records['val']))} validation "
            "images: such maps explain nothing, and have no consistency",
            flush=True)

  def _scores(self, updates):
    """The scores of the classifier on the validation images."""
    records, images = self.data.records["val"], self.data.images
    multi_label = self.data.multi_label
    scores, label, probability, threshold = scores_of(
        self.predictor, images, records, multi_label,
        self.config.operating_point)
    if classification.is_binary(label, multi_label):
      scores |= classification.sensitivities(
          label, probability,
          operating_point.measurable(self.config.false_alarm_rates,
                                     label[:, 0].sum()))
    followed = self.predictor.predict(images, spread(records, FOLLOWED),
                                      boxes=False)
    mask_iou = followed.mask_iou[np.isfinite(followed.mask_iou[:, 0])]
    if len(mask_iou):  # at the threshold that is best for these images
      scores["mask_iou"] = float(mask_iou.mean(0).max())
    for name in ("consistency", "consistency_raw"):
      if getattr(followed, name) is not None:
        scores[name] = float(getattr(followed, name).mean())
    if followed.dead is not None and followed.dead.any():
      scores["dead_maps"] = int(followed.dead.sum())
    self._callback.on_predictions(updates, label, probability,
                                  self.data.class_names, multi_label,
                                  followed.consistency, threshold)
    return scores

  def verdicts(self, threshold=None):
    """The figure of photos, maps and verdicts of the same images.

    Args:
      threshold: of the second of two classes.
    """
    every = self.data.records["val"]
    records = spread(every, self.config.summary_images)
    figure = classifier_maps.verdict_figure(
        self.predictor.classifier, self.data.images.batch(records), records,
        self.data.class_names, self.data.multi_label, threshold)
    things = "clips" if self.predictor.classifier.frames else "images"
    words = (f"{len(records)} of the {len(every)} validation {things}, evenly "
             "spread")
    if threshold is not None:
      words += (f"; the model says '{self.data.class_names[1]}' from a "
                f"probability of {threshold:.1%} on")
    if any(len(r.boxes) for r in records):
      words += "; green: the boxes of what an image shows"
    figure.supxlabel(words, fontsize=8, color="#444444")
    return figure

  def figure(self):
    """The figure of the maps of fixed validation images, for authors."""
    records = spread(self.data.records["val"], self.config.summary_images)
    if self.losses:
      return classifier_maps.head_figure(
          self.predictor.classifier, self.data.images.batch(records), records,
          self.data.class_names, self.config.objective, self.data.multi_label)
    return classifier_maps.agreement_figure(
        self.predictor.classifier, self.data.images.batch(records), records,
        self.data.class_names, self._explain, self.data.multi_label)

  @functools.cached_property
  def _explain(self):
    """What the figure shows of images: ATCON's maps, by the mask of training.
    """
    own = self.config.objective == "atcon"
    scale = self.config.mask_scale if own else "std"
    if not own or self.config.mask_intensity == INTENSITY:
      return lambda images: self.predictor.compare(images, scale)
    agreement = consistency.MapAgreement(
        mask_intensity=self.config.mask_intensity, mask_scale=scale)
    return tf.function(lambda images: consistency.explain(
        self.predictor.classifier, images, agreement), autograph=False)


def scores_of(predictor, images, records, multi_label, wanted=""):
  """Scores of a classifier's probabilities for some records.

  Args:
    predictor: a `predictor.Predictor`.
    images: `image_store.Images` that holds the records.
    records: list of N `Record`.
    multi_label: whether an image can have several labels; then the threshold
      is the best one for these images.
    wanted: of two classes, the operating point that chooses the threshold.
  Returns:
    scores of `classification.evaluate`, labels and probabilities
    `[N, classes]`, and the threshold, None where the most probable class is
    the label.
  """
  probability = probabilities.probability(
      predictor.logits(images, records), multi_label)
  label = np.stack([r.label for r in records])
  threshold = None
  if multi_label:
    threshold = classification.best_threshold(label, probability)
  elif wanted:
    threshold = operating_point.choose(label[:, 1], probability[:, 1],
                                       wanted)["threshold"]
  return classification.evaluate(label, probability, threshold,
                                 multi_label), label, probability, threshold


def _is_negative(record, multi_label):
  """Whether an image has no label, or the first of two exclusive classes."""
  if len(record.label) == 2 and not multi_label:
    return record.label[0] > 0
  return not record.label.any()
