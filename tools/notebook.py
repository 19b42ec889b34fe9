"""Runs docs/quickstart.ipynb and stores its outputs.

    python -m tools.notebook

It takes as long as the two trainings in it. tests/notebook_test.py runs the
same cells with a few steps, and reads the stored outputs.
"""

import os
import pathlib

import nbclient
import nbformat

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "quickstart.ipynb"


def run(steps=""):
  """The notebook with the outputs of a run from top to bottom.

  Args:
    steps: number of updates, as text; "": those of the notebook.
  """
  notebook = nbformat.read(PAGE, as_version=4)
  nbformat.validate(notebook)
  environment = {**os.environ, "STEPS": steps, "PYTHONPATH": str(ROOT)}
  nbclient.NotebookClient(
      notebook, timeout=3600, kernel_name="python3", coalesce_streams=True,
      resources={"metadata": {"path": str(PAGE.parent)}},
      record_timing=False).execute(env=environment)
  return notebook


def main():
  """Writes the page."""
  notebook = run()
  notebook.metadata.language_info = {"name": "python"}  # of any version
  nbformat.write(notebook, PAGE)
  print(PAGE)


if __name__ == "__main__":
  main()
