"""The presets that come with the package: flag files, and grids of studies.

    flags/voc_8shot.flags          atcon-train --flagfile=flags/...
    flags/studies/voc_fewshot.json atcon-study --grid=flags/studies/...

A clone has them in `flags/`, an installed package in `atcon_tf/flags/`. A
path that begins with `flags/` names a file in the current folder if there is
one, else a preset.
"""

import pathlib

from atcon_tf.config import files
from atcon_tf.config import local_paths
from atcon_tf.config.errors import UserError

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
FOLDER = next((folder for folder in (_PACKAGE / "flags",
                                     _PACKAGE.parent / "flags")
               if folder.is_dir()), _PACKAGE / "flags")


def find(name, path):
  """The path of the file or preset that a setting names.

  Args:
    name: of the setting, for the error.
    path: of the file; a path that begins with `flags/` may name a preset.
  Raises:
    UserError: there is no such file; the error names the folder of the
      presets.
  """
  given = pathlib.Path(local_paths.local(name, path))
  preset = FOLDER.joinpath(*given.parts[1:])
  if given.is_file():
    return given
  if given.parts[:1] == ("flags",) and preset.is_file():
    return preset
  raise UserError(name, path, f"no such file; the presets lie in {FOLDER}")


def expand(arguments):
  """Replaces every --flagfile in a command line by the flags of the file.

  A flag file is read as by absl, and may also be a preset: a line that is
  empty or begins with # or // is left out, a flag file may name other flag
  files, and the last value of a flag counts. Arguments after `--` stay as
  they are.

  Args:
    arguments: words of the command line.
  Returns:
    list of words without --flagfile.
  Raises:
    UserError: a flag file cannot be read, or includes itself.
  """
  return _expand(list(arguments), ())


def _expand(arguments, opened):
  """See `expand`; `opened` are the flag files that are being read."""
  expanded = []
  while arguments:
    argument = arguments.pop(0)
    if argument == "--":
      return [*expanded, argument, *arguments]
    flag, equals, path = argument.partition("=")
    if flag not in ("--flagfile", "-flagfile"):
      expanded.append(argument)
      continue
    if not equals:
      path = arguments.pop(0) if arguments else ""
    file = find("flagfile", path).resolve()
    if file in opened:
      raise UserError("flagfile", path, "names itself")
    lines = [line.strip() for line in files.lines("flagfile", file)]
    expanded += _expand([line for line in lines if line and
                         not line.startswith(("#", "//"))], (*opened, file))
  return expanded
