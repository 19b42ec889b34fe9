"""The one error that a person can cause, in Python's words and as a flag."""

import re


class UserError(ValueError):
  """A mistake of the user's: one line that needs no traceback.

    UserError("shots", -1, "must be at least 0")
    UserError("photos/cat.jpg: does not decode")

  `str(error)` names a setting as Python's argument (`shots=-1: must be at
  least 0`); `error.as_flags()` names it as the commands do (`--shots=-1: must
  be at least 0`). The reason may name other settings as flags: `str` leaves
  their dashes out.
  """

  def __init__(self, name, value=None, why=""):
    """Says what is wrong.

    Args:
      name: of the setting; or, without `why`, the whole line.
      value: that it has; None: the setting is missing.
      why: what is wrong with it, and what is allowed.
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


def _python(value):
  """A value as Python writes it; a path as the text that it is."""
  plain = isinstance(value, (bool, int, float, list, tuple))
  return repr(value if plain else str(value))
