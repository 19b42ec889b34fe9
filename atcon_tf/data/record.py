"""`Dataset`, a data set, and `Record`, one image or clip of a data set.

A record holds the labels, boxes and mask of an image, and a path or a function
that gives the pixels. `pipeline.py` makes batches from records.
"""

import dataclasses
import typing

import numpy as np

from atcon_tf.config import files

NO_BOXES = np.zeros([0, 4], np.float32)
NO_BOX_LABEL = np.zeros([0], np.int32)
NO_EVENTS = np.zeros([0, 2])


def one_hot(count):
  """The label of each of `count` classes, float32 `[count]`."""
  # Separate arrays, because a row of one matrix keeps the whole in memory.
  return [np.eye(1, count, c, dtype=np.float32)[0] for c in range(count)]


class Clip:
  """A function that gives the frames of a clip, uint8 `[T, H, W, 3]`.

  Attributes:
    frames: T.
  """

  frames: int

  def each(self, lost=None):
    """Yields the T frames in turn, uint8 `[H, W, 3]`.

    Args:
      lost: list that gets the seconds whose frames did not decode and were
        replaced; None: nobody is told.
    """
    raise NotImplementedError

  def __call__(self):
    return np.stack(list(self.each()))


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
  """One image, or one clip.

  Attributes:
    id: name that is unique in the data set and the same in every run;
      splits.json stores it. Bytes of a file's name that are not UTF-8 are
      escapes in the id, and in the names of classes.
    image: path of an image file, or a function that returns uint8
      `[height, width, 3]`; of a clip a `Clip`.
    label: float32 `[classes]`, 1 where the class is present, else 0.
    boxes: float32 `[n, 4]`, `x_min, y_min, x_max, y_max` in units of the
      image's width and height, all in [0, 1].
    box_label: int32 `[n]`, the class index of each box.
    mask: a function that returns uint8 `[height, width]`: 0 background,
      `1 + class_index` inside an object, 255 unknown. None: the image has no
      mask.
    group: name of what several images show, such as a patient or a part; no
      two of train, validation and test share a group (`groups`). Empty: the
      image is in no group.
    frame: the network's (height, width), and the way in which the image is
      fitted to it (`framing`); boxes and mask are in this frame. None: the
      image is squeezed.
    events: float64 `[n, 2]`, of a clip of a longer recording: from when until
      when a class is shown, in seconds of the recording.
    event_label: int32 `[n]`, the class index of each event.
  """

  id: str
  image: str | typing.Callable[[], np.ndarray]
  label: np.ndarray
  boxes: np.ndarray = dataclasses.field(default_factory=lambda: NO_BOXES)
  box_label: np.ndarray = dataclasses.field(
      default_factory=lambda: NO_BOX_LABEL)
  mask: typing.Callable[[], np.ndarray] | None = None
  group: str = ""
  frame: tuple | None = None
  events: np.ndarray = dataclasses.field(default_factory=lambda: NO_EVENTS)
  event_label: np.ndarray = dataclasses.field(
      default_factory=lambda: NO_BOX_LABEL)

  def __post_init__(self):
    object.__setattr__(self, "id", files.printable(self.id))

  @property
  def frames(self):
    """The number of frames of a clip; 0: an image."""
    return self.image.frames if isinstance(self.image, Clip) else 0


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """A data set.

  Attributes:
    class_names: a name for each class, in the order of `Record.label`.
    multi_label: whether an image can show several classes (sigmoid and
      binary cross-entropy) or exactly one (softmax).
    splits: `{"train": [...], "val": [...], "test": [...]}`, lists of `Record`
      without an image in two of them. With images without labels there is
      also "unlabeled", see `sources/unlabeled.py`.
    notes: lines for the person: what was left out, and what was changed.
    drawn: the parts that the seed drew from the training images, because the
      files do not say which images they are.
    frames: the number of frames of each clip; 0: the records are images.
  """

  class_names: tuple[str, ...]
  multi_label: bool
  splits: dict[str, list[Record]]
  notes: tuple[str, ...] = ()
  drawn: tuple[str, ...] = ()
  frames: int = 0

  def __post_init__(self):
    object.__setattr__(self, "class_names",
                       tuple(map(files.printable, self.class_names)))
