"""What a run says before its first step."""

import tensorflow as tf

from atcon_tf.evaluation import map_cells


def of(config, data, classifier):
  """The lines: what is trained, on what, and what may be wrong with it.

  Args:
    config: the run's `Config`.
    data: its `run_data.RunData`.
    classifier: its `models.Classifier`.
  """
  count = {part: len(records) for part, records in data.records.items()}
  lines = [f"{config.objective}: {config.model}, {count['train_labeled']} "
           f"labelled and {count['train_unlabeled']} other training images, "
           f"{config.steps} updates on {device()}"]
  note = map_cells.note(classifier, [
      r for records in data.records.values() for r in records])
  return lines + [note] * bool(note)


def device():
  """What a run computes on, in words."""
  count = len(tf.config.list_physical_devices("GPU"))
  return f"{count} GPU{'s' * (count > 1)}" if count else "the CPU"
