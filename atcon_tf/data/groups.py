"""Groups of images that no two of train, validation and test share.

Images of one patient, part, place or recording are alike: a network that
trained on some of them is tested too kindly on the others. A group is named
by a column of a table, or found in the path of an image:

    --group_pattern='^(patient_\\d+)/'      patient_07/cat/3.jpg -> patient_07

The first pair of parentheses is the group; without parentheses it is all that
the pattern matches. Parts that the seed draws are drawn again by whole groups
(`rules.divide`). Parts that the files give are kept, and refused if they share
a group.
"""

import dataclasses
import re

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data.sources import rules
from atcon_tf.data.sources import unlabeled

_JUDGED = ("val", "test")


def separate(dataset, pattern="", seed=0):
  """A data set whose parts share no group.

  Args:
    dataset: a `record.Dataset`.
    pattern: regular expression that finds the group in the id of an image,
      which is its path where the images are files; empty: `Record.group`.
    seed: seed of the draw of validation and test groups.
  Returns:
    a `Dataset`; the same if no record has a group. Images without labels
    whose group is in val or test are left out, and a note says so.
  Raises:
    UserError: the pattern does not match an image, parts that are given share
      a group, or a part would be empty.
  """
  if pattern:
    dataset = named(dataset, pattern)
  records = [r for part in dataset.splits.values() for r in part]
  if not any(r.group for r in records):
    return dataset
  if dataset.drawn:
    dataset = _drawn_again(dataset, f"{seed}/")
  _check(dataset.splits)
  judged = {r.group for part in _JUDGED for r in dataset.splits[part]}
  extra = dataset.splits.get(unlabeled.PART, [])
  kept = [r for r in extra if r.group not in judged]
  if len(kept) == len(extra):
    return dataset
  return dataclasses.replace(
      dataset, splits={**dataset.splits, unlabeled.PART: kept}, notes=(
          *dataset.notes, f"left out: {len(extra) - len(kept)} images without "
          "labels, whose groups are in val or test"))


def counted(dataset, split):
  """The numbers of groups in a split, `{part: number}`; {} without groups.

  Args:
    dataset: a `record.Dataset`.
    split: the dict of `splits.make`.
  Raises:
    UserError: two of train, val and test share a group.
  """
  known = {r.id: r for part in dataset.splits.values() for r in part}
  parts = {"train": [*split["train_labeled"], *split["train_unlabeled"]],
           "val": split["val"], "test": split["test"]}
  parts = {part: [known[i] for i in ids] for part, ids in parts.items()}
  if not any(r.group for r in known.values()):
    return {}
  _check(parts)
  return {part: len({r.group for r in records})
          for part, records in parts.items()}


def named(dataset, pattern):
  """The data set with the groups that a pattern finds; its parts stay.

  Raises:
    UserError: the pattern finds no group of an image.
  """
  try:
    expression = re.compile(pattern)
  except re.error as error:
    raise UserError("group_pattern", pattern,
                    f"no regular expression: {error}") from None

  def name(record):
    path = record.id.removeprefix(unlabeled.PREFIX)
    found = expression.search(path)
    group = found and found.group(1 if expression.groups else 0)
    if not group:
      raise UserError("group_pattern", pattern,
                      f"finds no group in '{path}'; each path needs one")
    return dataclasses.replace(record, group=group)

  return dataclasses.replace(dataset, splits={
      part: [name(r) for r in records]
      for part, records in dataset.splits.items()})


def _drawn_again(dataset, salt):
  """The data set whose drawn parts are drawn by whole groups."""
  pool = [r for part in ("train", *dataset.drawn)
          for r in dataset.splits[part]]
  # The order of the parts has no effect on what is drawn.
  pool.sort(key=lambda r: r.id)
  parts = rules.divide([r.group for r in pool], np.stack(
      [r.label for r in pool]), dataset.drawn, salt)
  splits = dict(dataset.splits)
  for part in ("train", *dataset.drawn):
    splits[part] = [r for r, of in zip(pool, parts) if of == part]
    if not splits[part]:
      raise UserError(
          f"{len({r.group for r in pool})} group(s) leave none for the {part} "
          f"split; train, {' and '.join(dataset.drawn)} need one each")
  return dataclasses.replace(dataset, splits=splits)


def _check(splits):
  """Refuses parts that share a group.

  Args:
    splits: `{part: list of Record}`.
  """
  first = {}
  for part in ("train", *_JUDGED):
    for record in splits[part]:
      other, record_id = first.setdefault(record.group, (part, record.id))
      if other != part:
        raise UserError(
            f"group '{record.group}' is in {other} ('{record_id}') and in "
            f"{part} ('{record.id}'); train, val and test may share no group")
