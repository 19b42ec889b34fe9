"""A folder of clips, one sub-folder per class.

    data_dir/walk/1.mp4             or, with published splits,
    data_dir/walk/2/001.jpg, ...      data_dir/train/walk/1.mp4
    data_dir/run/may/3.mkv            data_dir/test/run/2/001.jpg, ...

A recording is a video file or a folder of pictures (`recordings`). Layout and
splits are those of `folder`. Every recording has one label; it is one clip or,
with --window_seconds, one clip of each window.

Each recording is in a group: UCF's, if its name is one of UCF's
(`v_Archery_g07_c02` is in `v_Archery_g07`), otherwise its own. So clips of one
recording never are in two of train, val and test.
"""

import dataclasses
import os
import re

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import image_files
from atcon_tf.data import record
from atcon_tf.data import recordings
from atcon_tf.data.sources import folder
from atcon_tf.data.sources import unlabeled


def _in_class_folder(place):
  """The recordings of a class; refuses pictures right in its folder."""
  found = recordings.below(place)
  if "." in found.images:
    raise UserError(f"{place}: holds pictures; the frames of each clip must "
                    "be in a folder of their own in the class folder")
  return found


CLIPS = folder.Things("clip", _in_class_folder, recordings.ENDINGS,
                      " or a folder of frames")
_UCF = re.compile(r"(v_[^/]+_g\d+)_c\d+")


def load(data_dir, cut, classes=(), seed=0, judged=()):
  """Reads a folder of class folders of clips.

  Args:
    data_dir: the folder.
    cut: a `recorded_clip.Cut`.
    classes, seed, judged: as for `folder.load`.
  Returns:
    a single-label `Dataset`. The id of a clip is the path of its recording
    below `data_dir`, with "/", and the seconds of a window.
  Raises:
    UserError: the error names the folder that is wrong.
  """
  found = folder.load(data_dir, classes, seed, CLIPS, judged)
  return dataclasses.replace(found, frames=cut.frames, splits={
      part: [clip for r in records for clip in _clips(r, cut)]
      for part, records in found.splits.items()})


def _clips(one, cut):
  """The records of a recording's clips; `one` has its path as image."""
  return [record.Record(clip_id, clip, one.label, group=group_of(one.id))
          for clip_id, clip in cut.clips(one.image, one.id)]


def group_of(recording_id):
  """The group of a recording.

  Example:
    >>> group_of("Surfing/v_Surfing_g07_c02"), group_of("walk/1.mp4")
    ('v_Surfing_g07', 'walk/1.mp4')
  """
  found = _UCF.search(recording_id)
  return found.group(1) if found else recording_id


def add_unlabeled(dataset, unlabeled_dir, cut):
  """Adds the clips of a folder to the unlabelled pool.

  Args:
    dataset: a `record.Dataset` of clips.
    unlabeled_dir: a folder with recordings in it or anywhere below.
    cut: a `recorded_clip.Cut`.
  Returns:
    a new `Dataset`; see `unlabeled.add`.
  Raises:
    UserError: the folder does not exist or has no recording, or a recording
      is also in the data set.
  """
  if not os.path.isdir(unlabeled_dir):
    raise UserError("unlabeled_dir", unlabeled_dir, "no such folder")
  below = recordings.below(unlabeled_dir)
  if not below.images:
    raise UserError("unlabeled_dir", unlabeled_dir,
                    f"no clip in it or below ({CLIPS.kinds})")
  known = {os.path.realpath(r.image.path): (r.id, part)
           for part, records in dataset.splits.items() for r in records}
  no_label, records, seen = np.zeros(
      [len(dataset.class_names)], np.float32), [], set()
  for name in below.images:
    path = os.path.normpath(os.path.join(unlabeled_dir, *name.split("/")))
    real = os.path.realpath(path)
    if real in known:
      raise UserError(
          "unlabeled_dir", unlabeled_dir,
          "holds clip '{}', which is also one of the {} clips; must be a "
          "folder of other clips".format(*known[real]))
    if real in seen:
      continue
    seen.add(real)
    one = record.Record(unlabeled.PREFIX + name, path, no_label)
    records += _clips(one, cut)
  before = dataset.splits.get(unlabeled.PART, [])
  return dataclasses.replace(
      dataset, splits={**dataset.splits, unlabeled.PART: before + records},
      notes=(*dataset.notes, *image_files.note(unlabeled_dir, below.others,
                                               "clip")))
