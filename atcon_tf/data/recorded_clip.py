"""A clip of a recording: which seconds its frames show.

    Cut(frames=16, stride=4)       what a clip of any recording is
    cut.whole(path, "walk/1.mp4")  the clip in the middle of a recording
    cut.windows(path, ...)         a clip of each window of a long recording

A clip that is longer than its part of the recording repeats the last frame.
The ids of parts are W3C media fragments: `walk/1.mp4#t=3,5.5`.
"""

import dataclasses
import functools

import numpy as np

from atcon_tf.config import clip_settings
from atcon_tf.data import record
from atcon_tf.data import recordings

# So far before its end a part ends, whose last frame would else be the next's.
_BEFORE_END = 1e-3


@dataclasses.dataclass(frozen=True)
class Cut:
  """How clips are cut from recordings; see `config.clip_settings`.

  Attributes:
    frames, stride, fps, clip_seconds, window_seconds: the settings.
    cache: folder of the decoded clips; empty: the default.
  """

  frames: int = clip_settings.FRAMES
  stride: int = 0
  fps: float = 0.0
  clip_seconds: float = 0.0
  window_seconds: float = 0.0
  cache: str = ""

  def whole(self, path, recording_id):
    """The id and the `RecordedClip` of a whole recording."""
    return recording_id, RecordedClip(path, self)

  def part(self, path, recording_id, start, end):
    """The id and the `RecordedClip` of a part; `end` None: until the end."""
    until = "" if end is None else f",{round(end, 3):g}"
    return (f"{recording_id}#t={round(start, 3):g}{until}",
            RecordedClip(path, self, start, end))

  def clips(self, path, recording_id):
    """The clips of a recording: one, or one of each window.

    A recording that cannot be read has one clip, which says so when it is
    read.

    Returns:
      list of `(id, RecordedClip)`.
    """
    if not self.window_seconds:
      return [self.whole(path, recording_id)]
    try:
      length = recordings.recording(path, self.fps).seconds
    except (ValueError, OSError):
      return [self.whole(path, recording_id)]
    return [self.part(path, recording_id, *w)
            for w in windows(length, self.window_seconds)]


def windows(length, seconds):
  """The windows of a recording, a list of (start, end) in seconds.

  What is left at the end is a window of its own if it is half as long as the
  others, else it belongs to the last one.

  Args:
    length: of the recording.
    seconds: of a window.

  Example:
    >>> windows(10.5, 4), windows(9, 4), windows(1, 4)
    ([(0, 4), (4, 8), (8, 10.5)], [(0, 4), (4, 9)], [(0, 1)])
  """
  count = max(1, int(length / seconds + .5))
  starts = [k * seconds for k in range(count)]
  return list(zip(starts, [*starts[1:], length]))


def seconds_of(start, end, frames, step, share=.5):
  """The seconds that the frames of a clip show, float `[frames]`.

  Args:
    start, end: of the part of the recording.
    frames: number of frames.
    step: seconds from one to the next.
    share: where the clip lies in the part: 0 at its start, 1 at its end.

  Example:
    >>> seconds_of(0, 4, 4, .5).tolist(), seconds_of(0, 1, 3, .5).tolist()
    ([1.0, 1.5, 2.0, 2.5], [0.0, 0.5, 0.999])
  """
  first = start + share * max(0, end - start - frames * step)
  last = max(start, end - _BEFORE_END)
  return np.minimum(first + step * np.arange(frames), last)


@dataclasses.dataclass(frozen=True)
class RecordedClip(record.Clip):
  """The frames of a clip, read when they are used.

  Attributes:
    path: of the recording.
    cut: a `Cut`.
    start, end: the part of the recording in seconds; `end` None: its end.
    share: where the clip lies in the part; see `seconds_of`.
  """

  path: str
  cut: Cut
  start: float = 0.0
  end: float | None = None
  share: float = .5

  @property
  def frames(self):
    """T."""
    return self.cut.frames

  @property
  def name(self):
    """The path, and the seconds of a part, for messages."""
    if not self.start and self.end is None:
      return self.path
    until = "the end" if self.end is None else f"{self.end:g} s"
    return f"{self.path}, {self.start:g} s to {until}"

  @functools.cached_property
  def recording(self):
    """The `recordings.Recording`; raises what that raises."""
    return recordings.recording(self.path, self.cut.fps)

  @property
  def span(self):
    """(start, end) of the clip's part of the recording, in seconds."""
    length = self.recording.seconds
    end = length if self.end is None else min(self.end, length)
    return self.start, max(self.start, end)

  @property
  def _step(self):
    """Seconds from one frame to the next."""
    recording, cut = self.recording, self.cut
    if cut.clip_seconds:
      return cut.clip_seconds / cut.frames
    if recording.pictures:
      return (cut.stride or 1) / recording.rate
    return (cut.stride or clip_settings.STRIDE) / (cut.fps or recording.rate)

  @property
  def needed_seconds(self):
    """How long a part must be, that no frame is repeated."""
    return self.cut.frames * self._step

  @property
  def seconds(self):
    """The seconds that the frames show, float `[T]`."""
    return seconds_of(*self.span, self.cut.frames, self._step, self.share)

  @property
  def at_end(self):
    """How many frames are the last one of a part that is too short."""
    seconds = self.seconds
    return int((seconds == seconds[-1]).sum())

  def each(self, lost=None):
    """Yields the T frames, uint8 `[H, W, 3]`.

    Args:
      lost: list that gets the seconds whose frames did not decode and were
        replaced; None: nobody is told.
    Raises:
      ValueError, OSError: see `Recording.each`; or no frame of its own
        decodes.
    """
    seconds, replaced = self.seconds.tolist(), []
    yield from self.recording.each(seconds, replaced)
    if len(replaced) == len(seconds):
      raise ValueError("no frame decodes between {:.2f} s and {:.2f} s".format(
          seconds[0], seconds[-1]))
    if lost is not None:
      lost += replaced


def views(one, count):
  """Clips that are evenly spread over the part that a record shows.

  Their probabilities are averaged for the score of a video
  (`--test_clips`).

  Args:
    one: a `Record` whose image is a `RecordedClip`.
    count: number of clips.
  Returns:
    list of `Record`; of one clip the record itself.
  """
  if count == 1:
    return [one]
  return [dataclasses.replace(
      one, id=f"{one.id}~{k}", image=dataclasses.replace(
          one.image, share=k / (count - 1))) for k in range(count)]
