"""What every figure is drawn with: cells, maps, boxes, colours."""

import io
import textwrap

import matplotlib
from matplotlib.figure import Figure
from matplotlib import patches
import numpy as np

from atcon_tf.attribution import maps
from atcon_tf.config.names import COLORMAP
from atcon_tf.reports.figures import lettering

BOX_COLOR = "#39ff88"
# What got better, what got worse, and what the data leave open.
GOOD, BAD, UNCLEAR = "#1b7837", "#b2182b", "#8a8a8a"


def to_png(figure, dpi=80):
  """A figure as PNG bytes."""
  return _saved(figure, format="png", dpi=dpi)


def to_svg(figure):
  """A figure as SVG bytes, the same for the same figure."""
  return _saved(figure, format="svg", metadata={"Date": None})


def _saved(figure, **options):
  lettering.plain(figure)
  buffer = io.BytesIO()
  with lettering.quiet():
    figure.savefig(buffer, **options)
  return buffer.getvalue()


def entry(name):
  """A name for a legend; matplotlib leaves out those that begin with _."""
  return f" {name}" if name.startswith("_") else name


def show_image(axes, image):
  """An image `[H, W, 3]` in [0, 1]."""
  axes.imshow(np.clip(image, 0, 1), interpolation="nearest")


def blend(image, light, opacity, colormap=COLORMAP):
  """The colours of a map over an image in grey, `[H, W, 3]` in [0, 1].

  Args:
    image: `[H, W, 3]` in [0, 1].
    light: the map, `[H, W]` in [0, 1].
    opacity: of the colours, `[H, W]` in [0, 1].
    colormap: of matplotlib.
  """
  grey = np.clip(np.mean(image, -1, keepdims=True), 0, 1)
  grey = maps.GREY_FROM + maps.GREY_RANGE * grey
  color = matplotlib.colormaps[colormap](light)[..., :3]
  opacity = opacity[..., np.newaxis]
  return np.clip((1 - opacity) * grey + opacity * color, 0, 1)


def overlay(image, heat):
  """A map's positive part over a grey image, `[H, W, 3]` in [0, 1].

  A served model draws the same in its graph: `serving.image_ops.overlay`.

  Args:
    image: `[H, W, 3]` in [0, 1].
    heat: `[H, W]`, raw, at the image's size; scaled by its own maximum.
  """
  light = np.maximum(heat, 0)
  light = light / light.max() if light.max() > 0 else light
  return blend(image, light, maps.OPACITY_FROM + maps.OPACITY_RANGE * light)


# What a map without a positive value says.
BLANK = "no evidence for this class"


# What an equal map says, one that is no evidence for a place.
EQUAL = "the same everywhere"


def blank(heat):
  """Why a map shows nothing, `BLANK` or `EQUAL`; "" for a map that does."""
  if not heat.max() > 0:
    return BLANK
  return EQUAL if np.ptp(heat) <= 1e-6 * heat.max() else ""


def shown(image, heat):
  """`overlay`; the grey image alone where the map shows nothing.

  The overlay of an equal map would be the image in one colour.
  """
  return overlay(image, np.zeros_like(heat) if blank(heat) else heat)


def show_map(axes, image, heat):
  """Draws `shown`, and over a map that shows nothing why it does not."""
  show_image(axes, shown(image, heat))
  say(axes, blank(heat), (.5, .5), axes.transAxes)


def say(axes, words, middle, transform):
  """Writes words around a point of a picture; nothing for ""."""
  if words:
    axes.text(*middle, textwrap.fill(words, 15), ha="center", va="center",
              color="white", fontsize=7, transform=transform,
              bbox={"facecolor": "black", "alpha": .6, "linewidth": 0})


def show_boxes(axes, boxes, size, corner=(0, 0)):
  """Normalised boxes `[n, 4]` over an image of `size` (height, width).

  Lines are thin on a small image, whose objects they would hide.

  Args:
    axes: of matplotlib, in pixels.
    boxes, size: see above.
    corner: row and column of the image's first pixel.
  """
  height, width = size
  line = np.clip(min(size) / 150, .6, 1.5)
  for x0, y0, x1, y1 in boxes:
    axes.add_patch(patches.Rectangle(
        (corner[1] + x0 * width - .5, corner[0] + y0 * height - .5),
        (x1 - x0) * width, (y1 - y0) * height, fill=False,
        edgecolor=BOX_COLOR, linewidth=line))


# The width of the text beside a row: characters, and inches.
MARGIN = 24, 1.5


def grid(rows, columns, titles, size=1.55, captions=None):
  """A figure with a tight grid of axes, and the axes `[rows, columns]`.

  Args:
    titles: one for each column.
    size: of a cell, in inches.
    captions: a text for each row, which stands whole and upright at its left;
      None: there are none.
  """
  figure = Figure(figsize=(
      columns * size + (MARGIN[1] if captions else 0), rows * size + 0.3),
                  layout="constrained")
  axes = figure.subplots(rows, columns, squeeze=False)
  for one, title in zip(axes[0], titles):
    one.set_title(title, fontsize=9, fontweight="bold")
  for one in axes.flat:
    one.set_xticks([])
    one.set_yticks([])
  for row, caption in zip(axes, captions or ()):
    row[0].set_ylabel(wrapped(caption, MARGIN[0]), fontsize=7, rotation=0,
                      ha="right", va="center", multialignment="left")
  return figure, axes


def mosaic(tiles, titles, captions, size=1.55):
  """A figure of equal tiles in one axes, drawn ten times as fast as `grid`.

  Args:
    tiles: list of rows, each a list of images `[H, W, 3]` in [0, 1].
    titles: one for each column.
    captions: a text for each row, which stands at its left.
    size: width of a tile, in inches.
  Returns:
    the figure, its axes, and a function `(row, column) -> (top, left)`, the
    first pixel of a tile.
  """
  height, width = tiles[0][0].shape[:2]
  gap = -(-width // 25)

  def corner(row, column):
    return row * (height + gap), column * (width + gap)

  picture = np.ones([*np.add(corner(len(tiles), len(titles)), -gap), 3],
                    np.float32)
  for i, row in enumerate(tiles):
    for j, tile in enumerate(row):
      top, left = corner(i, j)
      picture[top:top + height, left:left + width] = np.clip(tile, 0, 1)
  high, wide = (n * size / (width + gap) for n in picture.shape[:2])
  left, top, edge = MARGIN[1] + .15, .3, .05
  figure = Figure(figsize=(left + wide + edge, edge + high + top))
  whole = figure.get_size_inches()
  axes = figure.add_axes((left / whole[0], edge / whole[1], wide / whole[0],
                          high / whole[1]))
  axes.axis("off")
  axes.imshow(picture, interpolation="nearest", aspect="auto")
  for j, title in enumerate(titles):
    axes.text(corner(0, j)[1] + width / 2, -gap, title, fontsize=9,
              fontweight="bold", ha="center", va="bottom")
  for i, caption in enumerate(captions):
    axes.text(-gap, corner(i, 0)[0] + height / 2, wrapped(caption, MARGIN[0]),
              fontsize=7, ha="right", va="center", multialignment="left")
  return figure, axes, corner


def wrapped(text, width):
  """A text whose lines are broken at `width` characters.

  A longer word, as the name of a file, is broken into parts of one length, so
  that its last letter does not stand alone.
  """
  def parts(word):
    lines = -(-len(word) // width)
    return textwrap.wrap(word, -(-len(word) // lines),
                         break_on_hyphens=False) if lines > 1 else [word]

  return "\n".join(
      part for line in text.splitlines() for part in textwrap.wrap(
          " ".join(p for word in line.split() for p in parts(word)),
          width) or [""])
