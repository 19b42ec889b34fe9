"""XLA's memory of what it has compiled, from one process to the next.

TensorFlow reads `TF_XLA_FLAGS` once, when it is first used. So a command calls
`keep` before it imports TensorFlow.
"""

import os

VARIABLE = "TF_XLA_FLAGS"
OPTION = "--tf_xla_persistent_cache_directory"


def folder():
  """atcon_tf/xla in the user's cache (XDG_CACHE_HOME or ~/.cache)."""
  cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  return os.path.join(cache, "atcon_tf", "xla")


def keep():
  """Lets XLA keep compiled functions in `folder()`.

  Nothing happens if `TF_XLA_FLAGS` names a folder already, or if this one
  cannot be written to: XLA then compiles again.

  Returns:
    the folder, or "".
  """
  given, path = os.environ.get(VARIABLE, ""), folder()
  if OPTION in given:
    return ""
  try:
    os.makedirs(path, exist_ok=True)
  except OSError:
    return ""
  if not os.access(path, os.W_OK) or " " in path:
    return ""
  os.environ[VARIABLE] = f"{given} {OPTION}={path}".strip()
  return path
