"""Runs a command: defines its flags, parses them, prints its errors.

A `UserError`, or an `OSError` that names a file, ends the command with one
line and status 2; Ctrl-C ends it with one line and status 130, `StartAgain`
with one line and status 75. The flags are defined when a command starts, never
at import.
"""

import os
import sys

from absl import app
from absl import flags
import PIL.Image

from atcon_tf.config import presets
from atcon_tf.config import quiet
from atcon_tf.config.errors import StartAgain
from atcon_tf.config.errors import UserError


def run(main, define_flags, arguments=False, hidden=()):
  """Runs `main(argv)` with the flags that `define_flags()` defines.

  Args:
    main: function of the words of the command line that are no flags.
    define_flags: function without arguments; it is called before `main`.
    arguments: whether the command line may have words that are no flags.
      Otherwise such a word is an error.
    hidden: names of flags that --help leaves out, and --helpfull shows: those
      that a flag file of a run may hold, but the command does not use.
  """
  def parse(argv):
    try:
      return flags.FLAGS([argv[0], *presets.expand(argv[1:])])
    except UserError as error:
      _stop(" ".join(error.as_flags().split()))
    except flags.Error as error:
      _stop(" ".join(str(error).split()))

  def guarded(argv):
    if len(argv) > 1 and not arguments:
      _stop(f"'{argv[1]}': not a flag; flags begin with --")
    quiet.only_warnings()
    try:
      main(argv)
    except UserError as error:
      _stop(" ".join(error.as_flags().split()))
    except OSError as error:
      if not error.filename:
        raise
      _stop(f"{error.filename}: {error.strerror}")
    except StartAgain as early:
      print(early.line, file=sys.stderr)
      _leave(early.STATUS)
    except KeyboardInterrupt:
      print("\ninterrupted; the same command continues from the last "
            "checkpoint", file=sys.stderr)
      _leave(130)

  any_letters(sys.stdout, sys.stderr)
  # PIL's default would refuse large photos as attacks on the memory.
  PIL.Image.MAX_IMAGE_PIXELS = 200_000_000
  # --help prints the docstring of __main__, which a console script lacks.
  sys.modules["__main__"].__doc__ = sys.modules[main.__module__].__doc__
  define_flags()
  # --help shows only the flags that are registered for the started file.
  for module, owned in flags.FLAGS.flags_by_module_dict().items():
    if module.startswith("atcon_tf"):
      for flag in (f for f in owned if f.name not in hidden):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  try:
    app.run(guarded, flags_parser=parse)
  except BrokenPipeError:  # who reads the output has seen enough, as `head`
    sys.stdout = open(os.devnull, "w", encoding="utf-8")
    _leave(141)


def any_letters(*streams):
  """Lets streams print names with letters that a terminal lacks, escaped."""
  for stream in streams:
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="backslashreplace")


def _stop(message):
  print(f"error: {message}", file=sys.stderr)
  _leave(2)


def _leave(status):
  """Ends the process at once.

  Threads of TensorFlow's input pipeline may wait for the interpreter, which
  then never ends. Nothing is lost: files are written whole, and the blocks
  around the work have been left.
  """
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)
