"""What is said about the weights that a run kept."""

# The words for the start of a head; see `settings` of the probe.
_STARTS = {"prior": "the first weights", "probe": "the probe",
           "ranked_probe": "the ranked probe"}

# The fewest validation images of a class that can choose weights.
ENOUGH = 10


def too_few(counts, things="images", refits=False):
  """A sentence if the validation images are too few to choose by, else "".

  Args:
    counts: `{class: number of validation images that show it}`.
    things: "images", "clips" or "groups".
    refits: whether the run fits the head again, which validation judges.
  """
  name, least = min(counts.items(), key=lambda item: item[1])
  if least >= ENOUGH:
    return ""
  others = sum(count < ENOUGH for count in counts.values()) - 1
  more = (f", and fewer than {ENOUGH} of {others} other "
          f"class{'es' * (others > 1)}") if others else ""
  return (f"Validation has {least:.0f} {things} of the class '{name}'{more}: "
          f"fewer than {ENOUGH} are too few to choose weights by. With "
          f"--keep=average{' --refit=off' * refits} a run chooses nothing by "
          "them. Where --split_seed draws the validation images, other values "
          "of it show how much the draw matters.")


def short(steps):
  """The update of the kept weights, for a table.

  Args:
    steps: "steps" of result.json.

  Example:
    >>> short({"best": 40, "averaged": 10})
    '40, mean of 10'
  """
  text = str(steps["best"])
  if steps.get("averaged"):
    text += f", mean of {steps['averaged']}"
  if steps.get("best_is_refit"):
    text += ", head refitted"
  return text


# Two scores that differ by less are equal: rounding in a sum.
EQUAL = 1e-9


def refitted(row, before, best):
  """A line on a head that was fitted again after the last update.

  Args:
    row: its validation, of the history.
    before: the kept weights before it, "score", "loss" and "updates".
    best: the kept weights with it.
  """
  new, old = row["val_map_macro"], before["score"]
  kept = "the weights before training"
  if before["updates"]:
    kept = f"the trained weights of update {before['updates']}"
  kept = "the refitted probe is" if best.get("refit") else f"{kept} are"
  if abs(new - old) > EQUAL:
    better, sign = ("better", ">") if new > old else ("not better", "<")
    return (f"the refitted probe is {better} (mAP on validation {new:.4f} "
            f"{sign} {old:.4f}): {kept} kept")
  return (f"the refitted probe has the same mAP on validation ({new:.4f}): the "
          f"loss decides ({row['val_loss']:.4f} against {before['loss']:.4f}), "
          f"{kept} kept")


def tie(result):
  """A sentence if the loss chose the kept weights, at equal mAP; else "".

  Args:
    result: the dict of result.json.
  """
  scored = [row for row in result["history"] if "val_map_macro" in row]
  kept = [row for row in scored if row.get("kept")]
  if not kept or result["config"].get("keep") != "best":
    return ""
  equal = [row for row in scored if abs(
      row["val_map_macro"] - kept[0]["val_map_macro"]) <= EQUAL]
  if len(equal) < 2:
    return ""
  return (f"{len(equal)} validations have the same mAP, "
          f"{kept[0]['val_map_macro']:.3f}, so the lowest validation loss "
          "chose the weights among them.")


def judged(result):
  """Whether the choice of the kept weights is in order, and why, in words.

  Args:
    result: the dict of result.json.
  Returns:
    `(bool, text)`.
  """
  fine, text = _judged(result)
  return fine, f"{text} {tie(result)}".strip()


def _judged(result):
  steps, config = result["steps"], result["config"]
  best, last = steps["best"], result["history"][-1]["step"]
  of = f"after {best} of {last} updates"
  begins = steps.get("objective_from", 0)
  if not last:
    return True, ("The kept weights are those of the fitted probe; nothing "
                  "was trained after it.")
  if steps.get("averaged"):
    refit = (", with the head fitted again" if steps.get("best_is_refit")
             else "")
    return True, (f"The kept weights are the mean of those after each of the "
                  f"last {steps['averaged']} of {last} updates{refit} "
                  "(--keep=average).")
  if config.get("random_labels") or config.get("keep") == "last":
    return True, f"The last weights were kept, {of}."
  if best == 0:
    start = _STARTS.get(config.get("start"), "the start")
    return False, (f"Training gave nothing: the kept weights are those of "
                   f"{start}, before the first of {last} updates, because no "
                   "later ones scored higher on validation.")
  if best <= begins:
    return False, (f"The kept weights came {of}, before the loss of "
                   f"{config['objective']} began (after {begins}): they are "
                   "those of supervised training alone.")
  if steps.get("best_is_refit"):
    return True, (f"The kept weights came {of}, with the head fitted again on "
                  "the trained features.")
  kept = next((r for r in result["history"] if r.get("kept")), {})
  if best == last and kept.get("val_map_macro", 0) >= 1 - EQUAL:
    return True, f"The kept weights came {of}, the last ones."
  if best == last:
    return False, (f"The kept weights came {of}, the last ones: longer "
                   "training may be better.")
  return True, f"The kept weights came {of}."


def warnings(result):
  """Sentences for the end of a run: [] where nothing is wrong.

  That the last weights are the best is no fault of a run, so it is left out.
  """
  fine, sentence = _judged(result)
  steps = result["steps"]
  early = steps["best"] <= steps.get("objective_from", 0)
  return [text for text in (sentence * (not fine and early), tie(result))
          if text]
