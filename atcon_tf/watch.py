"""What is seen of a run while it trains: validations, pictures, one line."""

import numpy as np

from atcon_tf import scoring
from atcon_tf import summaries
from atcon_tf.metrics import classification
from atcon_tf.objectives import atcon

# Validation images whose consistency is followed during training.
FOLLOWED = 64
# Below this standard deviation over the image a soft mask masks nothing.
FLAT_MASK = 0.05
SHOWN = ("supervised", "consistency", "pseudo", "val_map_macro",
         "val_f1_macro", "val_consistency")


class Watcher:
  """Validates, keeps the best weights, writes TensorBoard, says how it goes."""

  def __init__(self, config, data, predictor, work, interactive):
    """Opens the event file.

    Args:
      config: the run's `Config`.
      data: its `run_data.RunData`.
      predictor: the `scoring.Predictor` of the classifier that is trained.
      work: its `runs.Workdir`.
      interactive: a bar is shown, so no lines are printed.
    """
    self.config, self.data, self.work = config, data, work
    self.predictor, self.interactive = predictor, interactive
    texts = {"settings": config.to_json(), "flags": config.to_flags(),
             "split": summaries.split_text(data.split)}
    self._callback = summaries.Summaries(
        work.path / "tb", self.figure if config.summary_images else None,
        texts)
    self._callback.on_train_begin()

  def close(self):
    self._callback.on_train_end()

  def validate(self, state):
    """Scores the validation images; keeps the weights if they are best.

    Args:
      state: of the run; "sums" are its losses since the last time, "history"
        and "best" are brought up to date.
    """
    row = {name: total / count
           for name, (total, count) in state["sums"].items()}
    state["sums"] = {}
    scores = self._scores(state["updates"])
    row |= {f"val_{name}": value for name, value in scores.items()}
    updates, score = state["updates"], scores["map_macro"]
    state["history"].append({"step": updates, **row})
    # Random labels mean nothing on validation images: the last weights count.
    if (state["best"] is None or score > state["best"]["score"]
        or self.config.random_labels):
      state["best"] = {"updates": updates, "score": score}
      self.work.save_best(self.predictor.classifier.model)
    self._callback.on_epoch_end(updates, row)
    self._say_once_of_a_flat_mask(state, row)
    if not self.interactive:
      shown = [f"{name} {row[name]:.4f}" for name in SHOWN if name in row]
      print(f"{updates}/{self.config.steps}  " + "  ".join(shown),
            flush=True)

  def _say_once_of_a_flat_mask(self, state, row):
    spread = row.get("mask_std", 1.0)
    if spread < FLAT_MASK and self.config.mask == "map" and not state.get(
        "flat_mask"):
      state["flat_mask"] = True
      print(f"note: the soft mask is nearly constant (mean "
            f"{row['mask_mean']:.3f}, standard deviation {spread:.4f}): the "
            "loss compares the maps of two contrasts; --mask_scale=std makes "
            "a real mask", flush=True)

  def _scores(self, updates):
    records, images = self.data.records["val"], self.data.images
    multi_label = self.data.multi_label
    probability = scoring.to_probability(
        self.predictor.logits(images, records), multi_label)
    label = np.stack([r.label for r in records])
    threshold = classification.best_threshold(
        label, probability) if multi_label else None
    scores = classification.evaluate(label, probability, threshold,
                                     multi_label)
    followed = self.predictor.predict(images, records[:FOLLOWED])
    for name in ("consistency", "consistency_raw"):
      if getattr(followed, name) is not None:
        scores[name] = float(getattr(followed, name).mean())
    self._callback.on_predictions(updates, label, probability,
                                  self.data.class_names, multi_label,
                                  followed.consistency)
    return scores

  def figure(self):
    """The maps of the fixed validation images."""
    records = self.data.records["val"]
    step = max(1, len(records) // max(1, self.config.summary_images))
    records = records[::step][:self.config.summary_images]
    rows = self.data.images.rows([r.id for r in records])
    # The mask that was trained with, where it was this one.
    story = atcon.Story(mask_scale="std")
    if self.config.objective == "atcon":
      story = atcon.Story(mask_intensity=self.config.mask_intensity,
                          mask_scale=self.config.mask_scale)
    return summaries.story_figure(
        self.predictor.classifier,
        self.data.images.pixels[rows].astype(np.float32) / 255, records,
        self.data.class_names, story, self.data.multi_label)
