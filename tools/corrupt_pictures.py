"""Breaks pictures in ten ways and counts who notices.

    python -m tools.corrupt_pictures --pictures=VOCdevkit/VOC2007/JPEGImages \
      --count=500

Copies of pictures, JPEG and PNG by turns, are broken in the ten ways of
tests/data/corruption.py, and read as training reads a data set with
--max_bad_images. The table has for each way how many files training names and
leaves out, and how many of the others `check` names. It ends with status 1 if
a file passes both. --hidden breaks them in the ways of which a JPEG may show
nothing.
"""

import pathlib
import sys
import tempfile

from absl import flags
import numpy as np
import PIL.Image

from atcon_tf.config import cli
from atcon_tf.config import path_flags
from atcon_tf.config import UserError
from atcon_tf.data import image_check
from atcon_tf.data import image_files
from atcon_tf.data import image_store
from atcon_tf.data import record
from atcon_tf.reports import tables
from tests.data import corruption


def broken(pictures, count, folder, seed=0, ways=None):
  """Writes broken copies of pictures.

  Args:
    pictures: list of paths.
    count: number of copies.
    folder: where they go.
    seed: of the choice of pictures and of the damage.
    ways: `{name: function}`; None: the ten.
  Returns:
    `{path: way}`.
  """
  rng = np.random.default_rng(seed)
  found, ways = {}, ways or corruption.WAYS
  for number, source in enumerate(rng.choice(pictures, count)):
    way = list(ways)[number % len(ways)]
    kind = "png" if number // len(ways) % 2 else "jpg"
    path = folder / f"{number:04d}.{kind}"
    with PIL.Image.open(source) as image:
      image.convert("RGB").save(path, quality=90)
    path.write_bytes(ways[way](path.read_bytes(), rng))
    found[str(path)] = way
  return found


def count_noticed(ways):
  """`{way: [files, named by training, of the others named by check]}`."""
  label = np.ones([1], np.float32)
  records = [record.Record(path, path, label) for path in ways]
  images = image_store.Images(records, 64, len(ways), progress=True)
  findings = image_check.check(record.Dataset(
      ("any",), True, {"train": images.records, "val": [], "test": []}))[1] if (
          images.records) else []
  named = {i for f in findings if f.kind in ("unreadable", "damaged")
           for i in f.images}
  rows = {way: [0, 0, 0] for way in ways.values()}
  for path, way in ways.items():
    rows[way][0] += 1
    rows[way][1] += path in images.bad
    rows[way][2] += path not in images.bad and path in named
  return rows


def main(argv):
  """Prints the table."""
  del argv
  values = flags.FLAGS
  found = image_files.below(values.pictures).images
  if not found:
    raise UserError("pictures", values.pictures, "no picture there")
  with tempfile.TemporaryDirectory() as folder:
    rows = count_noticed(broken(
        [str(pathlib.Path(values.pictures, name)) for name in found],
        values.count, pathlib.Path(folder), values.seed,
        corruption.HIDDEN if values.hidden else None))
  total = [sum(column) for column in zip(*rows.values())]
  print(tables.align([["way", "files", "training names", "check names"], *(
      [way, *map(str, row)] for way, row in [*rows.items(), ("all", total)])]))
  if total[1] + total[2] < total[0] and not values.hidden:
    sys.exit(1)


def define_flags():
  """The flags of this tool."""
  path_flags.path("pictures", "", "folder of whole pictures")
  flags.DEFINE_integer("count", 500, "files to break", 1)
  flags.DEFINE_bool("hidden", False, "lost sectors and wrong bits instead")
  flags.DEFINE_integer("seed", 0, "of the choice and the damage", 0)


if __name__ == "__main__":
  cli.run(main, define_flags)
