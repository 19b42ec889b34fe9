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
