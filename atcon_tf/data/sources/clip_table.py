"""A table with a row for each clip of a recording.

    path,label,start,end,group,split
    1.mp4,walk,0,4.5,home_7,train
    1.mp4,run,4.5,9,home_7,train
    2.mp4,,,,home_8,train

Columns, in any order, in upper or lower case:

    path          a video file or a folder of frames (or `file_name`,
                  `filename`); relative to `data_dir`, or without it to the
                  folder of the table
    label         the clip's class; empty: unknown
    start, end    the clip's part of the recording, in seconds; empty: from its
                  begin, to its end
    group         see `groups`; without it as in `video`
    split         train, val or test, for all clips or for none

With --window_seconds each recording is cut into windows. A window has the
label of the row that covers most of it, if they share at least half of the
shorter of the two; otherwise it has none. The rows of a window are its events:
evaluation compares the times at which maps are high with theirs.
"""

import collections
import dataclasses
import os
import typing

from atcon_tf.config import UserError
from atcon_tf.data import recordings
from atcon_tf.data.sources import annotated
from atcon_tf.data.sources import labelled_table
from atcon_tf.data.sources import table_file
from atcon_tf.data.sources import video

_COLUMNS = ("label", "start", "end", "group", "split")


class _Row(typing.NamedTuple):
  """One row: a part of a recording."""
  recording_id: str
  path: str
  label: str
  start: float
  end: float | None  # None: the recording's end
  group: str
  part: str
  where: str


def load(table, cut, data_dir="", classes=(), group_column="", seed=0):
  """Reads a table of clips.

  Args:
    table: a file, see `table_file`.
    cut: a `recorded_clip.Cut`.
    data_dir: folder to which paths are relative; empty: that of the table.
    classes: names of the classes to use; empty: all.
    group_column: name of the column of groups; empty: `group`, if there is
      one.
    seed: seed of the draw of the parts that the table does not give.
  Returns:
    a single-label `Dataset` of clips.
  Raises:
    UserError: the error names the file, the row, and the second.
  """
  if data_dir and not os.path.isdir(data_dir):
    raise UserError("data_dir", data_dir, "no such folder")
  by_recording, notes = collections.defaultdict(list), []
  for sheet in table_file.read(table):
    for row in _rows(sheet, data_dir or os.path.dirname(table) or ".",
                     group_column, cut.fps, notes):
      by_recording[row.recording_id].append(row)
  clips = []
  for rows in by_recording.values():
    _check_overlaps(rows)
    clips += _windows(rows, cut) if cut.window_seconds else [
        _annotated(row, *_clip(row, cut)) for row in rows]
  _check_once(clips)
  labels = {row.label for rows in by_recording.values() for row in rows
            if row.label}
  if not labels:
    raise UserError("table", table, "no row has a label")
  labelled_table.check_parts(clips)
  found = annotated.dataset(
      clips, labelled_table.in_order(labels), classes, False, seed, notes)
  return dataclasses.replace(found, frames=cut.frames)


def _rows(sheet, top, group_column, fps, notes):
  """Yields the rows of a sheet, checked."""
  lower = {name.lower(): name for name in sheet.columns}
  column = {name: lower[name] for name in _COLUMNS if name in lower}
  if group_column:
    if group_column not in sheet.columns:
      raise UserError("group_column", group_column,
                      f"{sheet.path} has no such column; it has "
                      f"{', '.join(sheet.columns)[:200]}")
    column["group"] = group_column
  path = next((lower[n] for n in labelled_table.PATHS if n in lower), "")
  for name, there in (("path", path), ("label", "label" in column)):
    if not there:
      raise UserError(f"{sheet.path}, row 1: no column '{name}'; it has "
                      f"{', '.join(sheet.columns)[:200]}")
  unused = set(sheet.columns) - {path, *column.values()}
  if unused:
    notes.append("note: not used of the table: the columns "
                 f"{', '.join(sorted(unused))[:200]}")
  for number, cells in sheet.rows:
    where = sheet.where(number)
    text = {name: str(cells[of]).strip() for name, of in column.items()}
    part = text.get("split", "").lower()
    if part and part not in annotated.PARTS:
      raise UserError(f"{where}: split '{part}' must be train, val or test")
    if "group" in column and not text["group"]:
      raise UserError(f"{where}: column '{column['group']}' is empty; each "
                      "clip needs a group")
    recording_id, file = _find(top, str(cells[path]), where)
    start, end = _seconds(text, file, fps, where)
    yield _Row(recording_id, file, text["label"], start, end,
               text.get("group") or video.group_of(recording_id),
               sheet.part or annotated.PARTS.get(part, ""), where)


def _find(top, path, where):
  """A recording's path below `top` with "/", and its path."""
  for form in dict.fromkeys((path, path.replace("\\", "/"))):
    file = os.path.normpath(os.path.join(top, form))
    below = os.path.relpath(file, top).replace(os.sep, "/")
    if below == ".." or below.startswith("../"):
      raise UserError(f"{where}: '{path}' does not lie below {top}")
    if path and recordings.is_recording(file):
      return below, file
  raise UserError(f"{where}: no recording {os.path.join(top, path)}; must be "
                  f"{', '.join(recordings.ENDINGS)} or a folder of frames")


def _seconds(text, file, fps, where):
  """Start and end of a row, checked against the recording."""
  found = {}
  for name in ("start", "end"):
    cell = text.get(name, "")
    try:
      found[name] = float(cell) if cell else None
    except ValueError:
      found[name] = -1.0
    if found[name] is not None and not 0 <= found[name] < float("inf"):
      raise UserError(f"{where}: {name} '{cell}' of {file} must be seconds "
                      "from 0 on")
  start, end = found["start"] or 0.0, found["end"]
  if end is not None and end <= start:
    raise UserError(f"{where}: the end at {end:g} s is not after the start at "
                    f"{start:g} s of {file}")
  if start:
    try:
      length = recordings.recording(file, fps).seconds
    except (ValueError, OSError):  # named when its frames are read
      return start, end
    if start >= length:
      raise UserError(f"{where}: the start at {start:g} s is after the end of "
                      f"{file} at {length:.2f} s")
  return start, end


def _check_overlaps(rows):
  """Refuses rows of a recording that give one moment two labels."""
  labelled = sorted((r for r in rows if r.label), key=lambda r: r.start)
  last = None  # the row that ends last so far
  for row in labelled:
    if last and row.start < _end(last) and row.label != last.label:
      raise UserError(
          f"{row.where}: '{row.label}' overlaps '{last.label}' of {last.where} "
          f"at {row.start:g} s of {row.path}; a moment has one class")
    if not last or _end(row) > _end(last):
      last = row


def _end(row):
  return float("inf") if row.end is None else row.end


def _check_once(clips):
  """Refuses two rows of the same clip."""
  first = {}
  for one in clips:
    if one.id in first:
      raise UserError(f"{one.where}: clip '{one.id}' is also in "
                      f"{first[one.id]}")
    first[one.id] = one.where


def _clip(row, cut):
  """The id and the clip of a row."""
  if not row.start and row.end is None:
    return cut.whole(row.path, row.recording_id)
  return cut.part(row.path, row.recording_id, row.start, row.end)


def _annotated(row, clip_id, clip, label=None):
  """A clip with what a row says, and another label if one is given."""
  label = row.label if label is None else label
  return annotated.Annotated(
      clip_id, clip, (label,) if label else None, part=row.part,
      group=row.group, where=row.where)


def _windows(rows, cut):
  """The windows of a recording, labelled by its rows."""
  first = rows[0]
  for row in rows[1:]:
    if (row.part, row.group) != (first.part, first.group):
      raise UserError(f"{row.where}: {row.path} is in group '{row.group}' and "
                      f"split '{row.part}', but in '{first.group}' and "
                      f"'{first.part}' in {first.where}")
  found = []
  for clip_id, clip in cut.clips(first.path, first.recording_id):
    start, end = clip.start, float("inf") if clip.end is None else clip.end
    best, most = None, 0.0
    for row in rows:
      shared = min(end, _end(row)) - max(start, row.start)
      if row.label and shared > most and shared >= .5 * min(
          end - start, _end(row) - row.start):
        best, most = row, shared
    events = tuple((row.label, (row.start, _end(row))) for row in rows
                   if row.label and row.start < end and start < _end(row))
    found.append(_annotated(best or first, clip_id, clip, best.label if best
                            else "")._replace(events=events))
  return found
