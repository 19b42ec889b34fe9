"""The benchmark: functions in turn, and the page of all machines."""

import json
import os
import subprocess
import sys
import time

from atcon_tf.data import pipeline
from tools.benchmarks import input_waits
from tools.benchmarks import results_page
from tools.benchmarks import run_clock
from tools.benchmarks import timing


def test_functions_run_in_turn_and_ratios_are_of_one_round():
  calls = []
  seconds, memory = timing.alternate(
      {"ours": lambda: calls.append("ours"),
       "theirs": lambda: calls.append("theirs") or (2.5, 0.5)}, 3, warm_up=1)
  assert calls == ["ours", "theirs"] * 4
  assert seconds["theirs"] == [2.5] * 3  # measured where it ran
  assert memory["theirs"] == 0.5 and memory["ours"] > 0
  slow, fast = timing.rows(({"slow": [2., 8., 3.], "fast": [1., 2., 3.]}, {}),
                           "fast", images=2)
  assert slow["ratio"] == 2 and fast["ratio"] == 1  # of 2, 4 and 1
  assert (slow["low"], slow["ms"], slow["high"]) == (1000, 1500, 4000)


def test_a_wait_is_a_share_of_its_step(monkeypatch):
  class Slow:
    """A stream of which each batch takes 20 ms."""

    def __init__(self, *_):
      self.made = pipeline.training_batches(*_)

    def __iter__(self):
      for batch in self.made:
        time.sleep(.02)
        yield batch

  stream = type("pipeline", (), {"training_batches": Slow})
  monkeypatch.setattr(input_waits, "pipeline", stream)
  whole, wait, batch, step = input_waits.measure("tiny_cnn", 32, 2, 5, 2)
  assert whole["ratio"] == 1 and step["ratio"] < 1
  # Of two images, each waits for 10 ms.
  assert wait["low"] >= 10 and batch["low"] >= 10
  assert wait["ratio"] * whole["ms"] > 9


def _figures(ratio, **changes):
  row = {"group": "a net", "name": "consistency", "ms": 1.25, "low": 1,
         "high": 2, "ratio": ratio, "of": "supervised", "peak_gib": 0.5}
  return {"rows": [{**row, **changes}], "machine": "M", "load": "0.1",
          "versions": "V", "date": "D", "commit": "abc", "command": "C",
          "whole": True}


def test_a_machine_renews_its_own_figures_alone(tmp_path):
  path = tmp_path / "performance.json"
  results_page.add("steps", "gpu", _figures(2.), path)
  results_page.add("steps", "cpu", _figures(3.), path)
  figures = results_page.add("steps", "cpu", _figures(4.), path)
  assert json.loads(path.read_text()) == figures
  page = results_page.page(figures)
  assert "| consistency | 1.2 | 1.0 to 2.0 | 2.00 | supervised | 0.5 |" in page
  assert "4.00" in page and "3.00" not in page and "commit abc" in page
  assert page.count("not measured yet") == 2 * (len(results_page.WHAT) - 1)
  assert "stopped" not in page


def test_whole_runs_are_in_seconds_and_have_scores(tmp_path):
  found = {**_figures(2.5, ms=200e3, low=1e5, high=3e5, note="mAP 0.5"),
           "whole": False}
  page = results_page.page(results_page.add(
      "run", "cpu", found, tmp_path / "performance.json"))
  assert "| a net | s |" in page and "stopped before its end" in page
  assert "| 200.0 | 100.0 to 300.0 | 2.50 | supervised | 0.5 | mAP 0.5 |" in (
      page)


def test_the_clock_of_a_run_sees_its_first_step(tmp_path):
  package = tmp_path / "tree" / "atcon_tf"
  package.mkdir(parents=True)
  (package / "__init__.py").write_text("")
  (package / "trainer.py").write_text(
      "class Trainer:\n  def run(self, batches):\n    return {'loss': 1.0}\n")
  (package / "train.py").write_text(
      "import sys\nfrom atcon_tf import trainer\n"
      "for _ in range(2):\n  trainer.Trainer().run(None)\n"
      "print(*sys.argv[1:])\n")
  done = subprocess.run(
      [sys.executable, "-P", run_clock.__file__, tmp_path / "clock.json",
       "atcon_tf.train", "--steps=2"], text=True, capture_output=True,
      env={**os.environ, "PYTHONPATH": str(tmp_path / "tree")}, check=True)
  assert done.stdout == "--steps=2\n" and not done.stderr
  assert 0 < json.loads((tmp_path / "clock.json").read_text())[
      "first step"] < 60


def test_the_page_is_that_of_the_figures():
  figures = json.loads(results_page.FIGURES.read_text()) if (
      results_page.FIGURES.exists()) else {}
  assert results_page.PAGE.read_text() == results_page.page(figures)
