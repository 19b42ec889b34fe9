"""Lists the commands: `python -m atcon_tf`."""

import ast
import pathlib

from atcon_tf.config import presets

FOLDER = pathlib.Path(__file__).parent


def commands():
  """`{command: the first line of its module}`; imports none of them."""
  found = {}
  for path in sorted(FOLDER.glob("[!_]*.py")):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    found[path.stem] = text.splitlines()[0]
  return found


def main():
  """Prints a line for each command, and where the presets lie."""
  lines = commands()
  wide = max(map(len, lines))
  print("Run a command as `python -m atcon_tf.NAME` or, with - for _, as "
        "`atcon-NAME`;\n--help lists its flags.\n")
  for name, line in lines.items():
    print(f"  {name:{wide}}  {line}")
  print(f"\nPresets for --flagfile and --grid: {presets.FOLDER}")


if __name__ == "__main__":
  main()
