"""Binary inspection data: positives with masks, and negatives.

The layout is that of the endoscopy data of the open re-implementation of GAIN
(https://github.com/ilyak93/GAIN-pytorch), whose folders are `Pos` and `Neg`:

    data_dir/training/positives/7.jpg     an image (or training/Pos/7.jpg)
    data_dir/training/positives/7m.png    its mask; optional
    data_dir/training/negatives/8.jpg     (or training/Neg/8.jpg)
    data_dir/validation/...               the same
    data_dir/testing/...                  the same; optional

Masks. Among the positives, a file whose name ends in `m` is a mask. A mask
has the size of its image (for a photo, after the rotation of its EXIF data),
one channel and a lossless format (.png, .bmp or .gif). Its values are 0 outside
the object and 255, or 1, inside; a mask without an object is refused. Each
connected part of a mask is an object with a box. Negatives have no masks.

Test images. The test images are those of `testing/`. Without that folder
`rules.complete` applies: the test images are those of `validation/`, on which
others report, and weights and thresholds are chosen on a fifth of the training
images of each class. The images of `validation/` are not divided, because
frames of one patient, or of one part, would then be on both sides, and the
thresholds would be chosen on images like those of the test set.
"""

import functools
import os

import numpy as np
import PIL.Image
from scipy import ndimage

from atcon_tf.config import UserError
from atcon_tf.data import decoding
from atcon_tf.data import image_files
from atcon_tf.data import record
from atcon_tf.data.sources import rules

CLASSES = ("negative", "positive")
POSITIVE = 1
SPLITS = {"training": "train", "validation": "val", "testing": "test"}
FOLDERS = {"negatives": 0, "Neg": 0, "positives": 1, "Pos": 1}
MASK_EXTENSIONS = (".png", ".bmp", ".gif")


def load(data_dir, seed=0):
  """Reads a folder with the layout at the top of this file.

  Every mask is read here to check it, and again when it is used.

  Args:
    data_dir: the folder that holds `training` and `validation`.
    seed: seed of the draw of validation images, if `testing` is missing.
  Returns:
    a single-label `Dataset` of the classes "negative" and "positive", with
    boxes and masks of the positives that have a mask. The id of an image is
    its path below `data_dir`, with "/".
  Raises:
    UserError: the error names the folder or file that is wrong.
  """
  if not os.path.isdir(data_dir):
    raise UserError("data_dir", data_dir, "no such folder")
  found = [_read_split(data_dir, name) for name in _splits(data_dir)]
  splits = {"train": [], "val": [], "test": []}
  for label in range(len(CLASSES)):
    known = {r.id: r for _, classes in found for r in classes[label]}
    ids = {split: [r.id for r in classes[label]] for split, classes in found}
    for split, chosen in rules.complete(ids, f"{seed}/").items():
      if not chosen:
        raise UserError("data_dir", data_dir,
                        f"{len(known)} {CLASSES[label]} images leave "
                        f"none for the {split} split")
      splits[split] += [known[i] for i in chosen]
  notes = image_files.note(data_dir, image_files.below(data_dir).others)
  return record.Dataset(CLASSES, False, splits, tuple(notes),
                        rules.drawn([split for split, _ in found]))


def _splits(data_dir):
  """Names of the split folders.

  Raises:
    UserError: a folder is missing, or there is another one.
  """
  below = image_files.folders_in(data_dir)
  for name in below:
    if name not in SPLITS:
      raise UserError(
          f"{os.path.join(data_dir, name)}: there may only be the folders "
          f"{', '.join(SPLITS)}")
  for name in ("training", "validation"):
    if name not in below:
      raise UserError("data_dir", data_dir,
                      f"no folder {name} in it; needs training and "
                      "validation, each with positives and negatives")
  return [name for name in SPLITS if name in below]


def _read_split(data_dir, name):
  """`(split, [negative records, positive records])` of a split folder."""
  where = os.path.join(data_dir, name)
  classes = [None] * len(CLASSES)
  for below in image_files.folders_in(where):
    label = FOLDERS.get(below)
    if label is None or classes[label] is not None:
      raise UserError(
          f"{os.path.join(where, below)}: {name} must hold one folder of "
          "positives (or Pos) and one of negatives (or Neg)")
    classes[label] = _read_class(data_dir, f"{name}/{below}", label)
  for label, records in enumerate(classes):
    if not records:
      raise UserError(
          f"{where}: no {CLASSES[label]}s in it; must hold positives (or Pos) "
          "and negatives (or Neg) with images "
          f"({', '.join(image_files.ENDINGS)})")
  return SPLITS[name], classes


def masks_among(paths):
  """The masks among paths: named as another one of their folder, and `m`.

  >>> masks_among([pathlib.Path("a/7.png"), pathlib.Path("a/7m.png")])
  {PosixPath('a/7m.png')}
  """
  stems = {path.with_suffix("") for path in paths}
  return {path for path in paths if path.stem.endswith("m")
          and path.with_name(path.stem[:-1]) in stems}


def _read_class(data_dir, prefix, label):
  """The records of one folder, in alphabetical order."""
  where = os.path.join(data_dir, *prefix.split("/"))
  files, masks = {}, {}
  below = image_files.below(where)
  for name in below.images:
    if "/" in name:
      raise UserError(f"{where}/{name}: images and masks must lie in {prefix} "
                      "itself, not in a folder below")
    stem = os.path.splitext(name)[0]
    kind = masks if label == POSITIVE and stem.endswith("m") else files
    if stem in kind:
      raise UserError(
          f"{os.path.join(where, name)}: {kind[stem]} has the same name")
    kind[stem] = name
  for stem, name in masks.items():
    if stem[:-1] not in files:
      raise UserError(
          f"{os.path.join(where, name)}: a mask (its name ends in m) without "
          f"its image {stem[:-1]}; if it is an image, rename it")
  for stem, name in files.items():
    if label != POSITIVE and stem + "m" in files:
      raise UserError(
          f"{os.path.join(where, files[stem + 'm'])}: a mask of {name}, but "
          "negatives have none")
  one_hot = np.eye(len(CLASSES), dtype=np.float32)[label]
  records = []
  for stem, name in files.items():
    more = {}
    if stem + "m" in masks:
      mask = functools.partial(
          _read_mask, os.path.join(where, masks[stem + "m"]),
          os.path.join(where, name))
      boxes = _boxes(mask())
      more = dict(mask=mask, boxes=boxes,
                  box_label=np.full(len(boxes), POSITIVE, np.int32))
    records.append(record.Record(
        f"{prefix}/{name}", os.path.join(where, name), one_hot, **more))
  return records


def _read_mask(path, image_path):
  """Reads a mask as uint8 `[height, width]` with the values of `Record.mask`.

  Args:
    path: of the mask.
    image_path: of its image, whose size the mask must have.
  Raises:
    UserError: the mask is wrong in format, size or values.
  """
  def wrong(text):
    return UserError(f"{path}: {text}")

  if not path.lower().endswith(MASK_EXTENSIONS):
    raise wrong("a mask must be stored without loss, as "
                f"{', '.join(MASK_EXTENSIONS)}")
  try:
    with PIL.Image.open(path) as image:
      mode, values = image.mode, np.asarray(image).astype(np.uint8)
  except (OSError, SyntaxError) as error:
    raise wrong(f"not a readable mask: {error}") from None
  if mode not in ("1", "L", "P"):
    raise wrong("a mask must have one channel of 8 bits or less; the file is "
                f"an image of mode {mode}")
  size = _size(image_path)
  if size and size != values.shape[::-1]:
    raise wrong("a mask of %d x %d pixels, but its image %s has %d x %d" % (
        *values.shape[::-1], os.path.basename(image_path), *size))
  seen = set(np.unique(values).tolist())
  if not (seen <= {0, 255} or seen <= {0, 1}):
    strange = min(seen - {0, 255})
    raise wrong(f"a mask must be 0 and 255, or 0 and 1; it holds {strange}"
                + (" beside 255" if strange == 1 else ""))
  if seen == {0}:
    raise wrong("a mask must mark the object somewhere; it is 0 everywhere")
  return np.where(values > 0, 1 + POSITIVE, 0).astype(np.uint8)


def _size(image_path):
  """Width and height of an image after the rotation of its EXIF data.

  None for a broken image, which `Images` reports later.
  """
  try:
    with decoding.open_image(image_path) as image:
      return decoding.upright_size(image)
  except Exception:  # decoders raise almost anything
    return None


def _boxes(mask):
  """The box of each connected part of a mask, float32 `[n, 4]`.

  Pixels that touch at a corner are connected.
  """
  height, width = mask.shape
  parts, _ = ndimage.label(mask, np.ones([3, 3]))
  return np.array([
      (x.start / width, y.start / height, x.stop / width, y.stop / height)
      for y, x in ndimage.find_objects(parts)], np.float32)
