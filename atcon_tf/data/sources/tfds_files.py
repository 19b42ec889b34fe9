"""Data sets of TensorFlow Datasets on the disk, read in any order.

A prepared data set is read without the code that prepared it and without a
network. TFDS reads ArrayRecord files in any order itself; here TFRecord files
are, which is how most folders were prepared.
"""

import difflib
import os
import re

from atcon_tf.config import UserError

_NAME = re.compile(r"(\w+)(?:/([\w.+-]+))?(?::(\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def builder(name, data_dir="", no_download=False):
  """The TFDS builder of a data set, prepared.

  Args:
    name: NAME[/CONFIG][:VERSION].
    data_dir: folder of TFDS's data sets; empty: TFDS's own choice.
    no_download: whether a data set that is not on the disk is refused.
  Returns:
    a `tfds.core.DatasetBuilder`.
  Raises:
    UserError: there is no such data set, or it cannot be prepared.
  """
  import tensorflow_datasets as tfds  # pylint: disable=g-import-not-at-top
  dataset = f"tfds:{name}"
  parts = _NAME.fullmatch(name)
  if not parts:
    raise UserError("dataset", dataset, "must be tfds:NAME[/CONFIG][:VERSION]")
  top = data_dir or os.path.expanduser(str(tfds.core.constants.DATA_DIR))
  place = _prepared(top, *parts.groups())
  try:
    if place:
      return tfds.builder_from_directory(place)
  except Exception as error:  # a broken or old folder raises almost anything
    raise UserError(f"{place}: not a data set that TFDS prepared: "
                    f"{' '.join(str(error).split())[:200]}") from None
  known = tfds.list_builders(with_community_datasets=False)
  if parts[1] not in known:
    near = difflib.get_close_matches(parts[1], known, 5)
    raise UserError("dataset", dataset, f"no '{parts[1]}' in {top}, nor in "
                    f"TFDS; nearest: {', '.join(near) or 'none'}")
  if no_download:
    raise UserError("no_download", True,
                    f"{name} is not in {top}; where there is a network, "
                    f"'tfds build {name} --data_dir=DIR' prepares it, and "
                    "--data_dir=DIR reads it here")
  try:
    made = tfds.builder(name, data_dir=top, file_format="array_record")
    _check_network(made)
    made.download_and_prepare()
  except Exception as error:
    raise UserError(
        "dataset", dataset, f"is not in {top}, and TFDS cannot prepare it "
        f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); "
        f"where there is a network, 'tfds build {name} --data_dir=DIR' "
        "prepares it, and --data_dir=DIR reads it here") from error
  return made


def _check_network(made):
  """Fails at once without a connection; TFDS would retry for minutes."""
  import requests  # pylint: disable=g-import-not-at-top
  for url in list(made.url_infos)[:1]:
    requests.head(url, timeout=20)


def _prepared(top, name, config, version):
  """The folder of a prepared data set; "" if there is none.

  Raises:
    UserError: several configurations are prepared, and none is named.
  """
  base = os.path.join(top, name, config or "")
  found = _versions(base)
  if not found and not config and os.path.isdir(base):
    below = {f.name: _versions(f.path) for f in os.scandir(base) if f.is_dir()}
    below = {config: found for config, found in below.items() if found}
    if len(below) > 1:
      raise UserError("dataset", f"tfds:{name}", "has several configurations "
                      f"in {top}; one of " + ", ".join(
                          f"tfds:{name}/{c}" for c in sorted(below)))
    found = next(iter(below.values()), {})
  if version:
    return found.get(version, "")
  return found[max(found, key=lambda v: [int(n) for n in v.split(".")])] if (
      found) else ""


def _versions(folder):
  """`{version: folder}` of the prepared versions in a folder."""
  if not os.path.isdir(folder):
    return {}
  return {f.name: f.path for f in os.scandir(folder)
          if _VERSION.fullmatch(f.name) and
          os.path.isfile(os.path.join(f.path, "dataset_info.json"))}


class Examples:
  """The examples of a split, in the order of the files.

  Attributes:
    ids: list of names, the same in every format: `train-00000/000007`.
  """

  def __init__(self, made, split, raw):
    """Finds the examples.

    Args:
      made: a `tfds.core.DatasetBuilder`, prepared.
      split: a split in TFDS's own syntax.
      raw: name of the feature that stays encoded.
    Raises:
      UserError: there is no such split, or a file is broken.
    """
    # pylint: disable=g-import-not-at-top
    import tensorflow_datasets as tfds
    self._decoders = {raw: tfds.decode.SkipDecoding()}
    self._features = made.info.features
    try:
      files = made.info.splits[split].file_instructions
    except Exception as error:  # TFDS raises several kinds
      raise UserError("tfds_splits", split,
                      f"no such split of {made.info.full_name}; it has "
                      f"{', '.join(made.info.splits)}") from error
    self.ids = [f"{_short(file.filename)}/{file.skip + i:06d}"
                for file in files for i in range(file.take)]
    self._source, self._places = None, []
    if made.info.file_format.value == "tfrecord":
      self._places = [place for file in files for place in _places(file)]
    else:
      self._source = made.as_data_source(split, decoders=self._decoders)

  def __len__(self):
    return len(self.ids)

  def __getitem__(self, index):
    """An example, a dict of NumPy values."""
    if self._source is not None:
      return self._source[index]
    path, offset = self._places[index]
    record, _ = _reader(path).read(offset)
    return self._features.deserialize_example_np(
        record, decoders=self._decoders)


def _reader(path):
  """Reads a TFRecord file at any offset; it checks the sums of a record."""
  # pylint: disable=g-import-not-at-top,g-direct-tensorflow-import
  from tensorflow.python.lib.io import tf_record
  # One for each use, because images are read in threads.
  return tf_record.tf_record_random_reader(path)


def _places(file):
  """`(path, offset)` of the examples of a file instruction."""
  path = str(file.filename)
  offset, found = 0, []
  try:
    reader = _reader(path)
    for number in range(file.skip + file.take):
      if number >= file.skip:
        found.append((path, offset))
      _, offset = reader.read(offset)
  except Exception as error:  # an OpError or an IndexError
    raise UserError(f"{path}: example {len(found) + file.skip} is broken: "
                    f"{' '.join(str(error).split())[:200]}") from None
  return found


def _short(path):
  """The split and the number of a file of examples."""
  name = os.path.basename(str(path))
  found = re.search(r"-(\w+)\.\w+-(\d+)-of-\d+$", name)
  return f"{found[1]}-{found[2]}" if found else name
