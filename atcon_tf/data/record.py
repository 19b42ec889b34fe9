"""What every data set is made of: records, class names, official splits.

A record describes one image and what is known about it; its pixels are read
when they are wanted. `pipeline.py` turns records into batches.
"""

import dataclasses
import typing

import numpy as np

from atcon_tf.config import files

NO_BOXES = np.zeros([0, 4], np.float32)
NO_BOX_LABEL = np.zeros([0], np.int32)


def one_hot(count):
  """The label of each of `count` classes, float32 `[count]`."""
  # Not the rows of one matrix: a row keeps all of it in memory.
  return [np.eye(1, count, c, dtype=np.float32)[0] for c in range(count)]


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
  """One image.

  Attributes:
    id: unique in its data set, stable between runs; stored in splits.json.
      What is not UTF-8 in a file's name is an escape here, and in the names
      of classes, as both are shown and stored in many ways.
    image: path of an image file, or a function that returns uint8
      `[height, width, 3]`.
    label: float32 `[classes]`, 1 where the class is present, else 0.
    boxes: float32 `[n, 4]`, `x_min, y_min, x_max, y_max` in units of the
      image's width and height, all in [0, 1].
    box_label: int32 `[n]`, the class index of each box.
    mask: a function that returns uint8 `[height, width]`:
      0 background, `1 + class_index` where an object is, 255 unknown. None
      where there is no mask.
  """

  id: str
  image: str | typing.Callable[[], np.ndarray]
  label: np.ndarray
  boxes: np.ndarray = dataclasses.field(default_factory=lambda: NO_BOXES)
  box_label: np.ndarray = dataclasses.field(
      default_factory=lambda: NO_BOX_LABEL)
  mask: typing.Callable[[], np.ndarray] | None = None

  def __post_init__(self):
    object.__setattr__(self, "id", files.printable(self.id))


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """A data set.

  Attributes:
    class_names: one per class, in the order of `Record.label`.
    multi_label: whether an image can show several classes (sigmoid and
      binary cross-entropy) or exactly one (softmax).
    splits: `{"train": [...], "val": [...], "test": [...]}`, lists of
      `Record`, no image in two of them; also "unlabeled" where there are
      images without labels, see `datasets.unlabeled`.
  """

  class_names: tuple[str, ...]
  multi_label: bool
  splits: dict[str, list[Record]]

  def __post_init__(self):
    object.__setattr__(self, "class_names",
                       tuple(map(files.printable, self.class_names)))
