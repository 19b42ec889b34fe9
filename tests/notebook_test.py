"""The quick start runs from top to bottom, and is kept without outputs."""

import pathlib

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs/quickstart.ipynb"


def test_the_quick_start_runs(monkeypatch):
  """With a few steps only; all else is as a reader runs it."""
  monkeypatch.setenv("STEPS", "2")
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  nbformat.validate(notebook)
  nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3",
                          resources={"metadata": {"path": str(ROOT / "docs")}}
                          ).execute()
  outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
  pictures = [o for o in outputs if "image/png" in o.get("data", {})]
  text = "".join(o.get("text", "") for o in outputs)
  assert len(pictures) == 2
  assert "mAP, macro" in text and "atcon over baseline" in text
  assert "disk" in text


def test_it_is_kept_without_outputs():
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  assert not any(cell.get("outputs") for cell in notebook.cells)
