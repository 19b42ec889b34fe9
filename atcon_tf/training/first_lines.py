"""What a run says before its first step."""

import tensorflow as tf

from atcon_tf.config.objective_settings.registry import uses_pool
from atcon_tf.evaluation import map_cells
from atcon_tf.reports import kept_weights


def of(config, data, classifier, workers=1):
  """The lines: what is trained, on what, and what may be wrong with it.

  Args:
    config: the run's `Config`.
    data: its `run_data.RunData`.
    classifier: its `models.Classifier`.
    workers: number of processes that train it.
  """
  count = {part: len(records) for part, records in data.records.items()}
  things = "clips" if config.frames else "images"
  of = f" of {config.frames} frames" if config.frames else ""
  other = (f" and {count['train_unlabeled']} other" if uses_pool(config)
           else "")
  lines = [f"{config.objective}: {config.model}, {count['train_labeled']} "
           f"labelled{other} training {things}{of}, {config.steps} updates on "
           f"{device(workers)}"]
  lines.append(map_cells.note(classifier, [
      r for records in data.records.values() for r in records]))
  few = kept_weights.too_few(
      _shown(data.records["val"], data.class_names),
      "groups" if any(r.group for r in data.records["val"]) else things,
      config.refit == "on")
  if few and config.trains and config.keep == "best":
    lines.append(f"note: {few}")
  return [line for line in lines if line]


def _shown(records, class_names):
  """`{class: number of images that show it}`, or of groups of images."""
  return {name: len({r.group or r.id for r in records if r.label[c] > 0})
          for c, name in enumerate(class_names)}


def device(workers=1):
  """What a run computes on, in words."""
  count = len(tf.config.list_physical_devices("GPU"))
  here = f"{count} GPU{'s' * (count > 1)}" if count else "the CPU"
  return here if workers == 1 else f"{here} of each of {workers} workers"
