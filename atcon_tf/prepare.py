r"""Stores a data set as the network sees it, once, for every later run.

    python -m atcon_tf.prepare --dataset=voc --data_dir=VOCdevkit \
      --image_size=161 --out=W/voc_161
    python -m atcon_tf.train --dataset=prepared --data_dir=W/voc_161 ...

It takes the flags of the data of `atcon_tf.train`, --image_size (default: that
of --model) and --resize. Every image is decoded, checked, fitted and stored
without loss, in sharded TFRecords with labels, boxes, masks, groups and parts.
A run on them has the batches of a run on the files, bit by bit. manifest.json
has counts, hashes, classes, seed and settings; it is written last. Killed, the
same command goes on with the images that are missing.
"""

import pathlib
import shlex

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config.clip_settings import CLIPS
from atcon_tf.config import config_flags
from atcon_tf.config import files
from atcon_tf.config import path_flags
from atcon_tf.config import UserError


def main(argv):
  """Stores the data that the flags name."""
  del argv
  values = flags.FLAGS
  out = pathlib.Path(values.out)
  files.check_folder("out", out)
  config = config_flags.from_flags()
  if config.dataset in CLIPS["dataset"]:
    raise UserError("dataset", config.dataset, "has clips; only images are "
                    "prepared")
  config = at.runs.run_classifier.of_file(config)
  found = at.data.load(config)
  for line in found.notes:
    print(files.printable(line), flush=True)
  manifest = at.data.shard_writer.write(
      found, config, out, values.shard_images, progress=True)
  for path, why in manifest["bad"].items():
    print(f"skipped {files.printable(path)}: {why}")
  for path, why in manifest["damaged"].items():
    print(f"may be damaged: {files.printable(path)}: {why}")
  for line in at.data.pictures.frames_note(manifest["several"]):
    print(line)
  parts = ", ".join(f"{n} {part}" for part, n in manifest["parts"].items())
  number = len(manifest["shards"])
  print(f"{parts} images at {config.image_size} px in {number} "
        f"file{'s' * (number != 1)}\n\n{train(out)}")


def train(folder):
  """The beginning of the command that trains on a prepared folder."""
  return ("python -m atcon_tf.train --dataset=prepared "
          + shlex.quote(f"--data_dir={folder}"))


def define_flags():
  """The flags of this command."""
  config_flags.define_flags()
  path_flags.path("out", "W/prepared", "the folder to write")
  flags.DEFINE_integer("shard_images", 1000, "images in a file", 1)


def run():
  """The console script."""
  used = ("model", "image_size", "resize", "max_bad_images")
  cli.run(main, define_flags, hidden=[
      name for name in config_flags.not_of_data() if name not in used])


if __name__ == "__main__":
  run()
