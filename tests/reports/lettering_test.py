"""Names in figures are text, whatever letters and signs they have."""

import warnings

from matplotlib.figure import Figure
from matplotlib.text import Text
import numpy as np
import pytest

from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import lettering
from atcon_tf.reports.figures import score_plots

CURVE = {"false_alarm_rate": [0, 1], "sensitivity": [0, 1]}


@pytest.mark.parametrize("name", [
    "price_$10_$20", r"$\frac", "100 % $x$ ^_{", "\\alpha", "_hidden"])
def test_a_name_is_no_formula(name):
  figure = score_plots.matrix(np.eye(2), [name, "b"], name, name, name)
  canvas.to_png(figure)
  texts = [t for t in figure.findobj(Text) if t.get_text() == name]
  assert len(texts) >= 5 and not any(t.get_parse_math() for t in texts)
  canvas.to_svg(score_plots.roc({name: CURVE}))


def test_a_name_with_an_underscore_stands_in_the_legend():
  figure = score_plots.roc({"_first": CURVE, "b": CURVE})
  legend, = figure.legends
  assert [t.get_text().strip() for t in legend.get_texts()] == ["_first", "b"]


def _drawn(text):
  figure = Figure(figsize=(2, 1))
  figure.text(.1, .5, text)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    canvas.to_png(figure)
  found, = (t for t in figure.findobj(Text) if t.get_text() == text)
  return found.get_fontfamily()


def test_letters_that_no_font_has_are_noted_once(monkeypatch, capsys):
  real = lettering._letters
  monkeypatch.setattr(lettering, "_letters", lambda path: real(path) - {
      "\u732b"})
  monkeypatch.setattr(lettering, "_said", set())
  lettering._families.cache_clear()
  try:
    assert len(_drawn("a \u732b")) == 1
    _drawn("\u732b b")
  finally:
    lettering._families.cache_clear()
  said = capsys.readouterr().err
  assert said.count("no font here has \u732b;") == 1


def test_letters_come_from_a_font_that_has_them(monkeypatch, capsys):
  """The system's fonts are asked for what the default font lacks."""
  real = lettering._letters
  default = lettering.font_manager.findfont(
      lettering.font_manager.FontProperties())
  monkeypatch.setattr(lettering, "_letters", lambda path: real(path) - {"a"}
                      if path == default else real(path))
  lettering._families.cache_clear()
  try:
    families = _drawn("banana")
  finally:
    lettering._families.cache_clear()
  assert len(families) == 2 and "a" in real(lettering.font_manager.findfont(
      families[1]))
  assert not capsys.readouterr().err


def test_a_font_file_has_the_letters():
  for text in ("ship 93%", "\u00fcber"):
    assert set(text) - {" "} <= lettering._letters(lettering.font_file(text))
