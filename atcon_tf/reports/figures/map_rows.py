"""Figures of images, maps, masks and boxes, a row for each image.

    figure = map_rows.explanations(images, found, boxes, captions)
    png = canvas.to_png(figure)
"""

import numpy as np

from atcon_tf.reports.figures import canvas

AGREEMENT_COLUMNS = ("image", "Grad-CAM", "guided backprop", "soft mask",
                     "masked image", "Grad-CAM, masked")


def explanations(images, found, boxes, captions):
  """The maps that ATCON compares, a row for each image.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
    found: dict of arrays at the size of the images, `[B, H, W]`: "first",
      "second", "mask", "first_masked" of `consistency.explain`; and "seen",
      `[B, H, W, 3]`, the masked images.
    boxes: list of B arrays `[n, 4]`, of the class that is explained.
    captions: list of B lines, shown beside the row.
  """
  def grey(heat):
    return np.repeat(heat[..., np.newaxis], 3, -1)

  tiles = []
  for i, image in enumerate(images):
    guided = found["second"][i]
    # A few pixels hold the largest values: show all up to the 99th percentile.
    top = np.percentile(guided, 99)
    tiles.append([
        image, canvas.shown(image, found["first"][i]),
        grey(guided / (top if top > 0 else 1)), grey(found["mask"][i]),
        found["seen"][i], canvas.shown(image, found["first_masked"][i])])
  figure, axes, corner = canvas.mosaic(tiles, AGREEMENT_COLUMNS, captions)
  size = images.shape[1:3]
  for i in range(len(images)):
    for column in (0, 1, 5):
      canvas.show_boxes(axes, boxes[i], size, corner(i, column))
    words = {column: canvas.blank(found[name][i]) for column, name in (
        (1, "first"), (2, "second"), (5, "first_masked"))}
    words[3] = canvas.EQUAL if canvas.blank(found["mask"][i]) else ""
    for column, text in words.items():
      top, left = corner(i, column)
      canvas.say(axes, text, (left + size[1] / 2, top + size[0] / 2),
                 axes.transData)
  return figure


VERDICT_COLUMNS = ("photo", "evidence", "verdict")
# Images side by side.
BLOCKS = 2


def verdicts(images, heat, boxes, said, shown, right, names):
  """A photo, a map and a verdict for each image, two images a row.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
    heat: `[B, H, W]`, the map of the class that the model says.
    boxes: list of B arrays `[n, 4]`, drawn on the photos and maps.
    said: list of B texts, what the model says.
    shown: list of B texts, what the image shows.
    right: list of B bools.
    names: list of B texts, of the images.
  """
  width = len(VERDICT_COLUMNS)
  blocks = min(BLOCKS, len(images))
  rows = -(-len(images) // blocks)
  figure, axes = canvas.grid(rows, width * blocks, VERDICT_COLUMNS * blocks,
                             1.7)
  for one in axes.flat:
    one.axis("off")
  for i, (own, truth, name) in enumerate(zip(said, shown, names)):
    first = i % blocks * width
    photo, bright, words = axes[i // blocks, first:first + width]
    canvas.show_image(photo, images[i])
    canvas.show_map(bright, images[i], heat[i])
    for one in (photo, bright):
      canvas.show_boxes(one, boxes[i], images.shape[1:3])
    color, mark = (canvas.GOOD, "✓ right") if right[i] else (
        canvas.BAD, "✗ wrong")
    words.set_box_aspect(1)  # as the pictures, so that headings align
    words.text(0, .9, mark, fontsize=10, fontweight="bold", color=color,
               transform=words.transAxes, va="center")
    words.text(0, .79, canvas.wrapped(f"The model says:\n{own}\n \nThe image "
                                      f"shows:\n{truth}", 22), fontsize=8,
               transform=words.transAxes, va="top")
    words.text(0, 0, canvas.wrapped(name, 30), fontsize=6, color="#555555",
               transform=words.transAxes, va="bottom")
  return figure


ATTENTION_COLUMNS = ("image", "attention", "soft mask", "masked image")


def attention(images, attended, outlines, boxes, captions):
  """GAIN's attention to some images, a row each.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
    attended: dict of arrays: "scaled" and "mask" `[B, H, W]` in [0, 1], "seen"
      `[B, H, W, 3]` in [0, 1], what is left of the images.
    outlines: list of B bool `[H, W]`, where the object is.
    boxes: list of B arrays `[n, 4]`.
    captions: list of B lines, shown beside the row.
  """
  figure, axes = canvas.grid(len(images), len(ATTENTION_COLUMNS),
                             ATTENTION_COLUMNS, captions=captions)
  for i, row in enumerate(axes):
    canvas.show_image(row[0], images[i])
    canvas.show_boxes(row[0], boxes[i], images.shape[1:3])
    if 0 < outlines[i].mean() < 1:
      row[0].contour(outlines[i], [0.5], colors=canvas.BOX_COLOR, linewidths=1)
    canvas.show_map(row[1], images[i], attended["scaled"][i])
    row[2].imshow(attended["mask"][i], cmap="gray", vmin=0, vmax=1)
    canvas.show_image(row[3], attended["seen"][i])
  return figure


def before_after(images, maps, names, boxes, captions,
                 headings=("image",)):
  """Maps of several models side by side, image by image.

  Args:
    images: `[B, H, W, 3]` in [0, 1].
    maps: list of `[B, H, W]`, one for each model.
    names: of the models.
    boxes: list of B arrays `[n, 4]`.
    captions: list of B lists of lines, one for the image and for each model.
    headings: one for each block of columns; the images are divided evenly
      between the blocks.
  """
  width, blocks = 1 + len(maps), len(headings)
  rows = -(-len(images) // blocks)
  figure, axes = canvas.grid(rows, width * blocks,
                             [t for h in headings for t in (h, *names)], 1.9)
  size = images.shape[1:3]
  for i in range(rows * blocks):
    first = i // rows * width
    cells = axes[i % rows, first:first + width]
    if i >= len(images):
      for one in cells:
        one.axis("off")
      continue
    canvas.show_image(cells[0], images[i])
    for one, heat in zip(cells[1:], maps):
      canvas.show_map(one, images[i], heat[i])
    for one, caption in zip(cells, captions[i]):
      one.set_xlabel(canvas.wrapped(caption, 27), fontsize=7)
      canvas.show_boxes(one, boxes[i], size)
  return figure
