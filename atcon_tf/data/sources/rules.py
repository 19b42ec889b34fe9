"""Rules of every data set: the choice of classes and of missing splits.

A split never depends on the order of files on a disk, on the NumPy version
or on other images' labels, because the sha1 of its id ranks an image.
"""

import hashlib
import unicodedata

from atcon_tf.config import UserError

VALIDATION_SHARE = 0.2


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
