"""Classification and detection data of TensorFlow Datasets.

    --dataset=tfds:imagenette/160px-v2           NAME[/CONFIG][:VERSION]

https://www.tensorflow.org/datasets/catalog. A data set has an image and a
class label, a sequence of them, or a sequence of objects with a box and a
label. A label of -1 is unknown.

Splits. `splits` names the training, validation and test images in TFDS's own
syntax (`train[:80%]`). By default they are those of the names train,
validation (or val, valid) and test; `rules.complete` applies. If there is one
split alone, the seed draws the parts.
"""

import functools
import io
import typing

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import decoding
from atcon_tf.data.sources import annotated
from atcon_tf.data.sources import tfds_files

# Features with the name of an image's file, which becomes a part of its id.
_FILES = ("file_name", "filename", "image/filename", "image_name")


def load(name, data_dir="", no_download=False, splits=(), classes=(), seed=0,
         pool=""):
  """Reads a data set of TFDS; pixels are read when they are used.

  Args:
    name: NAME[/CONFIG][:VERSION].
    data_dir, no_download: see `tfds_files.builder`.
    splits: one, two or three splits of TFDS; see the top of this file.
    classes: names of the classes to use; empty: all that occur.
    seed: seed of the draw of parts that `splits` does not name.
    pool: a split whose images join the unlabelled pool; empty: none.
  Returns:
    a `Dataset`. The id of an image is its split, the number of its file and
    its place in it: `train-00000/000007`.
  Raises:
    UserError: the data set is missing, broken, or of another kind.
  """
  made = tfds_files.builder(name, data_dir, no_download)
  image, labels = _features(made.info)
  images, notes = [], []
  for part, split in _splits(made.info, splits).items():
    found = _images(made, split, image, labels, part)
    if part == "test" and all(i.names is None for i in found):
      notes.append(f"left out: the split {split}, which has no labels")
    else:
      images += found
  if {i.part for i in images} == {"train"}:
    images = [i._replace(part="") for i in images]
  if pool:
    images += [i._replace(names=None, boxes=()) for i in _images(
        made, pool, image, labels, "")]
  seen = set()
  for one in images:
    if one.id in seen:
      raise UserError("tfds_splits", splits,
                      f"image '{one.id}' is in two of the splits")
    seen.add(one.id)
  return annotated.dataset(images, labels.names, classes,
                           labels.kind != "one", seed, notes)


class _Labels(typing.NamedTuple):
  """Where the labels of an example are.

  Attributes:
    key: name of the feature.
    kind: "one", a label; "several", a sequence of labels; or "objects", a
      sequence of boxes with labels.
    names: of the classes.
  """
  key: str
  kind: str
  names: list


def _features(info):
  """The name of the image feature, and the `_Labels`.

  Raises:
    UserError: the data set has no image, or no label.
  """
  import tensorflow_datasets as tfds  # pylint: disable=g-import-not-at-top
  features = tfds.features
  images = [k for k, f in info.features.items()
            if isinstance(f, features.Image)]
  found = []
  for key, feature in info.features.items():
    inner = getattr(feature, "feature", None)
    if isinstance(feature, features.ClassLabel):
      found.append(_Labels(key, "one", feature.names))
    elif isinstance(inner, features.ClassLabel):
      found.append(_Labels(key, "several", inner.names))
    elif hasattr(inner, "keys") and {"bbox", "label"} <= set(inner.keys()):
      found.append(_Labels(key, "objects", inner["label"].names))
  if not images or not found:
    raise UserError(
        "dataset", f"tfds:{info.full_name}", "must have an image, and a class "
        "label, a sequence of labels, or objects with bbox and label; it has "
        f"{', '.join(info.features)}")
  order = ("objects", "several", "one")
  best = min(found, key=lambda one: (order.index(one.kind),
                                     one.key not in ("label", "labels")))
  return "image" if "image" in images else images[0], best


def _splits(info, splits):
  """`{part: split}`, in the order train, val, test."""
  if splits:
    if len(splits) > 3:
      raise UserError("tfds_splits", splits, "must be one, two or three "
                      "splits: of training, validation and test images")
    return dict(zip(("train", "val", "test"), splits))
  found = {}
  for name in info.splits:
    if name.lower() in annotated.PARTS:
      found.setdefault(annotated.PARTS[name.lower()], name)
  if len(info.splits) == 1:
    found = {"train": next(iter(info.splits))}
  if "train" not in found:
    raise UserError("tfds_splits", None, f"needed: the splits of "
                    f"{info.full_name} are {', '.join(info.splits)}")
  return {part: found[part] for part in ("train", "val", "test")
          if part in found}


def _images(made, split, image, labels, part):
  """The `Annotated` images of a split."""
  examples = tfds_files.Examples(made, split, image)
  found = []
  for i, example_id in enumerate(examples.ids):
    example, boxes = examples[i], ()
    where = f"{made.info.full_name}, {example_id}"
    file = next((example[k] for k in _FILES if k in example), b"")
    if isinstance(file, bytes) and file:
      example_id += f"/{file.decode('utf-8', 'replace')}"
    value = example[labels.key]
    if labels.kind == "objects":
      numbers = np.ravel(value["label"])
      boxes = tuple(
          (labels.names[n], annotated.check_box((x1, y1, x2, y2), 1, 1, where))
          for n, (y1, x1, y2, x2) in zip(numbers.tolist(),
                                         np.asarray(value["bbox"]).tolist()))
    else:
      numbers = np.ravel(value)
    numbers = dict.fromkeys(numbers.tolist())
    names = None if -1 in numbers else tuple(labels.names[n] for n in numbers)
    found.append(annotated.Annotated(
        example_id, functools.partial(_pixels, examples, i, image), names,
        boxes, part=part, where=where))
  return found


def _pixels(examples, index, image):
  """The pixels of an example, uint8 `[height, width, 3]`."""
  return decoding.rgb(io.BytesIO(examples[index][image]))
