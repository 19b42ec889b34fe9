"""Rules that every data set follows: which classes, and which splits.

A split never depends on the order of files on a disk, on the numpy version
or on other images' labels: images are ranked by the sha1 of their id.
"""

import hashlib

from atcon_tf.config import UserError

VALIDATION_SHARE = 0.2


def choose_classes(wanted, available):
  """The class names to use, in order.

  Args:
    wanted: names to keep, in the order wanted; empty for all.
    available: names that the data set has.
  Returns:
    a tuple of names.
  Raises:
    UserError: an unknown name, a name given twice, fewer than two classes.
  """
  wanted = tuple(wanted) or tuple(available)
  shown = f"--classes={','.join(wanted)}"
  for name in wanted:
    if name not in available:
      raise UserError(
          f"{shown}: no '{name}'; any of {', '.join(available)}")
    if wanted.count(name) > 1:
      raise UserError(f"{shown}: '{name}' is there twice")
  if len(wanted) < 2:
    raise UserError(
        f"{shown}: at least two classes; any of {', '.join(available)}")
  return wanted


def rank(ids, salt=""):
  """The ids in the order of the sha1 of `salt + id`."""
  # A file's name need not be UTF-8.
  return sorted(ids, key=lambda i: hashlib.sha1(
      (salt + i).encode("utf-8", "surrogateescape")).hexdigest())


def complete(splits, salt=""):
  """Train, validation and test from the splits that somebody published.

  Without a test set, the validation set becomes the test set: it is the one
  that others report. Without a validation set (then, or from the start) the
  first 20 % of the ranked training ids are taken out of training for it, so
  that nothing is ever chosen on test images.

  Args:
    splits: `{"train": ids, "val": ids, "test": ids}`; val or test may be
      absent or empty.
    salt: another salt draws another validation set.
  Returns:
    all three, each in the order given.
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
