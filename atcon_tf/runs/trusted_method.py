"""The attribution method that a tournament on a run's images chose.

    tournament.json    the outcome, "method" (null: none) and "sentence"
    tournament.png     the maps of the best methods

`evaluate --methods=auto` writes the files; `explain` uses the method.
"""

import json
import pathlib

from atcon_tf.config import files
from atcon_tf.config import local_paths
from atcon_tf.config import names
from atcon_tf.config import UserError

NAME = "tournament.json"
NAMES = (NAME, "tournament.png")


def keep(path, outcome):
  """Writes the outcome of a tournament, a dict with "sentence"."""
  files.write_text(path, json.dumps(outcome, indent=1))


def read(workdir):
  """The outcome that lies in the folder of a run; None: no tournament.

  Args:
    workdir: the folder.
  Raises:
    UserError: the file is damaged, or names a method that is none.
  """
  path = pathlib.Path(local_paths.local("workdir", workdir)) / NAME
  if not path.exists():
    return None
  try:
    outcome = json.loads(path.read_text("utf-8"))
    method, _ = outcome["method"], outcome["sentence"]
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(f"{path}: not the outcome of a tournament: {error}; "
                    "delete it, or hold one again (evaluate --methods=auto)"
                    ) from error
  if method is not None and method not in names.METHODS:
    raise UserError(f"{path}: names the method {method!r}, which is none; "
                    "hold the tournament again (evaluate --methods=auto)")
  return outcome
