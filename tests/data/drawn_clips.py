"""Video files and folders of frames whose frames tell their number."""

import fractions
import pathlib
import random
import struct

import av
import numpy as np
import PIL.Image

SIZE = (48, 32)  # width and height


def picture(number, size=SIZE):
  """Frame `number`, at most 22: grey of that level, with a bright corner."""
  image = np.full([size[1], size[0], 3], 15 + 10 * number, np.uint8)
  image[:8, :8] = 255  # at the top left
  return image


def number_of(frame):
  """The number that a frame tells."""
  return round((float(np.median(frame)) - 15) / 10)


def numbers(frames):
  """The numbers that frames tell."""
  return [number_of(f) for f in frames]


def write(path, times, codec="libx264", size=SIZE, key_every=5, damaged=(),
          first=0):
  """Writes a video file; returns its path as text.

  Args:
    path: of the file.
    times: the second of each frame.
    codec: of FFmpeg.
    size: width and height.
    key_every: frames between key frames.
    damaged: numbers of packets whose bytes are replaced by noise.
    first: number that the first frame tells.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  tick = fractions.Fraction(1, 1000)
  with av.open(str(path), "w") as container:
    stream = container.add_stream(codec, rate=10)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.gop_size = key_every
    stream.codec_context.time_base = tick
    stream.codec_context.max_b_frames = 0
    packets = []
    for n, time in enumerate(times):
      frame = av.VideoFrame.from_ndarray(picture(first + n, size), "rgb24")
      frame.pts, frame.time_base = round(1000 * time), tick
      packets += stream.encode(frame)
    for n, packet in enumerate([*packets, *stream.encode()]):
      container.mux(_noise(packet) if n in damaged else packet)
  return str(path)


def of_two_sizes(path):
  """Writes six frames, a tenth apart, of which the last three are smaller."""
  tick, small = fractions.Fraction(1, 10), (SIZE[0] // 2, SIZE[1] // 2)
  with av.open(str(path), "w") as container:
    stream = container.add_stream("mjpeg", rate=10)
    other = av.CodecContext.create("mjpeg", "w")
    for encoder, size in ((stream.codec_context, SIZE), (other, small)):
      encoder.width, encoder.height = size
      encoder.pix_fmt, encoder.time_base = "yuvj420p", tick
    for n in range(6):
      encoder, size = (stream, SIZE) if n < 3 else (other, small)
      frame = av.VideoFrame.from_ndarray(picture(n, size), "rgb24")
      for packet in encoder.encode(frame.reformat(format="yuvj420p")):
        packet.pts = packet.dts = n
        packet.time_base, packet.stream = tick, stream
        container.mux(packet)
  return str(path)


def nothing(path):
  """Writes a video file without a frame."""
  with av.open(str(path), "w") as container:
    stream = container.add_stream("mpeg4", rate=10)
    stream.width, stream.height = SIZE
    container.start_encoding()
  return str(path)


def _noise(packet):
  """The packet with noise behind its first bytes."""
  rng, data = random.Random(0), bytearray(bytes(packet))
  for i in range(8, len(data)):
    data[i] = rng.randrange(256)
  new = av.Packet(bytes(data))
  for name in ("pts", "dts", "time_base", "stream", "duration",
               "is_keyframe"):
    setattr(new, name, getattr(packet, name))
  return new


def tenths(count):
  """`count` times, a tenth of a second apart."""
  return [n / 10 for n in range(count)]


def rotate(path):
  """Tells players of an MP4 to turn it clockwise, as phones do."""
  data = pathlib.Path(path).read_bytes()
  start = data.index(b"tkhd") + 4 + 4 + 20 + 16  # of the display matrix
  one = 1 << 16
  matrix = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
  pathlib.Path(path).write_bytes(data[:start] + matrix + data[start + 36:])


def audio(path):
  """Writes a file with sound alone."""
  with av.open(str(path), "w") as container:
    stream = container.add_stream("aac", rate=16000, layout="mono")
    frame = av.AudioFrame.from_ndarray(
        np.zeros([1, 1024], np.float32), "fltp", "mono")
    frame.rate = 16000
    for packet in [*stream.encode(frame), *stream.encode()]:
      container.mux(packet)
  return str(path)


def folder(path, count, first=0):
  """Writes a folder of frames 1.png, 2.png, ...; returns its path."""
  path = pathlib.Path(path)
  path.mkdir(parents=True)
  for n in range(count):
    PIL.Image.fromarray(picture(first + n)).save(path / f"{n + 1}.png")
  return str(path)
