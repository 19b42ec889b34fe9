"""One picture in every kind of file that is read, with its right pixels.

    KINDS["png, 16 bits"]() -> (bytes, uint8 [24, 32, 3], tolerance)

The picture is smooth, so that a lossy file is near it too.
"""

import io
import struct
import zlib

import numpy as np
import PIL.Image

_Y, _X = np.mgrid[:24, :32]
RGB = np.stack([8 * _X, 10 * _Y, 255 - 4 * (_X + _Y)], -1).astype(np.uint8)
GREY = RGB[..., 0]
LEVELS16 = (GREY.astype(np.uint16) * 257)
ALPHA = np.where(_X < 16, 255, 51).astype(np.uint8)
LOSSY = 14
ORIENTATION = 0x0112


def grey(values):
  return np.stack([np.asarray(values)] * 3, -1).round().astype(np.uint8)


def over_white(pixels):
  alpha = ALPHA[..., np.newaxis] / 255
  return (pixels * alpha + 255 * (1 - alpha)).round().astype(np.uint8)


def saved(image, kind, **options):
  buffer = io.BytesIO()
  if isinstance(image, np.ndarray):
    image = PIL.Image.fromarray(image)
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def chunk(name, data):
  return (struct.pack(">I", len(data)) + name + data
          + struct.pack(">I", zlib.crc32(name + data)))


def png(values, depth, colour, before=b"", after=b""):
  """A PNG of unsigned values `[h, w]` or `[h, w, C]`, written by hand."""
  height, width = values.shape[:2]
  if depth < 8:
    rows = [np.packbits((row[:, np.newaxis] >> np.arange(depth)[::-1] & 1)
                        .astype(np.uint8)).tobytes() for row in values]
  else:
    rows = [row.astype(f">u{depth // 8}").tobytes() for row in values]
  pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
  return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
      ">IIBBBBB", width, height, depth, colour, 0, 0, 0)) + before
          + chunk(b"IDAT", pixels[:50]) + chunk(b"IDAT", pixels[50:]) + after
          + chunk(b"IEND", b""))


def tiff(data, width, height, bits, photometric=1, samples=1):
  """An uncompressed TIFF of one channel, written by hand."""
  entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1),
             (262, 3, photometric), (273, 4, 8), (277, 3, 1), (278, 4, height),
             (279, 4, len(data)), (339, 3, samples)]
  data += b"\0" * (len(data) % 2)
  out = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
  out += struct.pack("<H", len(entries))
  for tag, kind, value in entries:
    out += struct.pack("<HHI", tag, kind, 1) + (
        struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value))
  return out + bytes(4)


def exif(number):
  data = PIL.Image.Exif()
  data[ORIENTATION] = number
  return data


def stored(number, pixels=RGB):
  """The pixels as a file with this orientation stores them."""
  back = {1: lambda x: x, 2: np.fliplr, 3: lambda x: x[::-1, ::-1],
          4: np.flipud, 5: lambda x: x.swapaxes(0, 1),
          6: lambda x: np.rot90(x, 1), 7: lambda x: x[::-1, ::-1].swapaxes(
              0, 1), 8: lambda x: np.rot90(x, -1)}
  return np.ascontiguousarray(back[number](pixels))


def without_adobe(contents):
  """A JPEG without its Adobe segment."""
  start = contents.index(b"\xff\xee")
  size = int.from_bytes(contents[start + 2:start + 4], "big")
  return contents[:start] + contents[start + 2 + size:]


_CMYK = np.stack([RGB[..., 0], RGB[..., 1], RGB[..., 2], RGB[..., 0] // 4], -1)
_OF_CMYK = ((255. - _CMYK[..., :3]) * (255. - _CMYK[..., 3:]) / 255
            ).round().astype(np.uint8)
_PALETTE = PIL.Image.fromarray(RGB).quantize(64)
_OF_PALETTE = np.asarray(_PALETTE.convert("RGB"))
_TWELVE = (GREY.astype(np.uint16) << 4) | (GREY >> 4)
_RGBA = np.dstack([RGB, ALPHA])
_LA = np.dstack([GREY, ALPHA])
XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
       b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>')


def _packed12(values):
  flat = values.reshape(-1, 2).astype(int)
  return np.stack([flat[:, 0] >> 4, (flat[:, 0] & 15) << 4 | flat[:, 1] >> 8,
                   flat[:, 1] & 255], 1).astype(np.uint8).tobytes()


def _cmyk(**options):
  return saved(PIL.Image.fromarray(_CMYK, "CMYK"), **options)


KINDS = {
    "png": lambda: (saved(RGB, "PNG"), RGB, 0),
    "png, grey": lambda: (saved(GREY, "PNG"), grey(GREY), 0),
    "png, 2 bits": lambda: (png(GREY >> 6, 2, 0), grey((GREY >> 6) * 85), 0),
    "png, 1 bit": lambda: (png(GREY >> 7, 1, 0), grey((GREY >> 7) * 255.), 0),
    "png, 16 bits": lambda: (png(LEVELS16, 16, 0), grey(GREY), 1),
    "png, 16 bits, clear grey": lambda: (
        png(LEVELS16, 16, 0, chunk(b"tRNS", struct.pack(">H", 257 * 80))),
        grey(np.where(GREY == 80, 255, GREY)), 1),
    "png, 16 bits, colour": lambda: (
        png(RGB.astype(np.uint16) * 257, 16, 2), RGB, 1),
    "png, 16 bits, alpha": lambda: (
        png(_RGBA.astype(np.uint16) * 257, 16, 6), over_white(RGB), 1),
    "png, 16 bits, grey and alpha": lambda: (
        png(_LA.astype(np.uint16) * 257, 16, 4), over_white(grey(GREY)), 1),
    "png, alpha": lambda: (saved(_RGBA, "PNG"), over_white(RGB), 1),
    "png, grey and alpha": lambda: (
        saved(PIL.Image.fromarray(_LA, "LA"), "PNG"),
        over_white(grey(GREY)), 1),
    "png, palette": lambda: (saved(_PALETTE, "PNG"), _OF_PALETTE, 0),
    "png, palette, clear": lambda: (
        saved(_PALETTE, "PNG", transparency=5),
        np.where(np.asarray(_PALETTE)[..., None] == 5, 255, _OF_PALETTE), 0),
    "png, clear colour": lambda: (
        saved(RGB, "PNG", transparency=tuple(map(int, RGB[3, 4]))),
        np.where((RGB == RGB[3, 4]).all(-1, keepdims=True), 255, RGB), 0),
    "png, XMP says 6": lambda: (png(RGB, 8, 2, chunk(
        b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)), RGB, 0),
    "jpeg": lambda: (saved(RGB, "JPEG", quality=95), RGB, LOSSY),
    "jpeg, progressive": lambda: (
        saved(RGB, "JPEG", quality=95, progressive=True), RGB, LOSSY),
    "jpeg, grey": lambda: (saved(GREY, "JPEG", quality=95), grey(GREY), LOSSY),
    "jpeg, not YCbCr": lambda: (
        saved(RGB, "JPEG", quality=95, keep_rgb=True), RGB, LOSSY),
    "jpeg, CMYK": lambda: (_cmyk(kind="JPEG", quality=95), _OF_CMYK, LOSSY),
    "jpeg, CMYK without Adobe's segment": lambda: (
        without_adobe(saved(PIL.Image.fromarray(255 - _CMYK, "CMYK"), "JPEG",
                            quality=95)), _OF_CMYK, LOSSY),
    "jpeg, XMP says 6": lambda: (
        saved(RGB, "JPEG", quality=95, xmp=XMP), RGB, LOSSY),
    "jpeg of a stereo camera": lambda: (
        saved(PIL.Image.fromarray(RGB), "MPO", quality=95, save_all=True,
              append_images=[PIL.Image.fromarray(RGB[::-1])]), RGB, LOSSY),
    "webp": lambda: (saved(RGB, "WEBP", lossless=True), RGB, 0),
    "webp, alpha": lambda: (saved(_RGBA, "WEBP", lossless=True, exact=True),
                            over_white(RGB), 1),
    "avif": lambda: (saved(RGB, "AVIF", quality=100), RGB, LOSSY),
    "bmp": lambda: (saved(RGB, "BMP"), RGB, 0),
    "gif": lambda: (saved(_PALETTE, "GIF"), _OF_PALETTE, 0),
    "ppm": lambda: (saved(RGB, "PPM"), RGB, 0),
    "pgm, 16 bits": lambda: (
        b"P5 32 24 65535\n" + LEVELS16.astype(">u2").tobytes(), grey(GREY), 0),
    "pgm, 12 bits": lambda: (
        b"P5 32 24 4095\n" + _TWELVE.astype(">u2").tobytes(), grey(GREY), 1),
    "jpeg 2000": lambda: (saved(RGB, "JPEG2000"), RGB, 1),
    "jpeg 2000, 16 bits": lambda: (
        saved(LEVELS16, "JPEG2000"), grey(GREY), 1),
    "tiff": lambda: (saved(RGB, "TIFF", compression="tiff_lzw"), RGB, 0),
    "tiff, CMYK": lambda: (_cmyk(kind="TIFF"), _OF_CMYK, 1),
    "tiff, alpha": lambda: (saved(_RGBA, "TIFF"), over_white(RGB), 1),
    "tiff, 16 bits": lambda: (saved(LEVELS16, "TIFF"), grey(GREY), 0),
    "tiff, 16 bits, 0 is white": lambda: (
        tiff((65535 - LEVELS16).astype("<u2").tobytes(), 32, 24, 16, 0),
        grey(GREY), 0),
    "tiff, 12 bits": lambda: (
        tiff(_packed12(_TWELVE), 32, 24, 12), grey(GREY), 0),
    "tiff, 8 bits, 0 is white": lambda: (
        tiff((255 - GREY).tobytes(), 32, 24, 8, 0), grey(GREY), 0),
}
for _n in range(1, 9):
  KINDS |= {
      f"png, orientation {_n}": lambda n=_n: (
          saved(stored(n), "PNG", exif=exif(n)), RGB, 0),
      f"png, orientation {_n} behind the pixels": lambda n=_n: (
          png(stored(n), 8, 2, after=chunk(b"eXIf", exif(n).tobytes()[6:])),
          RGB, 0),
      f"jpeg, orientation {_n}": lambda n=_n: (
          saved(stored(n), "JPEG", quality=95, exif=exif(n)), RGB, LOSSY),
      f"tiff, orientation {_n}": lambda n=_n: (
          saved(stored(n), "TIFF", exif=exif(n)), RGB, 0),
      f"webp, orientation {_n}": lambda n=_n: (
          saved(stored(n), "WEBP", lossless=True, exif=exif(n)), RGB, 0)}

# What cannot be read rightly: the file, and a word of the reason.
_DEEP = png(RGB.astype(np.uint16) * 257, 16, 2, chunk(
    b"tRNS", struct.pack(">HHH", *(257 * RGB[3, 4].astype(int)))))
REFUSED = {
    "float": lambda: (saved(GREY.astype(np.float32) / 255, "TIFF"), "32 bits"),
    "32 bits": lambda: (
        saved(GREY.astype(np.int32), "TIFF"), "32 bits, signed"),
    "signed": lambda: (
        tiff(GREY.astype("<i2").tobytes(), 32, 24, 16, 1, 2), "signed"),
    "16-bit colours with a clear one": lambda: (_DEEP, "alpha channel"),
    "HEIC": lambda: (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
    "Git LFS": lambda: (
        b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "web page": lambda: (b"<!DOCTYPE html><html>", "a web page"),
    "empty": lambda: (b"", "an empty file"),
}
