"""Paths as a person writes them: `~`, `gs://`, commas and brackets in names.

    local("workdir", "~/run")          /home/me/run
    local("workdir", "gs://bucket/r")  a UserError: no such thing is written
    split("Smith, Anna.jpg,b.jpg")     ["Smith, Anna.jpg", "b.jpg"]
    matches("photos [2]/*.jpg")        the files in the folder "photos [2]"
"""

import glob
import os
import re

from atcon_tf.config.errors import UserError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def local(name, path):
  """The path with `~` expanded, as a text.

  A file of the current folder whose name begins with `~` is that file; `~/`
  is always the home folder.

  Args:
    name: of the setting that holds the path, for the error.
    path: a text or a `pathlib.Path`.
  Raises:
    UserError: the path is the address of another machine.
  """
  text = os.fspath(path)
  if _ADDRESS.match(text):
    raise UserError(name, text, "only files of this machine are read and "
                    "written; copy the files here, or mount the storage")
  if text.startswith("~") and (
      re.match(r"~(/|$)", text) or not os.path.lexists(text)):
    return os.path.expanduser(text)  # an unknown ~name stays as it is
  return text


def split(text):
  """The paths in a text, separated by commas.

  A comma belongs to a name if the file or folder of this name exists.

  Args:
    text: of a flag.
  Returns:
    list of texts.
  """
  words, found = text.split(","), []
  while words:
    count = next((n for n in range(len(words), 1, -1) if os.path.lexists(
        os.path.expanduser(",".join(words[:n]).strip()))), 1)
    found.append(",".join(words[:count]).strip())
    words = words[count:]
  return [path for path in found if path]


def matches(pattern):
  """The files that a glob names, in no order.

  Folders at its beginning that exist by this very name are no patterns, so
  that `*` can be used in a folder with brackets in its name.
  """
  parts = os.path.normpath(pattern).split(os.sep)
  plain = next(n for n in range(len(parts) - 1, -1, -1)
               if not n or os.path.isdir(os.sep.join(parts[:n]) or os.sep))
  return [path for path in glob.glob(os.path.join(
      glob.escape(os.sep.join(parts[:plain]) or (os.sep if plain else "")),
      *parts[plain:]), recursive=True) if os.path.isfile(path)]
