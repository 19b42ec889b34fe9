"""Which files of a folder are pictures: one rule for every command.

A picture is a file with one of `ENDINGS`, in upper or lower case, in a folder
or anywhere below it. Hidden files and folders are left out, and the folders
that other systems put beside pictures (`__MACOSX`, `@eaDir`). Links are
followed; a folder is taken once.
"""

import collections
import os
import typing

# `decoding.FORMATS` are the formats of the files with these endings.
ENDINGS = (".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
           ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
_FOREIGN = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN")
# So many endings are named where files are left out.
_NAMED = 5


class Found(typing.NamedTuple):
  """What a folder holds.

  Attributes:
    images: paths of the pictures below the folder, with "/": those of a
      folder in alphabetical order, then those of its folders.
    others: `{ending: number}` of the files that are no pictures.
  """
  images: list[str]
  others: collections.Counter


def below(top):
  """The pictures in a folder and anywhere below it, a `Found`."""
  found, others = [], collections.Counter()
  _walk(top, "", set(), found, others)
  return Found(found, others)


def _walk(where, prefix, seen, found, others):
  """Adds what is in a folder and below it; `prefix` is its path and "/"."""
  real = os.path.realpath(where)
  if real in seen:
    return
  seen.add(real)
  folders = []
  for entry in sorted(os.scandir(where), key=lambda e: e.name):
    name = entry.name
    if not visible(name):
      continue
    if entry.is_dir():
      folders.append(entry)
    elif not entry.is_file():  # a broken link, a pipe
      others["no file behind the name"] += 1
    elif name.lower().endswith(ENDINGS):
      found.append(prefix + name)
    else:
      others[os.path.splitext(name)[1].lower() or "no ending"] += 1
  for entry in folders:
    _walk(entry.path, f"{prefix}{entry.name}/", seen, found, others)


def visible(name):
  """Whether a file or folder of this name is looked at."""
  return not name.startswith(".") and name not in _FOREIGN


def note(where, others, what="picture"):
  """A list with the line on the files that were left out; empty: none were.

  Args:
    where: the folder.
    others: `{ending: number}`.
    what: these files are not.
  """
  count = sum(others.values())
  if not count:
    return []
  kinds = ", ".join(f"{number} {ending}" for ending, number in sorted(
      others.items(), key=lambda one: (-one[1], one[0]))[:_NAMED])
  more = ", ..." if len(others) > _NAMED else ""
  return [f"left out of {where}: {count} file{'s' * (count > 1)} that "
          f"{f'are no {what}s' if count > 1 else f'is no {what}'} "
          f"({kinds}{more})"]


def folders_in(folder):
  """Names of the folders in a folder, sorted."""
  return sorted(f.name for f in os.scandir(folder)
                if visible(f.name) and f.is_dir())
