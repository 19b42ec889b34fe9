"""PASCAL VOC from TensorFlow Datasets."""

import functools
import io
import os
import pathlib

from atcon_tf.config import UserError
from atcon_tf.data import decoding
from atcon_tf.data.sources import rules
from atcon_tf.data.sources import voc_devkit


def load(year):
  """Loads VOC from TFDS; pixels are read when they are used.

  Args:
    year: 2007 or 2012.
  Returns:
    `{split: list of voc_devkit.Item}`.
  Raises:
    UserError: TFDS cannot prepare the data.
  """
  try:
    sources = _tfds_sources(year)
  except Exception as error:
    cause = " ".join(str(error).split())[:200]
    raise UserError("data_dir", None,
                    f"not given, and TFDS cannot prepare voc/{year} "
                    f"({type(error).__name__}: {cause}); pass "
                    "--data_dir=<VOCdevkit folder>, or run once with an "
                    "internet connection, so that TFDS can download the "
                    "data") from error
  items = {split: [_tfds_item(source, i) for i in range(len(source))]
           for split, source in sources.items()}
  known = {item.id: item for split in items.values() for item in split}
  # The ids are sorted, as in the official lists, because TFDS shuffles them.
  ids = rules.complete({split: sorted(item.id for item in found)
                        for split, found in items.items()})
  return {split: [known[i] for i in chosen] for split, chosen in ids.items()}


def _tfds_sources(year):
  """`{split: random-access source}`; downloads and prepares missing data."""
  # These modules are slow to import, and a devkit folder does not need them.
  # pylint: disable=g-import-not-at-top
  import requests
  import tensorflow_datasets as tfds
  name = f"voc/{year}"
  root = pathlib.Path(tfds.builder(name).data_dir).parents[2]
  # Only this format can be read in any order. It needs a folder of its own,
  # because TFDS keeps one format in a folder and may have another there.
  builder = tfds.builder(
      name, file_format="array_record", data_dir=root / "array_record")
  downloads = root / "downloads"
  if not (pathlib.Path(builder.data_dir).exists() or
          any(downloads.rglob("*.tar"))):
    # Fails at once without a connection; TFDS would retry for minutes.
    requests.head(next(iter(builder.url_infos)), timeout=20)
  builder.download_and_prepare(download_dir=downloads)
  names = {"train": "train", "val": "validation", "test": "test"}
  if year == 2012:
    del names["test"]
  raw = {"image": tfds.decode.SkipDecoding()}
  return {split: builder.as_data_source(name, decoders=raw)
          for split, name in names.items()}


def _tfds_item(source, index):
  """The `voc_devkit.Item` of an example."""
  example = source[index]
  with decoding.open_image(io.BytesIO(example["image"])) as image:
    width, height = decoding.upright_size(image)
  found = example["objects"]
  objects = []
  for label, difficult, (y1, x1, y2, x2) in zip(
      found["label"], found["is_difficult"], found["bbox"]):
    # TFDS divides the 1-based corner by the size; pixel 1 begins at 0.
    box = (max(0.0, x1 - 1 / width), max(0.0, y1 - 1 / height), x2, y2)
    objects.append(
        voc_devkit.Object(voc_devkit.CLASSES[label], bool(difficult), box))
  name = os.path.splitext(example["image/filename"].decode())[0]
  return voc_devkit.Item(
      name, functools.partial(_tfds_image, source, index), objects)


def _tfds_image(source, index):
  """The pixels of an example, uint8 `[height, width, 3]`."""
  return decoding.rgb(io.BytesIO(source[index]["image"]))
