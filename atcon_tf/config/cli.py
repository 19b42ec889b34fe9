"""How every command starts and ends.

A mistake of the user's, or a file that the system refuses, is one line and
exit status 2; Ctrl-C is one line and 130. Flags are defined when a command
starts, never at import.
"""

import sys

from absl import app
from absl import flags
import PIL.Image

from atcon_tf.config import presets
from atcon_tf.config.errors import UserError


def run(main, define_flags, arguments=False):
  """Runs `main(argv)` with the flags that `define_flags()` defines.

  Args:
    main: called with what is left of the command line.
    define_flags: called first.
    arguments: whether more than flags may be left.
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
    try:
      main(argv)
    except UserError as error:
      _stop(" ".join(error.as_flags().split()))
    except OSError as error:
      if not error.filename:
        raise
      _stop(f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
      print("\ninterrupted; the same command continues from the last "
            "checkpoint", file=sys.stderr)
      sys.exit(130)

  # Photos of 200 megapixels are photos, not attacks on the memory.
  PIL.Image.MAX_IMAGE_PIXELS = 200_000_000
  # --help prints the docstring of __main__; a console script has none there.
  sys.modules["__main__"].__doc__ = sys.modules[main.__module__].__doc__
  define_flags()
  # --help shows the flags of the command's own module: these are all its.
  for module, owned in flags.FLAGS.flags_by_module_dict().items():
    if module.startswith("atcon_tf"):
      for flag in owned:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  app.run(guarded, flags_parser=parse)


def _stop(message):
  print(f"error: {message}", file=sys.stderr)
  sys.exit(2)
