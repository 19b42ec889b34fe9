"""A folder that `atcon_tf.prepare` wrote: images as one network sees them.

    --dataset=prepared --data_dir=FOLDER

A run gets the very batches that it would get from the files of the data: the
same images, labels, boxes, masks and parts in the same order. Parts that the
seed drew from the files are those of the seed with which they were prepared.
"""

import json
import os

import numpy as np

from atcon_tf.config import prepared_folder
from atcon_tf.config import UserError
from atcon_tf.data import record
from atcon_tf.data import shards


def load(data_dir, image_size, resize, split_seed=0):
  """Reads the indices of a folder; pixels are read when they are used.

  Args:
    data_dir: the folder.
    image_size, resize: what the run's network sees.
    split_seed: of the run, which is told where the parts have another.
  Returns:
    a `Dataset` whose images, boxes and masks are framed already.
  Raises:
    UserError: the folder is not whole, or its images have another size.
  """
  manifest = prepared_folder.manifest(data_dir)
  stored = manifest["settings"]
  for name, wanted in (("image_size", image_size), ("resize", resize)):
    if stored[name] != wanted:
      raise UserError("data_dir", data_dir, f"prepared with --{name}="
                      f"{stored[name]}; the run has {wanted}")
  names = manifest["classes"]
  alone = record.one_hot(len(names))
  splits = {part: [] for part in manifest["parts"]}
  for shard in manifest["shards"]:
    path = os.path.join(data_dir, shard["file"])
    for line in _lines(path, shard):
      splits[line["part"]].append(_record(path, shard["sha256"], line, alone))
  for part, count in manifest["parts"].items():
    if len(splits[part]) != count:
      raise UserError("data_dir", data_dir, f"its indices have "
                      f"{len(splits[part])} {part} images, its manifest "
                      f"{count}")
  return record.Dataset(tuple(names), manifest["multi_label"], splits,
                        tuple(_notes(manifest, split_seed)))


def _lines(path, shard):
  """The lines of a shard's index on its images.

  Raises:
    UserError: the shard or its index is missing, cut off or of another one.
  """
  index = os.path.splitext(path)[0] + ".jsonl"
  try:
    with open(index, encoding="utf-8") as file:
      head, *lines = map(json.loads, file)
    size = os.path.getsize(path)
  except OSError as error:
    raise UserError(f"{error.filename}: {error.strerror}; the folder was not "
                    "copied whole") from None
  except ValueError as error:
    raise UserError(f"{index}: damaged: {error}") from None
  if head["sha256"] != shard["sha256"] or len(lines) != shard["images"]:
    raise UserError(f"{index}: not the index that the manifest names")
  if size != head["bytes"]:
    raise UserError(f"{path}: has {size} bytes, its index says "
                    f"{head['bytes']}; the folder was not copied whole")
  return lines


def _record(path, version, line, alone):
  """The `Record` of a line."""
  image = shards.Stored(path, line["start"], line["length"], version)
  label = line["label"]
  return record.Record(
      line["id"], image,
      alone[label[0]] if len(label) == 1 else np.isin(
          np.arange(len(alone)), label).astype(np.float32),
      np.array(line["boxes"], np.float32).reshape([-1, 4]),
      np.array(line["box_label"], np.int32),
      image.mask if line["mask"] else None, group=line["group"])


def _notes(manifest, split_seed):
  """Lines on what was left out, and on the seed of the parts."""
  if manifest["bad"]:
    yield (f"note: {len(manifest['bad'])} image(s) did not decode when the "
           "folder was prepared, and are left out")
  drawn, seed = manifest["drawn"], manifest["settings"]["split_seed"]
  if drawn and seed != split_seed:
    yield (f"note: {' and '.join(drawn)} were drawn with --split_seed={seed} "
           "when the folder was prepared; this run keeps them")
