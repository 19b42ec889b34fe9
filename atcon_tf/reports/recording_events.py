"""What happens when in a long recording: `explain --window_seconds`.

    NAME_events.csv          start, end, class, probability of each event
    NAME_windows.csv         the probability of every class in each window
    NAME_timeline.png        both over the recording's frames
    NAME_at_START_...        the files of `explained_recordings`, of the best
                             window of each class that has an event
"""

import csv
import io
import typing

import numpy as np

from atcon_tf.config import files
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.reports import explained_files
from atcon_tf.reports import explained_recordings
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import timelines

# Windows of a class with an event are drawn for at most so many classes.
DRAWN = 5


class Event(typing.NamedTuple):
  """What a classifier says happens in a part of a recording, in seconds."""
  start: float
  end: float
  class_index: int
  probability: float


def events_of(windows, probability, multi_label, threshold=.5):
  """Neighbouring windows of one class, joined.

  Args:
    windows: list of N `(start, end)` in seconds, ascending.
    probability: `[N, classes]`.
    multi_label: whether a window can show several classes; otherwise only its
      most probable one counts.
    threshold: least probability of a class in a window.
  Returns:
    list of `Event` by their start; the probability is the mean over the
    event's windows, weighted by their lengths.

  Example:
    >>> events_of([(0, 2), (2, 4), (4, 6)],
    ...           np.array([[.9, .1], [.7, .3], [.2, .8]]), False)[0]
    Event(start=0, end=4, class_index=0, probability=0.8)
  """
  found = []
  for c in range(probability.shape[1]):
    inside = probability[:, c] >= threshold
    if not multi_label:
      inside &= probability.argmax(1) == c
    start = 0
    for n in range(1, len(windows) + 1):
      if n < len(windows) and inside[n] == inside[start]:
        continue
      if inside[start]:
        length = [b - a for a, b in windows[start:n]]
        found.append(Event(windows[start][0], windows[n - 1][1], c, float(
            np.average(probability[start:n, c], weights=length))))
      start = n
  return sorted(found)


def explain_windows(explainer, video, cut, folder, ending="gif", threshold=.5,
                    labels=(), **look):
  """Explains a long recording window by window.

  Args:
    explainer, video, cut, folder, ending, look: see
      `explained_recordings.explain_recording`; the cut has `window_seconds`.
    threshold: see `events_of`.
    labels: indices of the classes whose events are wanted; empty: all.
  Yields:
    lines on what was written.
  """
  path = explained_recordings.path_of(video)
  name, = explained_files.unique_names([path.stem])
  parts = cut.clips(str(path), path.name)
  if parts[0][1].end is None:  # it says itself why it cannot be read
    explained_recordings.read(explainer, parts[0][1])
  windows = [clip.span for _, clip in parts]
  first = parts[0][1]
  if first.at_end > 1:
    yield (f"note: the classifier's clips last {first.needed_seconds:.2f} s, "
           "longer than a window, whose last frame is repeated; a larger "
           "--window_seconds shows it more")
  probability, pictures, notes = _look(explainer, parts)
  yield from notes
  events = events_of(windows, probability, explainer.multi_label, threshold)
  events = [e for e in events if not labels or e.class_index in labels]
  found = explained_recordings.count_of(events, "event")
  _write_tables(folder, name, windows, probability, events,
                explainer.class_names)
  files.write_bytes(folder / f"{name}_timeline.png", canvas.to_png(
      timelines.timeline(
          pictures, windows, probability, explainer.class_names, events,
          threshold, f"{files.printable(path.name)}: {found}"), dpi=120))
  yield (f"{folder / name}_events.csv: {found} in {len(windows)} windows; "
         f"{name}_windows.csv, {name}_timeline.png")
  best = {}
  for c in dict.fromkeys(e.class_index for e in sorted(
      events, key=lambda e: -e.probability)):
    best.setdefault(int(probability[:, c].argmax()), []).append(c)
  for n, classes in list(best.items())[:DRAWN]:
    clip, _ = explained_recordings.read(explainer, parts[n][1])
    yield from explained_recordings.save_clip(
        explainer, clip, folder, f"{name}_at_{windows[n][0]:g}s",
        lambda _, these=classes: these, ending, look)


def _look(explainer, parts):
  """Classifies every window, a few at a time.

  Returns:
    probabilities `[N, classes]`; the pictures of `timelines.timeline`; lines
    on frames that did not decode. A window without a frame has probability 0.
  """
  at_once = explainer.classifier.per_batch(explainer.batch_size)
  classes = len(explainer.class_names)
  probability = np.zeros([len(parts), classes])
  wanted = _strip(parts)
  pictures, notes = [], []
  bar = Progress(len(parts), "windows")
  for first in range(0, len(parts), at_once):
    seen, rows = [], []
    for n in range(first, min(first + at_once, len(parts))):
      try:
        clip, more = explained_recordings.read(explainer, parts[n][1])
      except UserError as error:
        notes.append(f"left out: {error}")
        clip, more = None, []
      notes += more
      bar.add()
      if clip:
        seen.append(clip.seen)
        rows.append(n)
        if n in wanted:
          pictures.append((*wanted[n], clip.pictures[len(clip.pictures) // 2]))
    if seen:
      probability[rows] = explainer.probability(np.concatenate(seen))
  if not pictures:
    raise UserError("video", parts[0][1].path, f"no window can be read; "
                    f"{notes[0]}")
  return probability, pictures, notes


def _strip(parts):
  """`{window: (start, end) of its picture in the strip}`."""
  spans = [clip.span for _, clip in parts]
  end, count = spans[-1][1], min(timelines.FRAMES, len(parts))
  middles = np.array([(a + b) / 2 for a, b in spans])
  edges = np.linspace(0, end, count + 1)
  found = {}
  for a, b in zip(edges[:-1], edges[1:]):
    n = int(np.abs(middles - (a + b) / 2).argmin())
    found[n] = (found.get(n, (a, b))[0], b)
  return found


def _write_tables(folder, name, windows, probability, events, class_names):
  """Writes the events and the windows as CSV."""
  files.write_text(folder / f"{name}_events.csv", _csv(
      ["start", "end", "class", "probability"],
      [[f"{e.start:.2f}", f"{e.end:.2f}", class_names[e.class_index],
        f"{e.probability:.4f}"] for e in events]))
  files.write_text(folder / f"{name}_windows.csv", _csv(
      ["start", "end", *class_names],
      [[f"{a:.2f}", f"{b:.2f}", *(f"{v:.4f}" for v in row)]
       for (a, b), row in zip(windows, probability)]))


def _csv(head, rows):
  text = io.StringIO()
  csv.writer(text, lineterminator="\n").writerows([head, *rows])
  return text.getvalue()
