"""A picture file as RGB, the one decoding of training, explain and predict.

`serving.image_ops.decode` repeats it in a graph for JPEG and PNG; a table of
kinds in tests/decoding_test.py holds both to one right value.

    container    `FORMATS`, told by the content, whatever the file is called
    frames       the first frame or page; `several` tells that there are more
    orientation  that of the EXIF data (not of XMP, as in browsers)
    depth        16 bits scaled to 8; 32 bits and floats are refused, because
                 nothing says which value is white
    colour       grey, palette and CMYK become RGB; a colour profile is not
                 applied
    alpha        over white
"""

import io

import numpy as np
import PIL.Image
import PIL.ImageChops
import simplejpeg

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF",
           "WEBP")
_ORIENTATION = 0x0112
_TURNS = {2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
          3: PIL.Image.Transpose.ROTATE_180,
          4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
          5: PIL.Image.Transpose.TRANSPOSE,
          6: PIL.Image.Transpose.ROTATE_270,
          7: PIL.Image.Transpose.TRANSVERSE,
          8: PIL.Image.Transpose.ROTATE_90}
# What begins files that are called pictures and are none.
_KNOWN = ((b"version https://git-lfs", "a pointer of Git LFS; git lfs pull "
           "gets the picture"),
          (b"<!doctype html", "a web page"), (b"<html", "a web page"),
          (b"%pdf", "a PDF document"), (b"<svg", "an SVG drawing"))
# The warnings of libjpeg that say that pixels are not as they were.
_NO_END = "Premature end"
_END_OF_PNG = b"IEND\xaeB`\x82"
_WARNINGS = (_NO_END, "Corrupt JPEG", "Inconsistent progression",
             "Invalid SOS", "Unsupported marker")
_BITS, _PHOTOMETRIC, _SAMPLES = 258, 262, 339  # tags of TIFF


def open_image(file):
  """Opens a picture; only its header is read.

  Args:
    file: path or file object.
  Returns:
    a `PIL.Image.Image`.
  Raises:
    ValueError: the content is no picture of `FORMATS`.
    OSError: the file cannot be read.
  """
  PIL.Image.init()
  known = [name for name in FORMATS if name in PIL.Image.OPEN]
  try:
    return PIL.Image.open(file, formats=known)
  except PIL.UnidentifiedImageError as error:
    raise ValueError(_what_it_is(file)) from error


def _what_it_is(file):
  """Why a file is no picture."""
  if isinstance(file, io.IOBase):
    file.seek(0)
    head = file.read(64)
  else:
    with open(file, "rb") as opened:
      head = opened.read(64)
  if not head:
    return "an empty file"
  if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif"):
    return "HEIC, which is not read here; save it as JPEG"
  kind = next((kind for start, kind in _KNOWN
               if head.lstrip().lower().startswith(start)), "")
  return kind or f"cannot identify a picture of {', '.join(FORMATS)}"


def rgb(file):
  """A picture file as uint8 `[height, width, 3]`, see the top of this file.

  Args:
    file: path or file object.
  Raises:
    ValueError, OSError and others: the file is no picture, or one that cannot
      be read rightly.
  """
  check_sums(file)
  with open_image(file) as image:
    return np.asarray(to_rgb(image))


def check_sums(file):
  """Refuses a PNG with wrong check sums, and a PNG or JPEG without its end.

  PIL decodes such a file to other pixels without a word.

  Args:
    file: path or file object.
  Raises:
    ValueError, OSError, SyntaxError: the file is broken or no picture.
  """
  with open_image(file) as image:
    kind = image.format
    if kind == "PNG":
      image.verify()
      if _END_OF_PNG not in _content(file):
        raise ValueError("broken PNG file (without its end)")
  # What follows the end of a JPEG, zeros or a camera's own data, is no fault.
  if kind in ("JPEG", "MPO") and not _content(file).rstrip(b"\0").endswith(
      b"\xff\xd9"):
    warning = damage(file)
    if warning.startswith(_NO_END):
      raise ValueError(warning)
  if isinstance(file, io.IOBase):
    file.seek(0)


def _content(file):
  """The bytes of a file."""
  if isinstance(file, io.IOBase):
    file.seek(0)
    return file.read()
  with open(file, "rb") as opened:
    return opened.read()


def damage(file):
  """What libjpeg warns of while it decodes a JPEG; "" if of nothing.

  PIL decodes such a file without a word, with grey or shifted parts. A JPEG has
  no check sum: of single bits that are wrong, most draw no warning.

  Args:
    file: path or file object.
  """
  content = _content(file)
  if not content.startswith(b"\xff\xd8\xff"):
    return ""
  try:
    simplejpeg.decode_jpeg(content, strict=True)
  except ValueError as error:  # CMYK too, which it does not convert
    if str(error).startswith(_WARNINGS):
      return str(error)
  return ""


def to_rgb(image):
  """A PIL image as RGB, the way up that its EXIF data say."""
  # 16-bit colours: PIL keeps the upper bytes and the transparent colour whole.
  deep = any(";16" in str(part) for part in getattr(image, "tile", ()))
  image.load()
  clear = image.info.get("transparency")
  if deep and isinstance(clear, tuple):
    raise ValueError("a transparent colour among 16-bit colours; save it with "
                     "an alpha channel")
  number = orientation(image)
  if image.mode == "CMYK" and image.format in ("JPEG", "MPO") and (
      "adobe" not in image.info):
    image = PIL.ImageChops.invert(image)  # PIL takes it for Adobe's, inverted
  tags = getattr(image, "tag_v2", None) or {}
  if image.mode == "F" or image.format == "TIFF" and (
      any(b > 16 for b in tags.get(_BITS, ()))
      or any(s not in (1, 4) for s in tags.get(_SAMPLES, ()))):
    raise ValueError("pixels of 32 bits, signed or floating point, whose "
                     "white is unknown; save them with 8 or 16 bits")
  if image.mode.startswith("I"):
    image = _shallow(image, tags, clear)
  elif image.mode in ("RGBA", "LA", "PA") or clear is not None:
    image = image.convert("RGBA")
    white = PIL.Image.new("RGBA", image.size, "white")
    image = PIL.Image.alpha_composite(white, image)
  if number in _TURNS:
    image = image.transpose(_TURNS[number])
  return image.convert("RGB")


def _shallow(image, tags, clear):
  """Grey levels of up to 16 bits as an 8-bit image."""
  stored = np.asarray(image, np.float64)
  levels = stored * 255 / (2 ** max(tags.get(_BITS, (16,))) - 1)
  if tags.get(_PHOTOMETRIC) == 0:  # 0 is white
    levels = 255 - levels
  if clear is not None:
    levels = np.where(stored == clear, 255, levels)
  return PIL.Image.fromarray(levels.clip(0, 255).round().astype(np.uint8))


def orientation(image):
  """The EXIF orientation that is left to apply, 1 to 8.

  PIL turns a TIFF itself, and reports the size that it has then.
  """
  if image.format == "TIFF":
    return 1
  if image.format == "PNG" and "exif" not in image.info:
    image.load()  # it may stand after the pixels
  exif = PIL.Image.Exif()
  try:
    exif.load(image.info.get("exif"))
    number = exif.get(_ORIENTATION, 1)
  except Exception:  # damaged EXIF data: as if there were none
    number = 1
  return number if number in _TURNS else 1


def upright_size(image):
  """Width and height of a PIL image, rotated as its EXIF data require."""
  width, height = image.size
  return (height, width) if orientation(image) > 4 else (width, height)


def several(image):
  """Whether a PIL image has frames or pages after the first."""
  # The further pictures of a camera's JPEG (MPO) are views of the first.
  return image.format != "MPO" and getattr(image, "is_animated", False)
