"""Rules of every data set: the choice of classes and of missing splits.

A split never depends on the order of files on a disk, on the NumPy version
or on other images' labels, because the sha1 of its id ranks an image.
"""

import collections
import hashlib
import unicodedata

import numpy as np

from atcon_tf.config import UserError

VALIDATION_SHARE = 0.2
TEST_SHARE = 0.2


def choose_classes(wanted, available):
  """The class names to use, in the order of the labels.

  Args:
    wanted: names to use, in their order; empty: all.
    available: names that the data set has.
  Returns:
    a tuple of names.
  Raises:
    UserError: a name is unknown or given twice, or there are fewer than two.
  """
  # A name may be typed with é as two characters; data sets have it as one.
  wanted = tuple(w if w in available else unicodedata.normalize("NFC", w)
                 for w in wanted) or tuple(available)
  shown = f"--classes={','.join(wanted)}"
  for name in wanted:
    if name not in available:
      raise UserError(
          f"{shown}: no '{name}'; any of {', '.join(available)}")
    if wanted.count(name) > 1:
      raise UserError(f"{shown}: '{name}' is given twice")
  if len(wanted) < 2:
    raise UserError(
        f"{shown}: at least two classes are needed; any of "
        f"{', '.join(available)}")
  return wanted


def rank(ids, salt=""):
  """The ids, sorted by the sha1 of `salt + id`."""
  # The name of a file may have bytes that are not UTF-8.
  return sorted(ids, key=lambda i: hashlib.sha1(
      (salt + i).encode("utf-8", "surrogateescape")).hexdigest())


def complete(splits, salt=""):
  """Train, validation and test sets from published splits.

  Without a test set, the validation set becomes the test set, because others
  report on it. If there is then no validation set, the first 20 % of the
  ranked training ids become the validation set, so that no choice is ever
  made on test images.

  Args:
    splits: `{"train": ids, "val": ids, "test": ids}`; val or test may be
      absent or empty.
    salt: see `rank`; another salt draws another validation set.
  Returns:
    `{"train": ids, "val": ids, "test": ids}`, each in the given order.
  """
  train, val, test = (list(splits.get(k, ())) for k in ("train", "val", "test"))
  if not test:
    val, test = [], val
  if not val:
    taken = max(1, round(VALIDATION_SHARE * len(train)))
    chosen = set(rank(train, salt)[:taken])
    val = [i for i in train if i in chosen]
    train = [i for i in train if i not in chosen]
  return {"train": train, "val": val, "test": test}


def drawn(given):
  """The parts that a source draws from the training images.

  Args:
    given: the parts that the files name; "all": they name none.
  Returns:
    a tuple of parts; see `Dataset.drawn`.
  """
  if "all" in given:
    return ("val", "test")
  return () if {"val", "test"} <= set(given) else ("val",)


def divide(units, labels, parts=("val", "test"), salt=""):
  """Divides images into parts by whole units, class by class.

  From the rarest class to the most frequent, each unit that shows the class
  and has no part yet goes to the part that has the smallest share of its
  images of this class so far. Large units go first; the sha1 of `salt + unit`
  orders those of one size. Units of one image divide 10 images of a class
  into 6, 2 and 2.

  Args:
    units: list of N names; images of one unit stay together.
    labels: `[N, C]`, 1 where an image shows a class.
    parts: the parts beside "train", each a fifth of the images.
    salt: another salt divides otherwise.
  Returns:
    list of N names of parts.
  """
  shares = {"train": 1 - TEST_SHARE * len(parts),
            **dict.fromkeys(parts, TEST_SHARE)}
  labels = np.asarray(labels) > 0
  # The images without a class are a class here.
  labels = np.column_stack([labels, ~labels.any(1)])
  count = collections.defaultdict(lambda: np.zeros(labels.shape[1]))
  for unit, label in zip(units, labels):
    count[unit] += label
  ranked = rank(count, salt)
  total = labels.sum(0)
  have = {part: np.zeros(labels.shape[1]) for part in shares}
  showing = collections.defaultdict(list)
  for unit in ranked:
    for c in np.flatnonzero(count[unit]).tolist():
      showing[c].append(unit)
  part_of = {}
  for c in np.argsort(total, kind="stable").tolist():
    for unit in sorted(showing[c], key=lambda u: -count[u][c]):
      if unit in part_of:
        continue
      part = min(shares, key=lambda p: have[p][c] / shares[p])
      part_of[unit] = part
      have[part] += count[unit]
  return [part_of[unit] for unit in units]
