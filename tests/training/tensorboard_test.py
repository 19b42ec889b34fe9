"""TensorBoard shows a run: the event file, and its panes in a browser."""

import json
import re
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

from atcon_tf.reports.figures import score_plots
from atcon_tf.training import tensorboard_writer

PLUGINS = ("scalars", "images", "pr_curves", "histograms", "text", "hparams")


@pytest.fixture(scope="module")
def board(tiny_run):
  """Address of a TensorBoard that shows the run."""
  process = subprocess.Popen(
      [sys.executable, "-m", "tensorboard.main", f"--logdir={tiny_run}/tb",
       "--port=0", "--host=127.0.0.1", "--samples_per_plugin=images=100",
       "--load_fast=false"], stderr=subprocess.PIPE, text=True)
  address = None
  for line in process.stderr:
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    if found:
      address = found[0]
      break
  # Its messages must not fill the pipe.
  subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
  try:
    yield address
  finally:
    process.terminate()
    process.wait()


def _get(address):
  with urllib.request.urlopen(address, timeout=30) as reply:
    return json.load(reply)


def _wait(address, ready):
  """The JSON there, once it satisfies `ready`."""
  deadline = time.time() + 60
  while time.time() < deadline:
    value = _get(address)
    if ready(value):
      return value
    time.sleep(0.5)
  raise AssertionError(f"{address} says {value}")


def test_what_the_event_file_holds(tiny_run):
  events = event_accumulator.EventAccumulator(
      str(tiny_run / "tb"), size_guidance={"tensors": 0})
  events.Reload()
  plugins = {events.summary_metadata[tag].plugin_data.plugin_name
             for tag in events.Tags()["tensors"]}
  assert plugins >= {"scalars", "images", "pr_curves", "histograms", "text"}
  assert "classes/star/pr_curves" in events.Tags()["tensors"]
  assert [e.step for e in events.Tensors("validation/map_macro")] == [2, 4]
  split = json.loads((tiny_run / "splits.json").read_text())
  (text,) = events.Tensors("split")
  shown = text.tensor_proto.string_val[0].decode()
  assert all(str(i) in shown for i in split["train_labeled"])
  (flags,) = events.Tensors("flags")
  assert b"--shots=2" in flags.tensor_proto.string_val[0]


def test_a_table_of_many_classes_has_no_names_to_read():
  for count, names in ((score_plots.MATRIX_NAMES, True),
                       (score_plots.MATRIX_NAMES + 1, False)):
    figure = score_plots.matrix(np.eye(count), [str(i) for i in range(count)],
                                "title", "x", "y")
    assert bool(figure.axes[0].texts) == names
    assert max(figure.get_size_inches()) < 16


def test_confusion_by_hand():
  label = np.array([[1, 0], [1, 0], [0, 1]])
  probability = np.array([[.8, .2], [.4, .6], [.1, .9]])
  np.testing.assert_allclose(
      tensorboard_writer.confusion(label, probability, False),
      [[.5, .5], [0, 1]])
  np.testing.assert_allclose(
      tensorboard_writer.confusion(label, probability, True),
      [[.6, .4], [.1, .9]])
  nothing = tensorboard_writer.confusion(label[:2], probability[:2], True)
  assert np.isnan(nothing[1]).all()


def test_the_panes_in_a_browser(board, tiny_run, browser_page):
  result = json.loads((tiny_run / "result.json").read_text())
  assert result["history"][-1]["step"] == 4
  tags = _wait(f"{board}data/plugin/scalars/tags", lambda v: v)
  assert "validation/map_macro" in tags["."]
  listed = _get(f"{board}data/plugins_listing")
  _wait(f"{board}data/plugin/pr_curves/tags", lambda v: v)
  assert all(listed[name]["enabled"] for name in
             ("scalars", "images", "pr_curves", "histograms", "text"))
  page = browser_page(width=1400, height=1000)
  page.goto(f"{board}#timeseries")
  page.wait_for_selector("text=validation", timeout=60_000)
  for tag in ("train", "validation", "maps", "confusion"):
    page.wait_for_selector(f"text={tag}")
  page.goto(f"{board}#images")
  page.reload()
  page.wait_for_function(
      """() => {
        const all = root => [...root.querySelectorAll("*")].flatMap(
          e => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
        return all(document).filter(e => e.tagName === "IMG" &&
          /individualImage|imageId|blob:|tag=/.test(e.src) &&
          e.naturalWidth > 100).length >= 1; }""", timeout=60_000)
  page.screenshot(path=str(tiny_run.parent / "tensorboard.png"))
