"""Pictures of images, maps, masks and boxes, as matplotlib figures.

    figure = plots.explanations(pictures, story, ...)
    png = plots.to_png(figure)

Figures are made without pyplot: no global state, no screen.
"""

import io

import numpy as np
from matplotlib import patches
from matplotlib.figure import Figure

COLORMAP = "inferno"
# As many classes as a square table can name and number.
MATRIX_NAMES = 40
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
  axes.imshow(heat, cmap=COLORMAP, vmin=0, vmax=1,
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


STORY_COLUMNS = ("image", "Grad-CAM", "guided backprop", "soft mask",
                 "masked image", "Grad-CAM, masked")


def explanations(images, story, boxes, captions):
  """ATCON's story of some images, a row each.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
    story: dict of arrays at the image's size, `[B, H, W]`: "first",
      "second", "mask", "first_masked"; and "seen", `[B, H, W, 3]`, what
      the mask leaves of the images.
    boxes: list of B arrays `[n, 4]`, of the class that is explained.
    captions: list of B lines, shown beside the row.
  """
  figure, axes = grid(len(images), len(STORY_COLUMNS), STORY_COLUMNS)
  size = images.shape[1:3]
  for i, row in enumerate(axes):
    show_image(row[0], images[i])
    row[0].set_ylabel(captions[i], fontsize=7)
    show_map(row[1], images[i], story["first"][i])
    guided = story["second"][i]
    # A few pixels hold the largest values: show all up to the 99th percentile.
    top = np.percentile(guided, 99)
    row[2].imshow(guided, cmap="gray", vmin=0, vmax=top if top > 0 else 1)
    row[3].imshow(story["mask"][i], cmap="gray", vmin=0, vmax=1)
    show_image(row[4], story["seen"][i])
    show_map(row[5], images[i], story["first_masked"][i])
    for one in (row[0], row[1], row[5]):
      show_boxes(one, boxes[i], size)
  return figure


ATTENTION_COLUMNS = ("image", "attention", "soft mask", "masked image")


def attention(images, told, outlines, boxes, captions):
  """GAIN's view of some images, a row each.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
    told: dict of arrays: "scaled" and "mask" `[B, H, W]` in [0, 1], "seen"
      `[B, H, W, 3]` in [0, 1], what is left of the images.
    outlines: list of B bool `[H, W]`, where the object is.
    boxes: list of B arrays `[n, 4]`.
    captions: list of B lines, shown beside the row.
  """
  figure, axes = grid(len(images), len(ATTENTION_COLUMNS), ATTENTION_COLUMNS)
  for i, row in enumerate(axes):
    show_image(row[0], images[i])
    row[0].set_ylabel(captions[i], fontsize=7)
    show_boxes(row[0], boxes[i], images.shape[1:3])
    if 0 < outlines[i].mean() < 1:
      row[0].contour(outlines[i], [0.5], colors=BOX_COLOR, linewidths=1)
    show_map(row[1], images[i], told["scaled"][i])
    row[2].imshow(told["mask"][i], cmap="gray", vmin=0, vmax=1)
    show_image(row[3], told["seen"][i])
  return figure


def before_after(images, maps, names, boxes, captions,
                 headings=("image",)):
  """Maps of several models side by side, an image after the other.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
    maps: list of `[B, H, W]`, one for each model.
    names: of the models.
    boxes: list of B arrays `[n, 4]`.
    captions: list of B lists of lines, one for the image and for each model.
    headings: of the columns of images; each takes its share of them.
  """
  width, blocks = 1 + len(maps), len(headings)
  rows = -(-len(images) // blocks)
  figure, axes = grid(rows, width * blocks,
                      [t for h in headings for t in (h, *names)], 1.9)
  size = images.shape[1:3]
  for i in range(rows * blocks):
    first = i // rows * width
    cells = axes[i % rows, first:first + width]
    if i >= len(images):
      for one in cells:
        one.axis("off")
      continue
    show_image(cells[0], images[i])
    for one, heat in zip(cells[1:], maps):
      show_map(one, images[i], heat[i])
    for one, caption in zip(cells, captions[i]):
      one.set_xlabel(caption, fontsize=7)
      show_boxes(one, boxes[i], size)
  return figure


def curves(history, names):
  """Scores against supervised updates, a panel each.

  Args:
    history: list of dicts with "step" and scores.
    names: which scores.
  """
  figure = Figure(figsize=(3.2 * len(names), 2.6), layout="constrained")
  axes = figure.subplots(1, len(names), squeeze=False)
  for one, name in zip(axes[0], names):
    points = [(row["step"], row[name]) for row in history if name in row]
    one.plot(*zip(*points), marker=".")
    one.set_title(name, fontsize=9)
    one.set_xlabel("updates", fontsize=8)
    one.tick_params(labelsize=7)
    one.grid(alpha=.3)
  return figure


def roc(curves):
  """ROC curves in one panel.

  Args:
    curves: `{name: {"false_alarm_rate": [K], "sensitivity": [K]}}`.
  """
  figure = Figure(figsize=(3.6, 3.6), layout="constrained")
  axes = figure.subplots()
  for name, curve in curves.items():
    axes.plot(curve["false_alarm_rate"], curve["sensitivity"], marker=".",
              label=name)
  axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
  axes.set_xlabel("false alarm rate", fontsize=9)
  axes.set_ylabel("sensitivity", fontsize=9)
  axes.legend(fontsize=8, loc="lower right")
  axes.grid(alpha=.3)
  return figure


def matrix(values, class_names, title, xlabel, ylabel):
  """A square table of shares in [0, 1], classes by classes.

  Args:
    values: `[classes, classes]`; NaN where nothing is known. Of more than
      MATRIX_NAMES classes neither names nor numbers are written.
    class_names: of the classes.
    title, xlabel, ylabel: what it says.
  """
  count = len(class_names)
  side = 2.2 + 0.34 * min(count, MATRIX_NAMES)
  figure = Figure(figsize=(side, side), layout="constrained")
  axes = figure.subplots()
  axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
  axes.set_title(title, fontsize=10)
  axes.set_xlabel(xlabel, fontsize=9)
  axes.set_ylabel(ylabel, fontsize=9)
  if count > MATRIX_NAMES:
    return figure
  axes.set_xticks(range(count), class_names, rotation=90, fontsize=8)
  axes.set_yticks(range(count), class_names, fontsize=8)
  for y, x in zip(*np.nonzero(np.isfinite(values))):
    axes.text(x, y, f"{100 * values[y, x]:.0f}", ha="center", va="center",
              fontsize=7, color="white" if values[y, x] > 0.6 else "black")
  return figure


def forest(panels, title):
  """Differences with their intervals, a row each; grey where one holds 0.

  Args:
    panels: `{label: {row: {"difference", "interval": [low, high]}}}`; the
      first panel gives the order of the rows, from the top.
    title: of the figure.
  """
  order = list(dict.fromkeys(r for rows in panels.values() for r in rows))
  figure = Figure(figsize=(2.4 * len(panels) + 1.8, .2 * len(order) + 1.3),
                  layout="constrained")
  axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
  for one, (label, rows) in zip(axes, panels.items()):
    for name, row in rows.items():
      y, (low, high) = -order.index(name), row["interval"]
      color = GOOD if low > 0 else BAD if high < 0 else UNCLEAR
      one.plot([low, high], [y, y], color=color, linewidth=2)
      one.plot(row["difference"], y, "o", color=color, markersize=4.5)
    one.axvline(0, color="black", linewidth=.8)
    one.set_title(label, fontsize=10)
    one.tick_params(labelsize=8)
    one.grid(alpha=.25, axis="x")
  axes[0].set_yticks([-y for y in range(len(order))], order, fontsize=8)
  figure.suptitle(title, fontsize=10)
  return figure
