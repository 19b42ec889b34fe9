"""The text in figures: names as they are, in a font that has their letters.

Names of classes, runs and files are a person's. matplotlib would read `$` as
the beginning of a formula, and draw a letter that its own font lacks as an
empty box.
"""

import contextlib
import functools
import sys
import warnings

from matplotlib import font_manager
from matplotlib import ft2font
from matplotlib.text import Text

_said = set()


def plain(figure):
  """Makes every text of a figure plain, in fonts that have its letters.

  Where no font of the system has a letter, one note says so.

  Args:
    figure: a matplotlib figure. Numbers on its axes must not be formulas.
  """
  texts = figure.findobj(Text)
  letters = {letter for text in texts for letter in text.get_text()
             if letter.isprintable() and not letter.isspace()}
  families, missing = _families(frozenset(letters))
  for text in texts:
    text.set_parse_math(False)
    if len(families) > 1:
      text.set_fontfamily(families)
  if missing - _said:
    _said.update(missing)
    print(f"note: no font here has {''.join(sorted(missing)[:10])}; figures "
          "show boxes instead (install a font that has them, for example "
          "fonts-noto-cjk)", file=sys.stderr)


def font_file(text):
  """The path of a font that has the letters of a text, if there is one."""
  letters = frozenset(x for x in text if x.isprintable() and not x.isspace())
  for family in reversed(_families(letters)[0]):
    path = font_manager.findfont(
        font_manager.FontProperties(family=[family]))
    if letters <= _letters(path):
      return path
  return font_manager.findfont(font_manager.FontProperties())


@contextlib.contextmanager
def quiet():
  """Keeps matplotlib from speaking of missing letters."""
  with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Glyph .* missing from")
    yield


@functools.lru_cache(maxsize=64)
def _families(letters):
  """Names of the fonts that draw some letters, and the letters without one."""
  default = font_manager.FontProperties()
  path = font_manager.findfont(default)
  families = [default.get_family()[0]]
  missing = letters - _letters(path)
  for font in sorted(
      font_manager.fontManager.ttflist if missing else (),
      key=lambda f: (f.style != "normal", f.weight != 400)):
    if "lastresort" in font.name.replace(" ", "").lower():
      continue  # it has a box for every letter
    here = missing & _letters(font.fname)
    if here:
      families.append(font.name)
      missing -= here
    if not missing:
      break
  return families, missing


@functools.lru_cache(maxsize=None)
def _letters(path):
  """The letters of a font file."""
  try:
    font = ft2font.FT2Font(path)
  except (OSError, RuntimeError):  # no font after all
    return frozenset()
  # matplotlib cannot draw a font of coloured pictures (emoji).
  return frozenset(map(chr, font.get_charmap() if font.scalable else ()))
