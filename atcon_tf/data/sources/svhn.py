"""Street View House Numbers, cropped digits of 32 x 32 pixels.

Netzer et al., Reading Digits in Natural Images with Unsupervised Feature
Learning, NIPS Workshop 2011, http://ufldl.stanford.edu/housenumbers.

    data_dir/train_32x32.mat     73257 digits
    data_dir/test_32x32.mat      26032 digits
    data_dir/extra_32x32.mat     531131 easier digits; only with `extra`

A file holds X, uint8 `[32, 32, 3, N]`, and y, `[N, 1]` from 1 to 10, where 10
is the digit 0. The seed draws a fifth of the training images for validation.
"""

import functools
import os

import numpy as np
import scipy.io

from atcon_tf.config import UserError
from atcon_tf.data import record
from atcon_tf.data.sources import rules
from atcon_tf.data.sources import unlabeled

CLASSES = tuple("0123456789")


def load(data_dir, classes=(), extra=False, seed=0):
  """Reads the files of cropped digits.

  Args:
    data_dir: their folder.
    classes: names of the digits to use; empty: all.
    extra: whether the images of `extra_32x32.mat` join the unlabelled pool.
    seed: seed of the draw of validation images.
  Returns:
    a single-label `Dataset` without boxes. The id of an image is its file and
    its place in it, `train/000007`.
  Raises:
    UserError: a file is missing or malformed; the error names it.
  """
  names = rules.choose_classes(classes, CLASSES)
  parts = {part: _read(os.path.join(data_dir, f"{part}_32x32.mat"), part, names)
           for part in ("train", "test")}
  known = {r.id: r for records in parts.values() for r in records}
  chosen = rules.complete({part: [r.id for r in records]
                           for part, records in parts.items()}, f"{seed}/")
  splits = {part: [known[i] for i in ids] for part, ids in chosen.items()}
  for part, records in splits.items():
    if not records:
      raise UserError("data_dir", data_dir, f"no {part} image of "
                      f"{', '.join(names)}")
  if extra:
    none = np.zeros([len(names)], np.float32)
    splits[unlabeled.PART] = [
        record.Record(r.id, r.image, none) for r in _read(
            os.path.join(data_dir, "extra_32x32.mat"), "extra", CLASSES)]
  return record.Dataset(names, False, splits, drawn=rules.drawn(parts))


def has_files(data_dir):
  """Whether a folder holds these files, and not those of TFDS."""
  return not os.path.isdir(os.path.join(data_dir, "svhn_cropped"))


def _read(path, part, names):
  """The records of a file, of the digits in `names`."""
  if not os.path.isfile(path):
    raise UserError(f"{path}: no such file; it comes from "
                    "http://ufldl.stanford.edu/housenumbers")
  try:
    content = scipy.io.loadmat(path, variable_names=["X", "y"])
    images, digits = content["X"], np.asarray(content["y"]).ravel()
  except KeyError as error:
    raise UserError(f"{path}: no variable {error} in it; needs X and y"
                    ) from None
  except Exception as error:  # scipy raises almost anything
    raise UserError(f"{path}: not a MATLAB file of version 5: {error}"
                    ) from None
  if not (images.dtype == np.uint8 and images.ndim == 4 and
          images.shape[2] == 3 and images.shape[3] == len(digits)):
    raise UserError(f"{path}: X is {images.dtype} {list(images.shape)} and y "
                    f"has {digits.size} labels; must be uint8 [32, 32, 3, N] "
                    "and N")
  strange = [i for i, d in enumerate(digits.tolist()) if d not in range(1, 11)]
  if strange:
    raise UserError(f"{path}: y[{strange[0]}] is {digits[strange[0]]}; must be "
                    "1 to 10, where 10 is the digit 0")
  columns = [names.index(name) if name in names else -1 for name in CLASSES]
  labels = record.one_hot(len(names))
  return [record.Record(f"{part}/{i:06d}", functools.partial(_at, images, i),
                        labels[columns[digit % 10]])
          for i, digit in enumerate(digits.tolist())
          if columns[digit % 10] >= 0]


def _at(images, index):
  """One image, uint8 `[32, 32, 3]`."""
  return np.ascontiguousarray(images[..., index])
