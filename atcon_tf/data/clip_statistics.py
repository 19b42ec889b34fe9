"""How many clips each class has in each part, and how long they are.

The columns are those of the supplement of ATCON's paper (its tables 2 to 5):
number, mean, median, standard deviation and total of the lengths in seconds,
and the number of groups (recordings, patients).
"""

import concurrent.futures
import contextlib
import os

import numpy as np

from atcon_tf.data import recorded_clip

UNKNOWN = "(no label)"
COLUMNS = ("part", "class", "clips", "mean_seconds", "median_seconds",
           "sd_seconds", "total_seconds", "groups")
_HEADS = {"mean_seconds": "mean s", "median_seconds": "median s",
          "sd_seconds": "sd s", "total_seconds": "total s"}


def table(records, class_names):
  """The statistics of the clips of recordings.

  Args:
    records: `{part: list of Record}`.
    class_names: of the labels.
  Returns:
    list of dicts with the keys `COLUMNS`, one for each part and class; []
    if the records are no clips of recordings.
  """
  every = {part: [r for r in found if isinstance(
      r.image, recorded_clip.RecordedClip)] for part, found in records.items()}
  clips = [r for found in every.values() for r in found]
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    length = dict(zip((r.id for r in clips), pool.map(_length, clips)))
  rows = []
  for part, found in every.items():
    for c, name in enumerate((*class_names, UNKNOWN)):
      of_class = [r for r in found if (
          r.label[c] > 0 if name != UNKNOWN else not r.label.any())]
      if of_class or (found and name != UNKNOWN):
        rows.append({"part": part, "class": name, "clips": len(of_class),
                     **_spread([length[r.id] for r in of_class]),
                     "groups": len({r.group for r in of_class})})
  return rows


def _length(one):
  """The seconds of a clip's part of its recording; NaN: it cannot be read."""
  try:
    start, end = one.image.span
    return end - start
  except (ValueError, OSError):
    return np.nan


def short_note(records):
  """A list with the line on clips that are longer than their recordings.

  Args:
    records: as of `table`.
  """
  clips, most = 0, {}
  for one in (r for found in records.values() for r in found):
    if isinstance(one.image, recorded_clip.RecordedClip):
      clips += 1
      with contextlib.suppress(ValueError, OSError):  # it cannot be read
        if one.image.at_end > 1:
          most[one.id] = one.image.at_end
  if not most:
    return []
  name = max(most, key=most.get)
  return [f"note: {len(most)} of {clips} clips are longer than their "
          f"recordings and repeat the last frame ({name}: "
          f"{most[name]} times); a smaller --stride, or --clip_seconds, takes "
          "frames that are closer together"]


def _spread(lengths):
  """Mean, median, standard deviation (n - 1) and total, in seconds."""
  known = np.array([s for s in lengths if np.isfinite(s)])
  if not len(known):
    return dict.fromkeys(COLUMNS[3:7], 0.0)
  spread = known.std(ddof=1) if len(known) > 1 else 0
  return dict(zip(COLUMNS[3:7], (round(float(v), 3) for v in (
      known.mean(), np.median(known), spread, known.sum()))))


def cells(rows):
  """The statistics as rows of text, the first with the heads; [] of none."""
  return [[_HEADS.get(c, c) for c in COLUMNS]] + [
      [f"{row[c]:.2f}" if isinstance(row[c], float) else str(row[c])
       for c in COLUMNS] for row in rows] if rows else []


def text(rows):
  """The statistics as lines of equal columns, for the console."""
  table_cells = cells(rows)
  widths = [max(map(len, column)) for column in zip(*table_cells)]
  return ["  ".join(
      cell.ljust(width) if i < 2 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(line, widths))).rstrip()
          for line in table_cells]
