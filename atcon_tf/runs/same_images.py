"""Whether two runs were tested on the same images, not on the same names only.

The predictions of a run hold the names of its test images. Two folders may
have other images of the same names: those of another camera, say.
"""

import dataclasses
import os

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import image_store
from atcon_tf.runs import run_data

# The settings that say where the images are.
PLACES = ("dataset", "voc_year", "data_dir", "table", "annotations")
# How many test images are looked at, and at which size.
SEEN, SIZE = 16, 64


def check(run, other, names):
  """Refuses two runs whose test images of the same names differ.

  Nothing is read if both runs have their data from the same place.

  Args:
    run, other: `runs.Run`s, tested on images of the same names.
    names: of the two, for the message.
  Returns:
    a note if the images are no longer where they were; else "".
  Raises:
    UserError: an image differs; the error names the first.
  """
  if all(_place(run, name) == _place(other, name) for name in PLACES):
    return ""
  try:
    first, second = (run_data.records_of(one) for one in (run, other))
    for name in run.split["test"][:SEEN]:
      if not np.array_equal(_pixels(first[name]), _pixels(second[name])):
        raise _Unlike(name)
  except _Unlike as error:
    raise UserError("compare", None, f"{names[0]} and {names[1]} were tested "
                    f"on different images of the name '{error}'; only runs on "
                    "the same test images can be paired") from None
  except (UserError, OSError, KeyError):
    return (f"note: {names[0]} and {names[1]} had their images from different "
            "places, and not all are there now: the differences hold only if "
            "images of the same name are the same")
  return ""


class _Unlike(Exception):
  """The name of the image that differs."""


def _place(run, name):
  return os.path.realpath(str(getattr(run.config, name)))


def _pixels(record):
  return image_store.decode(dataclasses.replace(record, frame=None), SIZE)
