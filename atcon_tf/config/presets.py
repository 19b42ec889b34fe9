"""The presets that come with the package: flag files, and grids of studies.

    flags/voc_8shot.flags          atcon-train --flagfile=flags/...
    flags/studies/voc_fewshot.json atcon-study --grid=flags/studies/...

They lie in `flags/` of a clone and in `atcon_tf/flags/` of an installed
package. A path that begins with `flags/` is looked for in the current folder
first and then there.
"""

import pathlib

from atcon_tf.config import files
from atcon_tf.config.errors import UserError

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
FOLDER = next((folder for folder in (_PACKAGE / "flags",
                                     _PACKAGE.parent / "flags")
               if folder.is_dir()), _PACKAGE / "flags")


def find(name, path):
  """The file that a setting names.

  Args:
    name: of the setting, for the error.
    path: of the file; one that begins with `flags/` may be a preset.
  Raises:
    UserError: there is no such file; the line says where the presets lie.
  """
  given = pathlib.Path(path).expanduser()
  preset = FOLDER.joinpath(*given.parts[1:])
  if given.is_file():
    return given
  if given.parts[:1] == ("flags",) and preset.is_file():
    return preset
  raise UserError(name, path, f"no such file; the presets lie in {FOLDER}")


def expand(arguments):
  """Command-line arguments with the flags of every --flagfile in its place.

  As absl does it, but that a flag file may be a preset: a line that is empty
  or begins with # or // is left out, a flag file may name others, and the
  later of two values of a flag wins. Arguments behind `--` stay as they are.

  Raises:
    UserError: a file cannot be read, or names itself.
  """
  return _expand(list(arguments), ())


def _expand(arguments, opened):
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
