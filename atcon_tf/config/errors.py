"""`UserError`, a mistake of the user's, and `StartAgain`, an early end."""

import difflib
import re


class UserError(ValueError):
  """A mistake of the user's: one line that needs no traceback.

    UserError("shots", -1, "must be at least 0")
    UserError("photos/cat.jpg: does not decode")

  `str(error)` names a setting as Python's argument (`shots=-1: must be at
  least 0`); `error.as_flags()` names it as the commands do (`--shots=-1: must
  be at least 0`). The reason may name other settings as flags; `str` removes
  the dashes from these names.
  """

  def __init__(self, name, value=None, why=""):
    """Makes the error.

    Args:
      name: name of the setting; or, without `why`, the whole line.
      value: value of the setting; None: the setting is missing.
      why: what is wrong with the value, and what is allowed.
    """
    super().__init__(name, value, why)
    self.name, self.value, self.why = name, value, why

  def __str__(self):
    if not self.why:
      return self.name
    given = "" if self.value is None else f"={_python(self.value)}"
    why = re.sub(r"(?<![\w-])--(?=[a-z])", "", self.why)
    return f"{self.name}{given}: {why}"

  def as_flags(self):
    """The line as a command prints it."""
    if not self.why:
      return self.name
    value = self.value
    if isinstance(value, (list, tuple)):
      value = ",".join(map(str, value))
    given = "" if value is None else f"={value}"
    return f"--{self.name}{given}: {self.why}"


def one_of(value, allowed):
  """The reason of a `UserError` for a name that is not among the allowed ones.

  >>> one_of("shaeps", ["voc", "shapes"])
  'must be one of voc, shapes; nearest: shapes'

  Args:
    value: the name.
    allowed: the names that are right.
  """
  allowed = [str(name) for name in allowed]
  near = isinstance(value, str) and difflib.get_close_matches(value, allowed, 1)
  nearest = f"; nearest: {near[0]}" if near else ""
  return f"must be one of {', '.join(allowed)}{nearest}"


class StartAgain(SystemExit):
  """Work that stopped early and goes on when it is started again.

  A command prints the line and ends with status 75, which is EX_TEMPFAIL of
  sysexits.h. As a `SystemExit` it is no `Exception`, so that nothing takes it
  for a failure of one run among others.
  """

  STATUS = 75

  def __init__(self, line):
    """Makes the end; `line` says why, and what continues the work."""
    super().__init__(self.STATUS)
    self.line = line

  def __str__(self):
    return self.line


def _python(value):
  """The `repr` of a value; that of a path is the one of its text."""
  plain = isinstance(value, (bool, int, float, list, tuple))
  return repr(value if plain else str(value))
