"""Writes BUILD from the imports: `python tools/build_file.py`.

One target for each Python file, named by its path without ".py"; its deps are
the files of this project that it imports. `tests/layering_test.py` fails while
BUILD says anything else.
"""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("atcon_tf", "tools", "tests")

HEADER = '''\
"""One target for each file; deps are its imports within the project.

Packages from elsewhere are those of the Python environment
(requirements.txt). Written by tools/build_file.py: do not edit by hand.
"""

load("@rules_python//python:defs.bzl", "py_binary", "py_library", "py_test")

package(default_visibility = ["//visibility:public"])
'''

TARGET = '''
{kind}(
    name = "{name}",
{testonly}    srcs = ["{name}.py"],
{deps})
'''


def files():
  """All Python files of the project, relative to its root, sorted."""
  return sorted(p.relative_to(ROOT) for folder in FOLDERS
                for p in (ROOT / folder).rglob("*.py"))


def modules(path):
  """Names of the modules that a file imports, wherever in it.

  Args:
    path: of the file, relative to the root.
  Returns:
    set of dotted names; `from a import b` gives "a.b", a module or not.
  Raises:
    ValueError: a relative import.
  """
  names = set()
  for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      if node.level:
        raise ValueError(f"{path}:{node.lineno}: imports must be absolute")
      names |= {f"{node.module}.{alias.name}" for alias in node.names}
  return names


def imports(path):
  """The project's files that a file imports, relative to the root, sorted.

  A package stands for its `__init__.py`.
  """
  found = {_file(name) or _file(name.rpartition(".")[0])
           for name in modules(path)}
  return sorted(found - {None})


def _file(name):
  """The project's file of a dotted name, None if it has none."""
  if name.partition(".")[0] not in FOLDERS:
    return None
  stem = pathlib.Path(*name.split("."))
  return next((p for p in (stem.with_suffix(".py"), stem / "__init__.py")
               if (ROOT / p).is_file()), None)


def text():
  """What BUILD must hold."""
  return HEADER + "".join(map(_target, files()))


def _target(path):
  kind = "py_library"
  if path.name.endswith("_test.py"):
    kind = "py_test"
  elif 'if __name__ == "__main__":' in (ROOT / path).read_text("utf-8"):
    kind = "py_binary"
  testonly = path.parts[0] == "tests" and kind != "py_test"
  deps = "".join(f'        ":{dep.with_suffix("").as_posix()}",\n'
                 for dep in imports(path))
  return TARGET.format(
      kind=kind, name=path.with_suffix("").as_posix(),
      testonly="    testonly = True,\n" if testonly else "",
      deps=f"    deps = [\n{deps}    ],\n" if deps else "")


def main():
  """Writes BUILD; says whether anything changed."""
  path = ROOT / "BUILD"
  changed = not path.exists() or path.read_text("utf-8") != text()
  path.write_text(text(), "utf-8")
  print(f"{path.name}: {'written' if changed else 'up to date'}")


if __name__ == "__main__":
  main()
