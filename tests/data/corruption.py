"""Ten ways in which files of pictures are broken."""

import pickle
import struct
import zlib


def _chunk(kind, content):
  return struct.pack(">I", len(content)) + kind + content + struct.pack(
      ">I", zlib.crc32(kind + content))


# A picture of 30000 x 30000 pixels in a hundred bytes.
BOMB = b"\x89PNG\r\n\x1a\n" + _chunk(
    b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)) + _chunk(
        b"IDAT", zlib.compress(bytes(99))) + _chunk(b"IEND", b"")
WAYS = {
    "empty": lambda content, rng: b"",
    "half": lambda content, rng: content[:rng.integers(20, len(content) // 2)],
    "header": lambda content, rng: content[:rng.integers(1, 12)],
    "zero_head": lambda content, rng: bytes(24) + content[24:],
    "zero_tail": lambda content, rng: content[:len(content) // 2] + bytes(
        len(content) - len(content) // 2),
    "noise": lambda content, rng: rng.bytes(len(content)),
    "page": lambda content, rng: b"<!DOCTYPE html><html>404</html>",
    "pointer": lambda content, rng: (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    "pickle": lambda content, rng: pickle.dumps(list(content)),
    "bomb": lambda content, rng: BOMB,
}


def _sector(content, rng):
  """512 bytes of zeros in the second half, as of a lost sector."""
  at = rng.integers(len(content) // 2, max(len(content) - 600,
                                           len(content) // 2 + 1))
  return content[:at] + bytes(512) + content[at + 512:]


def _bit(content, rng):
  """One bit is wrong."""
  at = rng.integers(len(content) // 2, len(content) - 2)
  return (content[:at] + bytes([content[at] ^ 1 << rng.integers(8)])
          + content[at + 1:])


# Damage of which a JPEG, which has no check sum, may show nothing.
HIDDEN = {"lost_sector": _sector, "wrong_bit": _bit}
