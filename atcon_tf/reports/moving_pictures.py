"""Clips that play: maps over frames, with the evidence over time below.

    frames = moving_pictures.overlays(clip, heat)
    frames = moving_pictures.with_curve(frames, evidence, seconds, "run 92%")

The curve is bright up to the frame that is shown.
"""

import fractions
import io

import av
import matplotlib
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from atcon_tf.config.names import COLORMAP
from atcon_tf.config import UserError
from atcon_tf.reports.figures import contact_sheets
from atcon_tf.reports.figures import lettering

# The widths, in pixels, to which smaller and larger frames are resized.
NARROW, WIDE = 320, 640
_GROUND, _SOFT, _INK = (18, 18, 22), (70, 70, 80), (240, 240, 240)
_H264 = "libx264"  # FFmpeg's encoder
_FINE = 2  # the curve is drawn so many times as large, and shrunk


def overlays(clip, light, colormap=COLORMAP, alpha=0.6):
  """A map over every frame.

  Args:
    clip: list of uint8 `[height, width, 3]`.
    light: list of `[height, width]` in [0, 1].
    colormap, alpha: see `contact_sheets.overlay`.
  Returns:
    list of uint8 `[height, width, 3]`.
  """
  return [contact_sheets.overlay(frame, np.clip(one, 0, 1), colormap, alpha)
          for frame, one in zip(clip, light)]


def fitted(frames):
  """Frames whose width is from NARROW to WIDE pixels, with even sides."""
  height, width = frames[0].shape[:2]
  new = min(max(width, NARROW), WIDE)
  size = new - new % 2, max(2, 2 * round(height * new / width / 2))
  if size == (width, height):
    return frames
  return [np.asarray(PIL.Image.fromarray(f).resize(
      size, PIL.Image.Resampling.BICUBIC)) for f in frames]


def with_curve(frames, values, seconds, text, colormap=COLORMAP):
  """Frames with a curve over time below each, a mark at the frame's second.

  Args:
    frames: list of T uint8 `[height, width, 3]`.
    values: `[T]` in [0, 1].
    seconds: `[T]`, ascending.
    text: stands above the curve, beside the second.
    colormap: of matplotlib; the curve has one of its colours.
  Returns:
    list of T uint8 `[height + panel, width, 3]`, resized by `fitted`.
  """
  frames = fitted(frames)
  width = frames[0].shape[1]
  line = max(13, width // 24)
  size = _FINE * width, _FINE * (3 * line + line // 2)
  font = PIL.ImageFont.truetype(lettering.font_file(text), _FINE * (line - 3))
  color = tuple(int(255 * v) for v in matplotlib.colormaps[colormap](.65)[:3])
  begin, span = seconds[0], max(seconds[-1] - seconds[0], 1e-6)
  margin, top = _FINE * 8, _FINE * line * 1.25
  low = size[1] - _FINE * 7
  points = [(margin + (s - begin) / span * (size[0] - 2 * margin),
             low - v * (low - top)) for s, v in zip(seconds, values)]
  found = []
  for t, frame in enumerate(frames):
    panel = PIL.Image.new("RGB", size, _GROUND)
    pen = PIL.ImageDraw.Draw(panel)
    _area(pen, points, low, _SOFT)
    _area(pen, points[:t + 1], low, color)
    x, y = points[t]
    pen.line([(x, top), (x, low)], _INK, _FINE)
    r = _FINE * 3
    pen.ellipse([x - r, y - r, x + r, y + r], _INK)
    pen.text((margin, _FINE * 2), text, _INK, font)
    pen.text((size[0] - margin, _FINE * 2), f"{seconds[t]:.2f} s", _INK, font,
             anchor="ra")
    small = panel.resize((width, size[1] // _FINE),
                         PIL.Image.Resampling.LANCZOS)
    found.append(np.concatenate([frame, np.asarray(small)]))
  return found


def _area(pen, points, low, color):
  """The area between a curve and the line at `low`, and the curve."""
  dim = tuple(c * 3 // 5 for c in color)
  if len(points) > 1:
    pen.polygon([(points[0][0], low), *points, (points[-1][0], low)], dim)
    pen.line(points, color, 2 * _FINE)


def gif(frames, seconds=.15):
  """Frames as the bytes of an animated GIF; each is shown `seconds`."""
  first, *rest = [PIL.Image.fromarray(frame) for frame in frames]
  buffer = io.BytesIO()
  first.save(buffer, "GIF", save_all=True, append_images=rest, loop=0,
             duration=round(1000 * seconds))
  return buffer.getvalue()


def mp4(frames, seconds=.15):
  """Frames as the bytes of an MP4 in H.264; each is shown `seconds`.

  Colour has half the resolution there: an odd side loses its last pixels.
  """
  height, width = (n - n % 2 for n in frames[0].shape[:2])
  rate = fractions.Fraction(1 / seconds).limit_denominator(1000)
  buffer = io.BytesIO()
  with av.open(buffer, "w", format="mp4") as container:
    stream = container.add_stream(_H264, rate, {"crf": "18"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    for frame in frames:
      container.mux(stream.encode(av.VideoFrame.from_ndarray(
          np.ascontiguousarray(frame[:height, :width]), "rgb24")))
    container.mux(stream.encode())
  return buffer.getvalue()


def check_mp4():
  """Refuses `mp4` where PyAV was built without an encoder of H.264."""
  if _H264 not in av.codecs_available:
    raise UserError("video_format", "mp4", f"needs a PyAV with {_H264}, as pip "
                    "installs it; or use gif")


def side_by_side(clips):
  """Several clips as one: a list of frames, each a row of theirs.

  Args:
    clips: list of lists of T uint8 `[height, width, 3]`, all of one size.
  """
  gap = np.full([clips[0][0].shape[0], 4, 3], 255, np.uint8)
  return [np.concatenate([part for one in row for part in (one, gap)][:-1], 1)
          for row in zip(*clips)]
