r"""Checks a data set: files, duplicates across its parts, classes, boxes.

    python -m atcon_tf.check --dataset=folder --data_dir=photos \
      --out=W/check.json

It takes the flags of the data of `atcon_tf.train` and writes a table, --out
(JSON) and a sheet of the worst findings beside it (PNG). The exit status is 1
if something is wrong, 0 if nothing is, and 2 if the data cannot be read:

    an image that does not decode, or of which libjpeg warns
    an image that is, or nearly is, one of another part: validation and test
      would be judged too kindly
    the same image with other labels
    a class without an image in a part
    a box that is empty or outside its image

Two images look alike if at most --near of the 64 bits of their perceptual
hashes differ. Such a pair is wrong if the pixels differ little as well, like
two frames of one clip; otherwise, like two parts of one product, it is listed
as suspicious. A training flag, as in the flags.txt of a run, is accepted.
"""

import dataclasses
import json
import pathlib
import sys

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import config_flags
from atcon_tf.config import files
from atcon_tf.config import path_flags
from atcon_tf.config import UserError


_REMEDIES = (
    "pairs that look alike: --group_pattern keeps the images of one clip, "
    "patient or part of a thing in one of train, val and test; --near=0 lists "
    "equal hashes only")


def main(argv):
  """Checks the data that the flags name, and ends with the status."""
  del argv
  values = flags.FLAGS
  out = pathlib.Path(values.out)
  files.check_file("out", out)
  picture = out.with_suffix(".png")
  if out == picture:
    raise UserError("out", out, "its sheet goes there; must end otherwise")
  config = config_flags.from_flags()
  found = at.data.load(config)
  counts, findings = at.data.image_check.check(found, values.near,
                                               progress=True)
  check_sheet = at.reports.check_sheet
  print(*found.notes, check_sheet.text(counts, findings), sep="\n")
  if any(f.kind in ("near duplicate", "suspicious") for f in findings):
    print(f"\n{_REMEDIES}")
  wrong = sum(f.wrong for f in findings)
  files.write_text(out, json.dumps(
      {**counts, "notes": found.notes, "wrong": wrong,
       "findings": [dataclasses.asdict(f) for f in findings]}, indent=1))
  print(f"\n{out}")
  sheet = check_sheet.draw(found, findings)
  if sheet:
    files.write_bytes(picture, at.reports.canvas.to_png(sheet, dpi=110))
    print(picture)
  else:
    picture.unlink(missing_ok=True)
  if wrong:
    sys.exit(1)


def define_flags():
  """The flags of this command."""
  config_flags.define_flags()
  path_flags.path("out", "W/check.json", "the findings; a sheet of the worst "
                  "goes beside it")
  flags.DEFINE_integer("near", 4, "images look alike if at most so many of 64 "
                       "bits of their hashes differ; fewer: stricter", 0, 32)


def run():
  """The console script."""
  cli.run(main, define_flags, hidden=config_flags.not_of_data())


if __name__ == "__main__":
  run()
