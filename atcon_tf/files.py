"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import pathlib

from atcon_tf.config import UserError


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
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f".part-{path.name}")
  try:
    yield part
    os.replace(part, path)
  except OSError as error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS,
                       errno.EACCES):
      raise UserError(f"{path}: cannot be written: {error.strerror}; what "
                      "was there before is kept") from error
    raise
  finally:
    with contextlib.suppress(OSError):
      part.unlink(missing_ok=True)
