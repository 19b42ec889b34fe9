"""Stores a data set as one network sees it, once, for every later run.

The images are decoded, checked, framed and resized, and stored without loss.
`sources/prepared.py` reads them back.

    FOLDER/plan.json          what is being stored; gone at the end
    FOLDER/images-*.tfrecord  see `shards`
    FOLDER/images-*.jsonl
    FOLDER/manifest.json      written last

Each file is written whole or not at all, the index of a shard after the shard.
So a process that was killed goes on with the first shard without an index, and
ends with the same files.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import pathlib

import numpy as np
import PIL
import tensorflow as tf

from atcon_tf.config import files
from atcon_tf.config import prepared_folder
from atcon_tf.config import settings
from atcon_tf.config import UserError
from atcon_tf.config.progress import Progress
from atcon_tf.data import image_store
from atcon_tf.data import shards

_PLAN = "plan.json"
# The settings of a run that say nothing of its images.
_OTHERS = {"objective", "shots", "unlabeled", "single_label_only",
           "random_labels", "seed", "splits", "max_bad_images", "no_download",
           "cache", "cache_dir"}


def write(dataset, config, folder, shard_images=1000, progress=False):
  """Stores a data set in a folder, or goes on where a process was killed.

  Args:
    dataset: the `Dataset` of the config, see `registry.load`.
    config: a resolved `Config` with an image size.
    folder: where the files go; empty, or begun with the same settings.
    shard_images: number of images in a file.
    progress: whether to show a progress bar.
  Returns:
    the dict of manifest.json.
  Raises:
    UserError: the folder holds something else; more than
      `config.max_bad_images` images do not decode; or a file cannot be
      written.
  """
  folder = pathlib.Path(folder)
  records = [(part, r) for part, found in dataset.splits.items()
             for r in found]
  plan = {"format": 1, "settings": _settings(config),
          "classes": list(dataset.class_names),
          "multi_label": dataset.multi_label, "drawn": list(dataset.drawn),
          "shard_images": shard_images, "pillow": PIL.__version__,
          "listing": _listing(records)}
  lock = files.locked("out", folder / ".lock", folder,
                      "another process writes this folder")
  with contextlib.closing(lock):
    done = _begin(folder, plan)
    if done:
      return done
    heads, bad, bar = [], {}, Progress(len(records), "images", progress)
    for number, first in enumerate(range(0, len(records), shard_images)):
      part = records[first:first + shard_images]
      heads.append(_found(folder, number) or _write_shard(
          folder, number, part, config, config.max_bad_images - len(bad), bar))
      bad |= heads[-1]["bad"]
      if len(bad) > config.max_bad_images:  # of an earlier, laxer call
        path, why = next(iter(bad.items()))
        raise image_store.does_not_decode(path, why, config.max_bad_images)
      bar.update(first + len(part))
    found = {**plan, "parts": _counts(dataset, bad), "bad": bad,
             "several": sorted(s for head in heads for s in head["several"]),
             "damaged": {path: why for head in heads
                         for path, why in head["damaged"].items()},
             "shards": [{"file": head["file"], "images": head["images"],
                         "sha256": head["sha256"]} for head in heads]}
    files.write_text(folder / prepared_folder.MANIFEST,
                     json.dumps(found, indent=1) + "\n")
    (folder / _PLAN).unlink()
    return found


def _settings(config):
  """The settings that the stored images depend on, without local folders."""
  public = config.public()
  names = [f.name for f in dataclasses.fields(settings.Data)
           if f.name not in _OTHERS]
  return {name: getattr(public, name)
          for name in (*names, *prepared_folder.FRAMING)}


def _listing(records):
  """A digest of everything about the records but the pixels."""
  total = hashlib.sha256()
  for part, r in records:
    total.update(json.dumps([
        part, r.id, r.group, np.flatnonzero(r.label).tolist(),
        r.boxes.tolist(), r.box_label.tolist(), bool(r.mask)]).encode())
  return total.hexdigest()


def _begin(folder, plan):
  """Writes the plan, or compares with the one that is there.

  Returns:
    the manifest, if all is done already; else None.
  """
  plan = json.loads(json.dumps(plan))  # tuples are lists in a file
  done = folder / prepared_folder.MANIFEST
  for path in (done, folder / _PLAN):
    if not path.exists():
      continue
    try:
      before = json.loads(path.read_text(encoding="utf-8"))
      before["settings"]["dataset"]
    except (ValueError, KeyError, TypeError):
      raise UserError("out", folder, f"its {path.name} is not one of "
                      "atcon_tf.prepare") from None
    _compare(folder, before, plan)
    return before if path == done else None
  others = sorted(p.name for p in folder.iterdir() if p.name != ".lock")
  if others:
    raise UserError("out", folder, f"not empty: it holds {others[0]}; must be "
                    "a new folder, or one begun with the same settings")
  files.write_text(folder / _PLAN, json.dumps(plan, indent=1))
  return None


def _compare(folder, before, plan):
  """Refuses another plan than the one with which a folder was begun."""
  for name, value in plan["settings"].items():
    old = before["settings"].get(name)
    if old != value:
      raise UserError(name, tuple(value) if isinstance(value, list) else value,
                      f"{folder} was begun with "
                      f"{','.join(old) if isinstance(old, list) else old}; use "
                      "another --out")
  if before["shard_images"] != plan["shard_images"]:
    raise UserError("shard_images", plan["shard_images"], f"{folder} was begun "
                    f"with {before['shard_images']}")
  if before["pillow"] != plan["pillow"]:
    raise UserError("out", folder, f"was begun with Pillow {before['pillow']}, "
                    f"this is {plan['pillow']}, which may decode otherwise; "
                    "use another --out")
  if any(before[name] != plan[name] for name in plan if name != "settings"):
    raise UserError("out", folder, "the images, labels or boxes of the data "
                    "have changed since it was begun; use another --out")


def _found(folder, number):
  """The first line of a shard's index; None if it was not written."""
  stem = folder / shards.name_of(number)
  try:
    with open(stem.with_suffix(".jsonl"), encoding="utf-8") as file:
      head = json.loads(file.readline())
    whole = stem.with_suffix(".tfrecord").stat().st_size == head["bytes"]
  except (OSError, ValueError, KeyError):
    return None
  return head if whole else None


def _write_shard(folder, number, records, config, most_bad, bar):
  """Writes a shard and its index; returns the index's first line."""
  stem = folder / shards.name_of(number)
  place, lines, bad, several, damaged = 0, [], {}, [], {}
  with files.whole(stem.with_suffix(".tfrecord")) as path:
    with tf.io.TFRecordWriter(str(path)) as writer:
      for part, record, (encoded, error) in _encoded(
          records, config.image_size, several, damaged):
        bar.add()
        if error:
          bad[image_store.name_of(record)] = error
          if len(bad) > most_bad:
            raise image_store.does_not_decode(
                image_store.name_of(record), error, config.max_bad_images)
          continue
        content, line = encoded
        writer.write(content)
        lines.append({**line, "part": part, "start": place + shards.BEFORE,
                      "length": len(content)})
        place += shards.BEFORE + len(content) + shards.BEHIND
    with open(path, "rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
  head = {"file": stem.with_suffix(".tfrecord").name, "images": len(lines),
          "bytes": place, "sha256": digest, "bad": bad,
          "several": sorted(several),
          "damaged": dict(sorted(damaged.items()))}
  files.write_text(stem.with_suffix(".jsonl"), "".join(
      json.dumps(line) + "\n" for line in [head, *lines]))
  return head


def _encoded(records, *args):
  """`(part, record, (Example and line, error))` of each, in order.

  Args:
    records: list of `(part, Record)`.
    *args: the further arguments of `shards.encode`.
  """
  with concurrent.futures.ThreadPoolExecutor() as pool:
    work = [pool.submit(_encode, r, *args)
            for _, r in records]
    try:
      for i, (part, record) in enumerate(records):
        yield part, record, work[i].result()
        work[i] = None  # frees the image, which is written now
    except BaseException:  # Ctrl-C too: the remaining images are not read
      pool.shutdown(cancel_futures=True)
      raise


def _encode(record, *args):
  """`(Example and line, None)`, or `(None, error)` of a broken image."""
  try:
    return shards.encode(record, *args), None
  except UserError:  # a mask or a box that is wrong, whatever the image
    raise
  except Exception as error:  # decoders raise almost anything
    return None, f"{type(error).__name__}: {error}"


def _counts(dataset, bad):
  """The number of stored images of each part."""
  return {part: sum(image_store.name_of(r) not in bad for r in records)
          for part, records in dataset.splits.items()}
