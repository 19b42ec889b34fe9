"""What is seen of a run while it trains: validations, pictures, one line."""

import numpy as np

from atcon_tf.attribution import consistency
from atcon_tf.attribution import forward_pass
from atcon_tf.config import files
from atcon_tf.evaluation.metrics import classification
from atcon_tf.reports.figures import classifier_maps
from atcon_tf.training import head_scores
from atcon_tf.training import tensorboard_writer

# Validation images whose consistency is followed during training.
FOLLOWED = 64
# Below this standard deviation over the image a soft mask masks nothing.
FLAT_MASK = 0.05
SHOWN = ("supervised", "consistency", "pseudo", "attention_mining",
         "extra_supervision", "class_embed", "val_map_macro", "val_f1_macro",
         "val_consistency")
SHOWN_OF_HEADS = ("cross_entropy", "area", "variation", "val_loss",
                  "val_average_drop_15", "val_increase_in_confidence_15")


class Validator:
  """Validates, keeps the best weights, writes TensorBoard, says how it goes."""

  def __init__(self, config, data, predictor, work, interactive,
               objectives, losses=None):
    """Opens the event file.

    Args:
      config: the run's `Config`.
      data: its `run_data.RunData`.
      predictor: the `prediction.Predictor` of the classifier that is trained.
      work: its `run_folder.Workdir`.
      interactive: whether a bar is shown; then no lines are printed.
      objectives: `{kind of step: Objective}`. The attention of one that has
        an `attention` is drawn as well.
      losses: `records -> {"loss" and each term: float}` of a run that trains
        an explanation head: what it is judged by, since its classifier's
        scores do not change.
    """
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
    self._callback.on_train_end()

  def follow(self, state, keep=True):
    """Validates and records where it is time, and after the last update.

    Args:
      state: the `RunState`.
      keep: see `validate`.
    Returns:
      whether the weights were kept as the best so far.
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
    """Shows the attention in fixed images, positives and negatives apart."""
    config, data = self.config, self.data
    stories = {}
    for part, name in [("train_labeled", "train"), ("val", "validation")]:
      kinds = {"positives": [], "negatives": []}
      for r in data.records[part]:
        kinds["negatives" if _is_negative(r, data.multi_label)
              else "positives"].append(r)
      counts = config.record_positives, config.record_negatives
      for (kind, records), count in zip(kinds.items(), counts):
        records = _spread(records, count)
        if records:
          stories[f"{name}_{kind}"] = classifier_maps.attention_figure(
              self.predictor.classifier, self.data.images.batch(records),
              records,
              data.class_names, self._attention,
              data.multi_label)
    self._callback.on_attention(updates, stories)

  def validate(self, state, keep=True):
    """Scores the validation images; keeps the weights if they are best.

    Args:
      state: the `RunState`; its sums, history and best are brought up to
        date.
      keep: whether these weights can be the best. Weights that nothing was
        learnt of, before the first update, cannot.
    Returns:
      whether the weights were kept as the best so far.
    """
    row = state.take_means()
    if self.losses:
      scores = self.losses(self.data.records["val"]) | self.head_scores("val")
    else:
      scores = self._scores(state.updates)
    row |= {f"val_{name}": value for name, value in scores.items()}
    score = -scores["loss"] if self.losses else scores["map_macro"]
    updates = state.updates
    state.history.append({"step": updates, **row})
    if self.losses:
      files.write_text(self.work.path / "attribution.csv",
                       head_scores.table(state.history))
    # With --random_labels the validation score is noise, so every validation
    # counts as the best and the last weights are kept.
    kept = keep and (
        state.best is None or self.config.random_labels
        or score > state.best["score"])
    if kept:
      state.best = {"updates": updates, "score": score, "refit": state.refit}
      self.work.save_best(self.predictor.classifier)
    self._callback.on_epoch_end(updates, row)
    self._say_once_of_a_flat_mask(state, row)
    if not self.interactive:
      names = SHOWN_OF_HEADS if self.losses else SHOWN
      shown = [f"{name} {row[name]:.4f}" for name in names if name in row]
      print(f"{updates}/{self.config.steps}  " + "  ".join(shown),
            flush=True)
    return kept

  def _say_once_of_a_flat_mask(self, state, row):
    spread = row.get("mask_std", 1.0)
    if spread < FLAT_MASK and self.config.mask == "map" and (
        not state.flat_mask):
      state.flat_mask = True
      print(f"note: the soft mask is nearly constant (mean "
            f"{row['mask_mean']:.3f}, standard deviation {spread:.4f}): the "
            "loss compares the maps of two contrasts; --mask_scale=std makes "
            "a real mask", flush=True)

  def _scores(self, updates):
    records, images = self.data.records["val"], self.data.images
    multi_label = self.data.multi_label
    scores, label, probability = scores_of(self.predictor, images, records,
                                           multi_label)
    if classification.is_binary(label, multi_label):
      scores |= classification.sensitivities(
          label, probability,
          [float(rate) for rate in self.config.false_alarm_rates])
    followed = self.predictor.predict(images, _spread(records, FOLLOWED))
    mask_iou = followed.mask_iou[np.isfinite(followed.mask_iou[:, 0])]
    if len(mask_iou):  # at the threshold that is best for these images
      scores["mask_iou"] = float(mask_iou.mean(0).max())
    for name in ("consistency", "consistency_raw"):
      if getattr(followed, name) is not None:
        scores[name] = float(getattr(followed, name).mean())
    self._callback.on_predictions(updates, label, probability,
                                  self.data.class_names, multi_label,
                                  followed.consistency)
    return scores

  def figure(self):
    """The maps of the fixed validation images."""
    records = _spread(self.data.records["val"], self.config.summary_images)
    if self.losses:
      return classifier_maps.head_figure(
          self.predictor.classifier, self.data.images.batch(records), records,
          self.data.class_names, self.config.objective, self.data.multi_label)
    # The mask that was trained with, where it was this one.
    story = consistency.MapAgreement(mask_scale="std")
    if self.config.objective == "atcon":
      story = consistency.MapAgreement(mask_intensity=self.config.mask_intensity,
                                       mask_scale=self.config.mask_scale)
    return classifier_maps.agreement_figure(
        self.predictor.classifier, self.data.images.batch(records),
        records,
        self.data.class_names, story, self.data.multi_label)


def scores_of(predictor, images, records, multi_label):
  """What the probabilities of records are worth.

  Args:
    predictor: a `predictor.Predictor`.
    images: `image_store.Images` that holds the records.
    records: list of N `Record`.
    multi_label: whether an image can have several labels; then the threshold
      is the best for these very images.
  Returns:
    scores of `classification.evaluate`, labels and probabilities
    `[N, classes]`.
  """
  probability = forward_pass.probability(
      predictor.logits(images, records), multi_label)
  label = np.stack([r.label for r in records])
  threshold = classification.best_threshold(
      label, probability) if multi_label else None
  return classification.evaluate(label, probability, threshold,
                                 multi_label), label, probability


def _spread(records, count):
  """At most `count` records, evenly: the first may be all of one class."""
  count = min(count, len(records))
  return [records[i * len(records) // count] for i in range(count)]


def _is_negative(record, multi_label):
  """Nothing is there: no label, or the first of two exclusive classes."""
  if len(record.label) == 2 and not multi_label:
    return record.label[0] > 0
  return not record.label.any()
