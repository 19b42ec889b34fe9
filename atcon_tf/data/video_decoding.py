"""Frames of a video file by the seconds of its time stamps, by PyAV.

    stamps     a frame is shown from its own time stamp to that of the next
    rotation   that of the container's display matrix is applied
    damage     a packet that does not decode, or of which the decoder makes no
               frame, is lost; so is what a file that was cut off lacks

One frame at a time is in memory.
"""

import contextlib

import av
import numpy as np

# Time stamps are rounded; a frame this close to a second counts as shown then.
_CLOSE = 5e-4
# A header's length is that of the longest stream; beyond it a file is cut off.
_MISSING = 0.5
# A mean rate above it is a container's default and no rate.
_FASTEST = 500


@contextlib.contextmanager
def opened(path):
  """A video file as PyAV's container and stream.

  Raises:
    ValueError: the file has no video stream.
  """
  try:
    container = av.open(path)
  except av.FFmpegError as error:
    raise ValueError(f"no video, or cut off at 0 s ({error.strerror})"
                     ) from None
  with container:
    if not container.streams.video:
      raise ValueError("no video stream, only audio" if container.streams.audio
                       else "no video stream; perhaps it is cut off at 0 s")
    yield container, container.streams.video[0]


def length_and_rate(path):
  """Seconds of a video file, and its mean frames a second.

  They are those of its header or, where that is silent, of its packets.

  Raises:
    ValueError: see `opened`; or the file has no packet.
  """
  with opened(path) as (container, stream):
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    seconds = _header_seconds(container, stream)
    if seconds and 0 < rate <= _FASTEST:
      return seconds, rate
    count, end = 0, 0.0
    for packet in container.demux(stream):
      if packet.pts is not None:
        count, end = count + 1, max(end, _end(packet, stream))
    if not count:
      raise ValueError("holds no frame (0 s)")
    seconds = seconds or end or 1 / _FASTEST
    return seconds, count / seconds


def _header_seconds(container, stream):
  """The length in a file's header; 0: it is silent."""
  if stream.duration:
    return float(stream.duration * stream.time_base)
  try:  # of Matroska and WebM: "00:00:01.500000000"
    hours, minutes, seconds = stream.metadata["DURATION"].split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
  except (KeyError, ValueError):
    return (container.duration or 0) / 1e6


def _second(stamp, stream):
  """The second of a time stamp; the stream's first frame is at 0."""
  return float((stamp - (stream.start_time or 0)) * stream.time_base)


def _end(packet, stream):
  """The second at which the frame of a packet ends."""
  return _second(packet.pts + (packet.duration or 0), stream)


def frames(path, seconds, length, lost):
  """Yields the frames shown at some seconds, uint8 `[H, W, 3]`.

  Args:
    path: of the file.
    seconds: ascending list of floats.
    length: of the file in seconds, by its header.
    lost: list that gets the seconds whose frames were replaced, by the nearest
      earlier ones or, where there is none, by the first.
  Raises:
    ValueError: no frame decodes, or the frames change their size.
  """
  wanted = list(seconds)
  size, pixels, shown = None, None, None
  for time, frame, missing in _timeline(path, wanted[0], length):
    # All that is wanted before `time` is what was shown until then.
    while wanted and shown and wanted[0] < time - _CLOSE:
      second = wanted.pop(0)
      since, image = shown
      if any(since < m <= second + _CLOSE for m in missing) or (
          second < since - _CLOSE):
        lost.append(second)
      if pixels is None or pixels[0] is not image:
        size = check_size(size, (image.width, image.height), second)
        pixels = image, _rgb(image)
      yield pixels[1]
    if not wanted:
      return
    if frame is not None:
      shown = time, frame
  raise ValueError("no frame decodes between {:.2f} s and {:.2f} s".format(
      seconds[0], seconds[-1]))


def check_size(before, now, second):
  """Refuses a frame of another size; sizes are (width, height).

  Args:
    before: of the frames before; None: there was none.
    now: of this frame.
    second: of this frame.
  Returns:
    `now`.
  """
  if before not in (None, now):
    raise ValueError("changes its size from {}x{} to {}x{} at {:.2f} s".format(
        *before, *now, second))
  return now


def _rgb(frame):
  """A frame of PyAV the way up that its container says, uint8 `[H, W, 3]`."""
  # The display matrix turns counterclockwise, as NumPy does.
  return np.ascontiguousarray(np.rot90(
      frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def _timeline(path, first, length):
  """Yields `(second, frame, seconds lost so far)`; at the end no frame.

  Args:
    path: of the file.
    first: the first second that is wanted; frames begin there or before, if
      the file has any.
    length: see `frames`.
  """
  with opened(path) as (container, stream):
    found = _decoded(container, stream, first, length)
    start = next(found)
    if start[0] <= first + _CLOSE:
      yield start
      yield from found
      return
  # The index led too far, or there is none.
  with opened(path) as (container, stream):
    yield from _decoded(container, stream, 0, length)


def _decoded(container, stream, first, length):
  """As `_timeline`, from the key frame before `first` if there is an index."""
  if first > 0:
    with contextlib.suppress(av.FFmpegError):
      container.seek((stream.start_time or 0) + int(first / stream.time_base),
                     stream=stream)
  waiting, missing, end = set(), set(), 0.0

  def lose(before):
    late = {s for s in waiting if s < before - _CLOSE}
    waiting.difference_update(late)
    missing.update(late)

  packets = container.demux(stream)
  while True:
    try:
      packet = next(packets)
    except (StopIteration, av.FFmpegError):  # the latter where it is cut off
      break
    if packet.pts is not None:
      waiting.add(_second(packet.pts, stream))
      end = max(end, _end(packet, stream))
    try:
      made = packet.decode()
    except av.FFmpegError:
      made = ()
    for frame in made:
      if frame.pts is None:
        continue
      time = _second(frame.pts, stream)
      lose(time)
      waiting.discard(time)
      if frame.is_corrupt:
        missing.add(time)
      else:
        yield time, frame, missing
  lose(np.inf)
  if end + _MISSING < length:
    missing.add(end)
  yield np.inf, None, missing
