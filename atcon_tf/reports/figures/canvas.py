"""What every figure is drawn with: cells, maps, boxes, colours."""

import io

from matplotlib.figure import Figure
from matplotlib import patches
import numpy as np

from atcon_tf.attribution import maps

BOX_COLOR = "#39ff88"
# What got better, what got worse, and what cannot be told.
GOOD, BAD, UNCLEAR = "#1b7837", "#b2182b", "#8a8a8a"


def to_png(figure, dpi=80):
  """A figure as PNG bytes."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format="png", dpi=dpi)
  return buffer.getvalue()


def show_image(axes, image):
  """An image `[H, W, 3]` in [0, 1]."""
  axes.imshow(np.clip(image, 0, 1), interpolation="nearest")


def show_map(axes, image, heat):
  """A map's positive part over a grey image; bright where it is high.

  Args:
    heat: `[H, W]`, raw, at the image's size; scaled by its own maximum.
  """
  grey = np.repeat(np.mean(image, -1, keepdims=True), 3, -1)
  show_image(axes, 0.25 + 0.5 * np.clip(grey, 0, 1))
  heat = np.maximum(heat, 0)
  heat = heat / heat.max() if heat.max() > 0 else heat
  axes.imshow(heat, cmap=maps.COLORMAP, vmin=0, vmax=1,
              alpha=np.clip(0.15 + 0.75 * heat, 0, 1))


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
