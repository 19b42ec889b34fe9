"""What is wrong with a data set: its files, its parts, its labels.

Two images are exact duplicates if their pixels are equal, whatever the files
are called. They are near duplicates if few of the 64 bits of their perceptual
hashes differ (`imagehash.phash`: signs of the low frequencies), as for a photo
that was scaled, or saved twice, or for neighbouring frames of a clip, and if
the pictures themselves differ little: made grey, 32 x 32, of mean 0 and
deviation 1, by less than `_SAME` in the mean of absolute values. What has such
a hash and differs by more, as other parts of one product do, is suspicious.
Images without structure, such as a black one, have no such hash.

A finding is wrong, or it is a note. Wrong are: an image that does not decode,
or of which libjpeg says that it is damaged (training would use it); a duplicate
or near duplicate in two of training, validation and test images; one with other
labels; a class without an image in a part; a box that is empty
or outside its image.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import typing

import imagehash
import numpy as np
import PIL.Image

from atcon_tf.config.progress import Progress
from atcon_tf.data import decoding
from atcon_tf.data import image_store
from atcon_tf.data.sources import unlabeled

PARTS = ("train", "val", "test")
# The grey levels of an image with structure spread at least so far.
_STRUCTURE = 2.0
# Near duplicates differ by less, in standard deviations of the grey levels.
# Seen: about 0.02 of photos scaled or saved again; 0.06 in the median, of 41
# pairs of neighbouring frames of UCF101; 0.10 and more of drawn parts of one
# product.
_SAME = 0.1
_SMALL = (32, 32)
# As many pairs of classes are listed as seen together.
_PAIRS = 20
_BLOCK = 1024


@dataclasses.dataclass(frozen=True)
class Finding:
  """One finding.

  Attributes:
    kind: "unreadable", "damaged", "duplicate", "near duplicate",
      "suspicious", "other labels", "no image" or "box".
    wrong: whether it is wrong, or a note.
    text: the line for the person.
    images: ids of the one or two images that show it.
    distance: bits that differ, of images that look alike; else 0.
  """

  kind: str
  wrong: bool
  text: str
  images: tuple[str, ...] = ()
  distance: int = 0


def check(dataset, near=4, progress=False):
  """Checks a data set.

  Args:
    dataset: a `record.Dataset`.
    near: images look alike if at most so many of 64 bits differ; 0: only
      equal hashes.
    progress: whether to show a progress bar.
  Returns:
    `{"images": {part: number}, "classes": {name: {part: number}}, "labels":
    {number of labels: images}, "together": {"a + b": images}, "boxes":
    {...}}`, and the list of `Finding`, the wrong ones first.
  """
  parts = {part: dataset.splits.get(part, [])
           for part in (*PARTS, unlabeled.PART)}
  records = [(part, r) for part, found in parts.items() for r in found]
  looks = _look_at([r for _, r in records], progress)
  findings = [
      Finding("unreadable", True, f"{image_store.name_of(r)}: does not decode "
              f"({look})", (r.id,))
      for (_, r), look in zip(records, looks) if isinstance(look, str)]
  whole = [(part, r, look) for (part, r), look in zip(records, looks)
           if not isinstance(look, str)]
  findings += [
      Finding("damaged", True, f"{image_store.name_of(r)}: decodes, but may be "
              f"damaged ({look.damage})", (r.id,))
      for _, r, look in whole if look.damage]
  findings += _duplicates(whole)
  findings += _near(whole, near)
  counts = {name: {part: int(sum(r.label[c] > 0 for r in parts[part]))
                   for part in PARTS}
            for c, name in enumerate(dataset.class_names)}
  for name, row in counts.items():
    empty = [part for part in PARTS if not row[part]]
    if empty:
      findings.append(Finding(
          "no image", True, f"class '{name}' has no {' and no '.join(empty)} "
          "image"))
  labelled = [r for part in PARTS for r in parts[part]]
  boxes, wrong = _boxes(labelled, dataset.class_names)
  findings += wrong
  number = collections.Counter(int(r.label.sum()) for r in labelled)
  numbers = {part: len(found) for part, found in parts.items() if found}
  return {"images": numbers, "classes": counts,
          "labels": {str(n): count for n, count in sorted(number.items())},
          "together": _together(labelled, dataset.class_names),
          "boxes": boxes}, sorted(
              findings, key=lambda f: (not f.wrong, f.distance))


class _Look(typing.NamedTuple):
  """What is seen of an image.

  Attributes:
    digest: of its pixels.
    bits: its perceptual hash; None for an image without structure.
    damage: see `decoding.damage`.
    small: its grey levels `_SMALL`, uint8; None without structure.
  """
  digest: bytes
  bits: np.uint64 | None
  damage: str
  small: np.ndarray | None = None


def _look_at(records, progress):
  """The `_Look` or the error of each record."""
  shown = Progress(len(records), "images", progress)
  found = []
  with concurrent.futures.ThreadPoolExecutor() as pool:
    for look in pool.map(_look, records):
      found.append(look)
      shown.add()
  return found


def _look(record):
  try:
    file = isinstance(record.image, str)
    pixels = decoding.rgb(record.image) if file else record.image()
    damage = decoding.damage(record.image) if file else ""
  except Exception as error:  # decoders raise almost anything
    return f"{type(error).__name__}: {error}"
  digest = hashlib.sha256(
      f"{pixels.shape}".encode() + pixels.tobytes()).digest()
  # A clip looks as its middle frame does.
  image = PIL.Image.fromarray(
      pixels[len(pixels) // 2] if record.frames else pixels)
  grey = image.convert("L")
  if np.std(np.asarray(grey)) < _STRUCTURE:
    return _Look(digest, None, damage)
  bits = np.packbits(imagehash.phash(image).hash.ravel())
  small = np.asarray(grey.resize(_SMALL, PIL.Image.Resampling.BOX))
  return _Look(digest, bits.view(">u8")[0], damage, small)


def _duplicates(whole):
  """The findings of equal pixels."""
  same = collections.defaultdict(list)
  for part, record, look in whole:
    same[look.digest].append((part, record))
  found = []
  for group in same.values():
    for (part, first), (other, second) in itertools.pairwise(group):
      ids = first.id, second.id
      pair = (f"'{first.id}' ({part}) and '{second.id}' ({other}) are the same "
              "image")
      if _differ(part, first, other, second):
        found.append(Finding("other labels", True, f"{pair} with other labels",
                             ids))
      else:
        found.append(Finding("duplicate", _leaks(part, other), pair, ids))
  return found


def _differ(part, first, other, second):
  """Whether two labelled images have other labels."""
  return unlabeled.PART not in (part, other) and bool(
      (first.label != second.label).any())


def _leaks(part, other):
  """Whether an image may not be in both parts; the pool trains, too."""
  trains = ("train", unlabeled.PART)
  return part != other and not (part in trains and other in trains)


def _near(whole, most):
  """The findings of hashes that differ in at most `most` bits.

  Only pairs of images that may not be alike are compared: training images
  with those of validation and test, and these with each other.
  """
  seen = collections.defaultdict(list)
  for part, record, look in whole:
    if look.bits is not None:
      place = part if part in ("val", "test") else "train"
      seen[place].append((part, record, look))
  found = []
  for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
    right = np.array([look.bits for _, _, look in seen[b]], np.uint64)
    for start in range(0, len(seen[a]), _BLOCK):
      block = seen[a][start:start + _BLOCK]
      left = np.array([look.bits for _, _, look in block], np.uint64)
      distance = np.bitwise_count(left[:, np.newaxis] ^ right)
      for i, j in np.argwhere(distance <= most).tolist():
        (part, first, look), (other, second, next_) = block[i], seen[b][j]
        if look.digest != next_.digest:
          bits = int(distance[i, j])
          same = _differ_by(look.small, next_.small) < _SAME
          found.append(Finding(
              "near duplicate" if same else "suspicious", same,
              f"'{first.id}' ({part}) and '{second.id}' ({other}) "
              f"{'are nearly the same image' if same else 'look alike'}: "
              f"{bits} of 64 bits differ",
              (first.id, second.id), bits))
  return found


def _differ_by(first, second):
  """How far two small images are apart, whatever their light and contrast."""
  first, second = ((one - one.mean()) / max(one.std(), 1e-6)
                   for one in (first, second))
  return float(np.abs(first - second).mean())


def _together(records, names):
  """`{"a + b": number}` of the pairs of classes that most images show."""
  label = np.array([r.label for r in records]) > 0
  both = np.triu(label.T.astype(int) @ label.astype(int), 1)
  pairs = sorted(np.argwhere(both).tolist(), key=lambda p: -both[*p])[:_PAIRS]
  return {f"{names[a]} + {names[b]}": int(both[a, b]) for a, b in pairs}


def _boxes(records, names):
  """Statistics of the boxes, and the findings of wrong ones."""
  areas, found = [], []
  for record in records:
    for box, c in zip(record.boxes.tolist(), record.box_label.tolist()):
      x1, y1, x2, y2 = box
      if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        found.append(Finding(
            "box", True, f"'{record.id}': the box "
            f"{','.join(f'{v:.3g}' for v in box)} of '{names[c]}' is empty or "
            "outside its image", (record.id,)))
      areas.append((x2 - x1) * (y2 - y1))
  if not areas:
    return {}, found
  small = np.array(areas) < .01 - 1e-6  # 1 % but for rounding is not less
  return {"number": len(areas),
          "images": sum(len(r.boxes) > 0 for r in records),
          "median_area": round(float(np.median(areas)), 4),
          "smaller_than_1_percent": int(small.sum())}, found
