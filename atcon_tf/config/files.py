"""Writes files whole or not at all, and checks paths before the work."""

import contextlib
import errno
import os
import pathlib
import sys

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None

from atcon_tf.config.errors import UserError

# The errors that a person can correct: a full disk, missing rights, or a file
# or folder that has the name already.
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS,
                errno.EACCES, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
                errno.ENAMETOOLONG)


def check_file(name, path):
  """Refuses a path that no file can be written to.

  Args:
    name: of the setting, for the error.
    path: of the file.
  Raises:
    UserError: `path` is a folder, or a parent of `path` is a file.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    raise UserError(name, path, "is a folder; must be a file")
  check_folder(name, path.parent)


def check_folder(name, path):
  """Refuses a path that cannot become a folder.

  Args:
    name: of the setting, for the error.
    path: a `pathlib.Path`.
  Raises:
    UserError: `path` or a parent of it is a file.
  """
  for one in (path, *path.parents):
    if one.exists() and not one.is_dir():
      raise UserError(name, path, f"{one} is a file, not a folder")


def locked(name, path, given, taken):
  """Opens and locks a file, which stays locked until it is closed.

  Some network file systems have no locks: then a note says so.

  Args:
    name: of the setting, for the error.
    path: `pathlib.Path` of the file; missing parents are created.
    given: the value of the setting.
    taken: what is wrong if another process has the lock.
  Returns:
    the open file.
  Raises:
    UserError: the file is locked or cannot be written, or the system is
      Windows. Then nothing is created.
  """
  if fcntl is None:
    raise UserError(name, given, "cannot be locked: this system has no fcntl; "
                    "on Windows use WSL")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "w", encoding="utf-8")
  except OSError as error:
    raise UserError(name, given, f"{error.strerror}") from error
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
      file.close()
      raise UserError(name, given, taken) from error
    print(f"note: {given}: its file system has no locks ({error.strerror}); "
          "nothing keeps a second process out of it", file=sys.stderr)
  return file


def printable(text):
  """The text; bytes of a file's name that are not UTF-8 become escapes."""
  return str(text).encode("utf-8", "backslashreplace").decode()


def lines(name, path):
  """The lines of a UTF-8 text file.

  Args:
    name: of the setting that holds the path, for the error.
    path: of the file.
  Raises:
    UserError: the file cannot be read.
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
  """Replaces the text between two marks of a file.

  Args:
    path: of the file.
    marks: the mark before the text and the one after it.
    text: the new text.
  Raises:
    UserError: the file does not exist, or a mark is not in it.
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
  """A context manager whose file becomes `path` if the block succeeds.

  Args:
    path: a `pathlib.Path`; missing parents are created.
  Yields:
    a temporary path beside `path`. It is renamed to `path` if the block
    succeeds and deleted if the block raises.
  Raises:
    UserError: the file cannot be written.
  """
  part = path.with_name(f".part-{path.name}")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    yield part
    os.replace(part, path)
  except OSError as error:
    if error.errno in CANNOT_WRITE:
      raise UserError(f"{path}: cannot be written: {error.strerror}; an "
                      "earlier file of this name is kept") from error
    raise
  finally:
    with contextlib.suppress(OSError):
      part.unlink(missing_ok=True)
