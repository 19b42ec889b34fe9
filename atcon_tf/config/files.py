"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import pathlib

from atcon_tf.config.errors import UserError

# What a person can put right: the disk, rights, and what stands in the way.
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES,
                errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


def check_file(name, path):
  """Refuses a path that no file can be written to, before the work is done."""
  path = pathlib.Path(path)
  if path.is_dir():
    raise UserError(name, path, "is a folder; must be a file")
  check_folder(name, path.parent)


def check_folder(name, path):
  """Refuses a path that cannot be a folder, before the work is done."""
  for one in (path, *path.parents):
    if one.exists() and not one.is_dir():
      raise UserError(name, path, f"{one} is a file, not a folder")


def printable(text):
  """Text with what is not UTF-8 in a file's name written as an escape."""
  return str(text).encode("utf-8", "backslashreplace").decode()


def lines(name, path):
  """The lines of a UTF-8 text file that the setting `name` names.

  Raises:
    UserError: it cannot be read.
  """
  try:
    with open(path, encoding="utf-8-sig") as file:
      return file.read().splitlines()
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
    raise UserError(name, path, reason) from error


def write_text(path, text):
  """Writes a text file whole or not at all."""
  write_bytes(path, text.encode())


def write_bytes(path, data):
  """Writes a file whole or not at all."""
  with whole(pathlib.Path(path)) as part:
    part.write_bytes(data)


def between(path, marks, text):
  """Puts text between the two marks of a file, in place of what was there.

  Raises:
    UserError: there is no such file, or it has no such marks.
  """
  path = pathlib.Path(path)
  whole_text = path.read_text() if path.is_file() else ""
  before, mark, rest = whole_text.partition(marks[0])
  _, end, after = rest.partition(marks[1])
  if not mark or not end:
    raise UserError(f"{path}: has no {' ... '.join(marks)}")
  write_text(path, f"{before}{mark}\n{text}{end}{after}")


@contextlib.contextmanager
def whole(path):
  """A path beside `path` that takes its place when the block ends well."""
  part = path.with_name(f".part-{path.name}")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    yield part
    os.replace(part, path)
  except OSError as error:
    if error.errno in CANNOT_WRITE:
      raise UserError(f"{path}: cannot be written: {error.strerror}; what "
                      "was there before is kept") from error
    raise
  finally:
    with contextlib.suppress(OSError):
      part.unlink(missing_ok=True)
