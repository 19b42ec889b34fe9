"""The report says what the run found, in one file that loads nothing."""

import dataclasses
import html.parser
import json
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from atcon_tf.config import UserError
from atcon_tf.data import registry
from atcon_tf.reports import compare_runs
from atcon_tf.reports import run_page
from atcon_tf.reports import run_page_figures
from atcon_tf import runs
from atcon_tf.runs import run_data
from atcon_tf.runs import stored_predictions
from atcon_tf.runs import trusted_method
from atcon_tf import training
from tests import quiet_process


class _Page(html.parser.HTMLParser):
  """Collects pictures, addresses, and whether tags are closed."""

  def __init__(self, text):
    super().__init__()
    self.images, self.addresses, self.open = [], [], []
    self.text = []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    self.addresses += [v for k, v in attrs.items() if k in ("src", "href")]
    if tag == "img":
      self.images.append(attrs)
    if tag not in ("img", "meta", "link", "br"):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)


@pytest.fixture(scope="module")
def second_run(tiny_run):
  """The same run under another name, its predictions a little better."""
  path = tiny_run.parent / "better <b>"
  shutil.copytree(tiny_run, path)
  with np.load(path / "predictions.npz") as arrays:
    arrays = dict(arrays)
  arrays["probability"] = 0.7 * arrays["probability"] + 0.3 * arrays["label"]
  np.savez(path / "predictions.npz", **arrays)
  return path


@pytest.fixture(scope="module")
def text(tiny_run, second_run):
  return run_page.report(runs.load(tiny_run), runs.load(second_run))


def test_one_whole_file_that_loads_nothing(text):
  page = _Page(text)
  assert not page.open
  assert all(a.startswith(("data:", "#")) for a in page.addresses)
  assert "<script" not in text and "url(" not in text
  assert "better &lt;b&gt;" in text and "better <b>" not in text
  assert len(text) < 6e6


def test_it_says_what_the_run_found(text, tiny_run):
  result = json.loads((tiny_run / "result.json").read_text())
  words = " ".join("".join(_Page(text).text).split())
  assert f"{result['test']['map_macro']:.3f}" in words
  for part in ("Scores on test", "Sanity checks", "Training", "Classes",
               "Pictures", "Consistency of the maps", "Data", "Settings",
               "Environment", "--shots=2", result["versions"]["keras"],
               "No image is in two of the parts", "weights in random order"):
    assert part in words, part
  for name, scores in result["test"]["per_class"].items():
    assert name in words and f"{scores['ap']:.3f}" in words


def test_a_score_is_above_the_centre_by_a_paired_test():
  """The intervals of the two scores overlap, that of the difference does not
  hold 0."""
  spread, near = np.linspace(0, 1, 12)[:, None], np.tile([.03, .05], 6)[:, None]

  def against(centre):
    table = {"id": np.arange(12), "label": np.ones([12, 1]), "a": spread,
             "b": centre}
    return run_page._against(
        table, {"a": spread.mean(), "b": centre.mean()}, "a", "b")

  fine, words, row = against(spread - near)
  assert fine and words == "above" and row.startswith("; difference +0.040 [+")
  assert against(spread + near)[:2] == (False, "NOT above")
  up_and_down = np.tile([-.5, .499], 6)[:, None]
  assert against(spread + up_and_down)[:2] == (False, "not told apart from")
  few = np.where(np.arange(12)[:, None] < 8, spread, spread - near)
  assert against(few)[:2] == (
      False, "without an interval not told apart from")


def test_what_validation_chose_and_where_the_run_is(tiny_run, text):
  words = " ".join("".join(_Page(text).text).split())
  assert "on validation, which chose the weights and thresholds" in words
  assert f"--workdir={tiny_run} --images=FOLDER" in words
  assert "This flag file repeats the run. Every flag" in words
  run = runs.load(tiny_run)
  for keep, chosen in [("last", ""), ("best", "weights")]:
    assert run_page._chosen(types.SimpleNamespace(
        result={"thresholds": {}},
        config=dataclasses.replace(run.config, keep=keep))) == chosen


def test_every_picture_says_what_it_shows(text):
  images = _Page(text).images
  # Curves, best and worst twice, prototypes, histogram.
  assert len(images) == 7
  assert sum(i["alt"].startswith("Prototypes. ") for i in images) == 1
  for image in images:
    assert len(image["alt"]) > 40
  assert re.search(r"mAP, validation of run goes from 0\.\d{3}", text)


def test_the_tournament_of_a_run_is_told(tiny_run, tmp_path):
  path = tmp_path / "run"
  shutil.copytree(tiny_run, path)
  trusted_method.keep(path / trusted_method.NAME, {
      "method": "grad_cam", "sentence": "On your 9 images use <it>."})
  assert "Which map to trust: On your 9 images use &lt;it&gt;." in (
      run_page.report(runs.load(path)))


def test_it_is_readable_on_a_phone_and_has_contrast(text, browser_page,
                                                    tmp_path):
  (tmp_path / "report.html").write_text(text)
  page = browser_page(width=390, height=844)
  page.goto(f"file://{tmp_path}/report.html")
  assert page.evaluate("document.documentElement.scrollWidth") <= 390
  assert page.evaluate(
      "[...document.images].every(i => i.naturalWidth > 100)")
  ratios = page.evaluate("""() => {
    const light = rgb => rgb.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
      .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
    const ground = e => { for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!c.endsWith(", 0)")) return c; } return "rgb(255, 255, 255)"; };
    return [...document.querySelectorAll("body *")].filter(
      e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
      .map(e => { const a = light(getComputedStyle(e).color),
                  b = light(ground(e));
                  return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); });
  }""")
  assert min(ratios) >= 4.5  # WCAG AA
  assert not page.mistakes


def test_data_that_are_gone_leave_the_pictures_out(tiny_run, monkeypatch):
  def gone(config):
    raise UserError("data_dir", "x", "no such folder")

  monkeypatch.setattr(registry, "load", gone)
  page = run_page.report(runs.load(tiny_run))
  assert "Left out: data_dir=&#39;x&#39;: no such folder" in page


def test_runs_of_two_image_sizes_are_drawn_side_by_side(tiny_run, tmp_path,
                                                        capsys):
  run = runs.load(tiny_run)
  small = tmp_path / "small"
  training.train_and_evaluate(dataclasses.replace(
      run.config, image_size=32, steps=1, eval_every=1, summary_images=0,
      objective="supervised"), small)
  out = tmp_path / "differences.json"
  compare_runs.compare(runs.load(small), [tiny_run], out)
  assert "maps.png: the maps that changed most" in capsys.readouterr().out
  assert out.exists()
  page = run_page.report(run, runs.load(small))
  assert "Left out" not in page and "The same images, Grad-CAM of" in page


def test_some_data_that_are_gone_leave_the_words_with_their_pictures(
    tiny_run, monkeypatch):
  run = runs.load(tiny_run)
  table = stored_predictions.load_predictions(tiny_run)
  pictures = lambda: run_page_figures.pictures(
      run, None, ["a"], table, run_data.records_of(run))
  whole = pictures()[0]["alt"]
  first, second = whole.split(". ", 1)[1].split("; ")[:2]
  whole_data = registry.load

  def without_the_best(config):
    data = whole_data(config)
    return registry.keep(data, {r.id for part in data.splits.values()
                                for r in part} - {first.split(":")[0]})

  monkeypatch.setattr(registry, "load", without_the_best)
  part = pictures()[0]["alt"]
  assert part.split(". ", 1)[1].split("; ")[0] == second


def test_the_command_says_one_line(tiny_run, tmp_path):
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.report", f"--workdir={tiny_run}",
       f"--out={tmp_path / 'page.html'}"], capture_output=True, text=True)
  assert re.fullmatch(r".*page\.html: \d\.\d MB, one file\n",
                      quiet_process.output(done))


def test_mistakes_are_one_line_and_status_2(tiny_run, tmp_path):
  shutil.copytree(tiny_run, tmp_path / "run")
  (tmp_path / "run/result.json").unlink()
  for workdir, says in [("nowhere", "no run there"), ("run", "not finished")]:
    done = subprocess.run(
        [sys.executable, "-m", "atcon_tf.report",
         f"--workdir={tmp_path / workdir}"], capture_output=True, text=True)
    assert done.returncode == 2
    lines = [l for l in done.stderr.splitlines() if l.startswith("error: ")]
    assert len(lines) == 1 and says in lines[0]
