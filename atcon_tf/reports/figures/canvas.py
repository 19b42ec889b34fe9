"""What every figure is drawn with: cells, maps, boxes, colours."""

import io

import matplotlib
from matplotlib.figure import Figure
from matplotlib import patches
import numpy as np

from atcon_tf.attribution import maps
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


def blend(image, light, opacity, colormap=maps.COLORMAP):
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


def show_map(axes, image, heat):
  """Draws `overlay`: a map over its image, bright where the map is high."""
  show_image(axes, overlay(image, heat))


def show_boxes(axes, boxes, size):
  """Normalised boxes `[n, 4]` over an image of `size` (height, width)."""
  height, width = size
  for x0, y0, x1, y1 in boxes:
    axes.add_patch(patches.Rectangle(
        (x0 * width - .5, y0 * height - .5), (x1 - x0) * width,
        (y1 - y0) * height, fill=False, edgecolor=BOX_COLOR, linewidth=1.5))


def grid(rows, columns, titles, size=1.55):
  """A figure with a tight grid of axes, and the axes `[rows, columns]`.

  Args:
    titles: one for each column.
    size: of a cell, in inches.
  """
  figure = Figure(figsize=(columns * size, rows * size + 0.3),
                  layout="constrained")
  axes = figure.subplots(rows, columns, squeeze=False)
  for one, title in zip(axes[0], titles):
    one.set_title(title, fontsize=9, fontweight="bold")
  for one in axes.flat:
    one.set_xticks([])
    one.set_yticks([])
  return figure, axes
