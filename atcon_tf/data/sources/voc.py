"""PASCAL VOC 2007 and 2012, from a VOCdevkit folder or from TFDS.

Everingham et al., The PASCAL Visual Object Classes (VOC) Challenge, IJCV
2010, http://host.robots.ox.ac.uk/pascal/VOC.

Images. The images are those of the official lists in `ImageSets/Main` or, if
that folder is absent, in `ImageSets/Segmentation`. Without a test list, and
for 2012, whose test annotations were never published, val is the test set and
a part of train is the validation set (`rules.complete`). An image without a
label among the chosen classes is left out of all three splits, because it has
no class whose map could be scored.

Objects. Objects marked difficult count neither as labels nor as boxes unless
`keep_difficult` is true.

Mask pixels. A class that was not chosen is background. A chosen class that is
not in the label of the image (all its objects are difficult) is unknown, 255:
its pixels count neither as a hit nor as a miss.
"""

import functools

import numpy as np
import PIL.Image

from atcon_tf.config import UserError
from atcon_tf.data import record
from atcon_tf.data.sources import rules
from atcon_tf.data.sources import voc_devkit
from atcon_tf.data.sources import voc_tfds

UNKNOWN = 255


def load(data_dir="", year=2007, classes=(), keep_difficult=False):
  """Reads VOC.

  Args:
    data_dir: a VOCdevkit folder, its parent, or its VOC<year> folder; empty:
      TFDS downloads the data.
    year: 2007 or 2012.
    classes: names of the classes to use, in the order of the labels; empty:
      all. A folder of one's own may have classes of its own, see
      `voc_devkit`.
    keep_difficult: whether objects marked difficult count like the others.
  Returns:
    a multi-label `Dataset`, with masks if the devkit has them.
  Raises:
    UserError: a file is missing or malformed; the error names it.
  """
  if not data_dir:
    rules.choose_classes(classes, voc_devkit.CLASSES)  # before a download
  source = voc_devkit.read(data_dir, year) if data_dir else voc_devkit.Devkit(
      voc_tfds.load(year), voc_devkit.CLASSES, ())
  names = rules.choose_classes(classes, source.classes)
  splits = {}
  for split, items in source.splits.items():
    records = [_record(item, names, keep_difficult) for item in items]
    splits[split] = [r for r in records if r.label.any()]
    if not splits[split]:
      raise UserError("classes", names,
                      f"no image of these classes in the {split} split "
                      f"of VOC{year}")
  return record.Dataset(names, True, splits, source.notes)


def _record(item, names, keep_difficult):
  """The record of a `voc_devkit.Item`, with only the classes in `names`."""
  kept = [o for o in item.objects
          if o.name in names and (keep_difficult or not o.difficult)]
  box_label = np.array([names.index(o.name) for o in kept], np.int32)
  label = np.zeros([len(names)], np.float32)
  label[box_label] = 1
  mask = None
  if item.mask:
    present = frozenset(o.name for o in kept)
    mask = functools.partial(_read_mask, item.mask, names, present)
  boxes = np.array([o.box for o in kept], np.float32).reshape([-1, 4])
  return record.Record(item.id, item.image, label, boxes, box_label, mask)


def _read_mask(path, names, present):
  """Reads a mask as uint8 `[height, width]` with the values of `Record.mask`.

  Args:
    path: of the mask.
    names: the chosen classes.
    present: names of the classes in the label of the image.
  Raises:
    UserError: the file is no mask.
  """
  table = np.full([256], UNKNOWN, np.uint8)
  table[0] = 0
  for value, name in enumerate(voc_devkit.CLASSES, 1):
    if name not in names:
      table[value] = 0
    elif name in present:
      table[value] = 1 + names.index(name)
  try:
    with PIL.Image.open(path) as image:
      mode, values = image.mode, np.asarray(image)
  except OSError as error:
    raise UserError(f"{path}: not a readable mask: {error}") from None
  if mode not in ("P", "L"):
    raise UserError(
        f"{path}: a mask must hold class numbers (a palette image); the file "
        f"is an image of mode {mode}")
  return table[values]
