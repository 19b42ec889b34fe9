"""Which way up a picture stands, read and put right in a TensorFlow graph.

A phone stores a picture as its sensor lies, and writes into the EXIF data how
to turn the picture. TensorFlow's decoders ignore that tag. A served model must
read it, or it sees another picture than the network was trained on.

EXIF 2.3 (CIPA DC-008): the APP1 segment of a JPEG that begins with "Exif", or
the eXIf chunk of a PNG, holds a TIFF header and a directory of entries of 12
bytes; tag 0x0112 is the orientation:

    1 as it is   2 mirrored        3 upside down    4 both
    5 to 8: the same after rows and columns have changed places
"""

import functools

import tensorflow as tf

_HEAD = 1 << 17  # The segment precedes the pixels and has at most 64 kB.
_SEGMENTS = 64
_CHUNKS = 1 << 16
_ENTRIES = 256
_TAG = 0x0112


def orientation(contents):
  """The orientation of a JPEG or PNG, int64 in 1..8; 1 if the file gives none.

  Args:
    contents: string scalar, the bytes of the file. For damaged bytes, too, the
      answer is one of the eight.

  Example:
    upright = turn(tf.io.decode_jpeg(contents), orientation(contents))
  """
  png = tf.equal(tf.strings.substr(contents, 0, 4), b"\x89PNG")
  head = tf.where(png, contents, tf.strings.substr(contents, 0, _HEAD))
  number = functools.partial(_number, tf.io.decode_raw(head + b"\0", tf.uint8))
  tiff, end = tf.cond(png, lambda: _in_png(number), lambda: _in_jpeg(number))
  big = number(tiff, 2, True) == int.from_bytes(b"MM", "big")
  directory = tiff + number(tiff + 4, 4, big)
  count = tf.minimum(number(directory, 2, big), _ENTRIES)
  entries = directory + 2 + 12 * tf.range(count)
  entries = tf.boolean_mask(entries, entries + 12 <= end)
  noted = tf.boolean_mask(number(entries + 8, 2, big),
                          number(entries, 2, big) == _TAG)[:1]
  found = (end > 0) & (tf.size(noted) == 1)
  value = tf.reduce_sum(noted)
  return tf.where(found & (value >= 1) & (value <= 8), value, 1)


def _number(data, at, count, big):
  """Unsigned integers of `count` bytes at places `at`; 0 beyond the end."""
  place = tf.expand_dims(at, -1) + tf.range(count, dtype=tf.int64)
  known = tf.logical_and(place >= 0, place < tf.size(data, tf.int64))
  value = tf.gather(data, tf.where(known, place, 0))
  value = tf.where(known, tf.cast(value, tf.int64), 0)
  power = 256 ** tf.range(count, dtype=tf.int64)
  return tf.reduce_sum(
      value * tf.where(big, tf.reverse(power, [0]), power), -1)


def _in_jpeg(number):
  """Where the TIFF header of a JPEG begins, and its segment ends; or 0."""
  def is_exif(at):
    return (number(at, 2, True) == 0xFFE1) & (
        number(at + 4, 6, True) == int.from_bytes(b"Exif\0\0", "big"))

  def goes_on(at):
    marker = number(at, 2, True)
    # The pixels begin at 0xFFDA.
    return (marker > 0xFF00) & (marker != 0xFFDA) & ~is_exif(at)

  at, = tf.while_loop(
      goes_on, lambda at: (at + 2 + number(at + 2, 2, True),),
      (tf.constant(2, tf.int64),), maximum_iterations=_SEGMENTS)
  end = at + 2 + number(at + 2, 2, True)
  return at + 10, tf.where(is_exif(at), end, 0)


def _in_png(number):
  """Where the TIFF header of a PNG begins, and its chunk ends; or 0.

  The chunk may stand after those of the pixels.
  """
  def kind(at):
    return number(at + 4, 4, True)

  exif = int.from_bytes(b"eXIf", "big")
  at, = tf.while_loop(
      lambda at: (kind(at) > 0) & (kind(at) != exif),
      lambda at: (at + 12 + number(at, 4, True),),
      (tf.constant(8, tf.int64),), maximum_iterations=_CHUNKS)
  end = at + 8 + number(at, 4, True)
  return at + 8, tf.where(kind(at) == exif, end, 0)


def turn(pixels, orientation):
  """A picture `[h, w, channels]` the way up that its orientation says."""
  def when(numbers, change):
    return lambda x: tf.cond(
        tf.reduce_any(orientation == tf.constant(numbers, tf.int64)),
        lambda: change(x), lambda: x)

  for step in (when([5, 6, 7, 8], lambda x: tf.transpose(x, [1, 0, 2])),
               when([2, 3, 6, 7], lambda x: tf.reverse(x, [1])),
               when([3, 4, 7, 8], lambda x: tf.reverse(x, [0]))):
    pixels = step(pixels)
  return pixels
