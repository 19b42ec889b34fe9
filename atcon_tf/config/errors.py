"""The one error that a person can cause."""


class UserError(ValueError):
  """A mistake of the user's: shown as one line, without a traceback."""
