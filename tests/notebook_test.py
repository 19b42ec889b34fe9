"""The quick start runs from top to bottom, and its stored run is a good one."""

import re

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")

from tools import notebook as tool  # needs both


def _outputs(notebook):
  """All text, and the number of pictures."""
  outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
  assert not [o for o in outputs if o["output_type"] == "error"]
  assert not [o for o in outputs if o.get("name") == "stderr"]
  text = "\n".join(o.get("text", "") for o in outputs)
  assert "error:" not in text and "\x1b" not in text
  return text, sum("image/jpeg" in o.get("data", {}) for o in outputs)


def _holds_what_it_shows(text, pictures):
  assert pictures == 3
  assert "atcon over baseline" in text and "mAP, macro" in text
  assert "labels.csv: 5 pictures, 6 classes; 0 could not be read" in text
  assert "path,labels,disk" in text
  assert "W/maps: 1 sheet," in text
  assert re.search(r"^disk +[01]\.\d{3}$", text, re.M)  # the server's answer


def test_the_quick_start_runs():
  """With a few steps only; all else is as a reader runs it."""
  _holds_what_it_shows(*_outputs(tool.run(steps="2")))


def test_the_stored_run_is_whole_and_atcon_gains_in_it():
  notebook = nbformat.read(tool.PAGE, as_version=4)
  cells = [c for c in notebook.cells if c.cell_type == "code"]
  assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
  text, pictures = _outputs(notebook)
  _holds_what_it_shows(text, pictures)
  assert "300/300" in text
  low = re.search(r"^mAP, macro +\+0\.\d+ +\[\+(0\.\d+), ", text, re.M)
  assert low and float(low[1]) > 0
  assert tool.PAGE.stat().st_size < 1_000_000
