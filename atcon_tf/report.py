"""Writes a page about a run: scores, checks, curves, pictures.

    python -m atcon_tf.report --workdir=RUN [flags]

    --compare=RUN2   another run on the same test images beside it
    --out=FILE       default: RUN/run_page.html; with --compare, beside it,
                     RUN/run_page_and_RUN2.html

The page is one HTML file without scripts. Its pictures are in the file, and it
loads nothing from elsewhere, so that it can be mailed, printed and archived.
"""

import os

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import path_flags


def main(argv):
  """Parses the flags and writes the page."""
  del argv
  values = flags.FLAGS
  path = values.out or os.path.join(
      values.workdir, page_name(values.compare))
  files.check_file("out", path)
  run = at.runs.load(values.workdir)
  other = at.runs.load(values.compare, "compare") if values.compare else None
  page = at.reports.report(run, other)
  files.write_text(path, page)
  print(f"{path}: {len(page) / 1e6:.1f} MB, one file")


def page_name(compare):
  """The page's name; a comparison does not replace the page of the run."""
  if not compare:
    return "run_page.html"
  return f"run_page_and_{os.path.basename(os.path.abspath(compare))}.html"


def define_flags():
  """The flags of this command."""
  path_flags.path("workdir", "W/run", "folder of the run")
  path_flags.path("compare", "", "folder of a run to compare with")
  path_flags.path("out", "", "the page; default: in workdir, run_page.html, "
                  "or run_page_and_RUN2.html with --compare")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()
