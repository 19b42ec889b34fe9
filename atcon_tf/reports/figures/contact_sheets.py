"""Maps over pictures of the user's own: overlays, contact sheets, boxes.

The maps are raw and at the network's size. These functions scale them, and
stretch them to the size and shape of the picture.
"""

import textwrap

from matplotlib.figure import Figure
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from scipy import ndimage

from atcon_tf.config.names import COLORMAP
from atcon_tf.evaluation.metrics import localization
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import lettering

# A few pixels of a gradient hold its largest values: full brightness begins
# at this percentile.
TOP = 99.5
# Written below each sheet, for a reader who did not make it.
LEGEND = "Bright: where the model finds evidence for the class."
PIXEL_LEGEND = (" In the dots of {}: pixels on which the score of the class "
                "depends most.")
BOX_LEGEND = " Box: around the brightest part."


def brightness(heat):
  """The positive part of a map from 0 to 1; all 0 without one."""
  heat = np.maximum(heat, 0)
  top = np.percentile(heat, TOP) or heat.max()
  return np.clip(heat / top, 0, 1) if top > 0 else heat


def gathered(heat, share=1 / 20):
  """A map of single pixels, blurred into areas that a box can surround.

  The map of a gradient is dots, so that its largest connected part would be
  one dot. The sigma of the Gaussian is `share` of the map's longer side.
  """
  return ndimage.gaussian_filter(np.maximum(heat, 0), share * max(heat.shape))


def stretch(heat, size):
  """A map `[h, w]` at another `(height, width)`, linear."""
  image = PIL.Image.fromarray(np.asarray(heat, np.float32))
  return np.asarray(image.resize(size[::-1], PIL.Image.Resampling.BILINEAR))


def overlay(image, light, colormap=COLORMAP, alpha=0.6):
  """A map in colour over a grey image of any size.

  Unlike `canvas.overlay` it leaves the image bare where the map is 0, and the
  caller sets the opacity.

  Args:
    image: uint8 `[height, width, 3]`.
    light: `[height, width]` in [0, 1]; see `brightness`.
    colormap: of matplotlib.
    alpha: opacity of the colour where the map is 1; nothing where it is 0.
  Returns:
    uint8 `[height, width, 3]`.
  """
  mixed = canvas.blend(image / 255, light, alpha * np.sqrt(light), colormap)
  return (255 * mixed).round().astype(np.uint8)


def stamp(image, text):
  """A frame with a text in a dark bar along its lower edge.

  Args:
    image: uint8 `[height, width, 3]`.
    text: broken into lines that fit; its letters shrink for a long word.
  Returns:
    uint8 `[height, width, 3]`, a new array.
  """
  height, width = image.shape[:2]
  picture = PIL.Image.fromarray(image)
  draw = PIL.ImageDraw.Draw(picture, "RGBA")
  path = lettering.font_file(text)
  for size in range(max(9, height // 14), 4, -1):
    font = PIL.ImageFont.truetype(path, size)
    lines = [""]
    for word in text.split():
      longer = f"{lines[-1]} {word}".strip()
      if lines[-1] and draw.textlength(longer, font) > width - 6:
        lines.append(word)
      else:
        lines[-1] = longer
    if max(draw.textlength(line, font) for line in lines) <= width - 6:
      break
  text = "\n".join(lines)
  _, top, _, bottom = draw.multiline_textbbox((0, 0), text, font, spacing=2)
  bar = bottom - top + 6
  draw.rectangle([0, height - bar, width, height], fill=(0, 0, 0, 170))
  draw.multiline_text((3, height - bar + 3 - top), text, (255, 255, 255),
                      font, spacing=2)
  return np.asarray(picture)


def boxes(heat, threshold=0.5, largest=True):
  """Boxes around the parts of `relu(map) > threshold * max`.

  Args:
    heat: `[height, width]`.
    threshold: share of the maximum, in [0, 1).
    largest: only around the largest connected part.
  Returns:
    list of `{"box": [x_min, y_min, x_max, y_max] in units of the map's sides,
    "score": the mean of the map inside, over its maximum}`, best first.
  """
  peak = heat.max()
  if not peak > 0:
    return []
  mask = heat > threshold * peak
  parts, count = ndimage.label(mask, np.ones([3, 3]))
  if largest:
    parts, count = localization.largest_component(mask).astype(int), 1
  found = [{"box": localization.box_of(parts == i).tolist(),
            "score": float(heat[parts == i].mean() / peak)}
           for i in range(1, count + 1)]
  return sorted(found, key=lambda one: -one["score"])


# A box of more than this share of the picture points at nothing, and so does
# one with a side of fewer pixels.
LARGEST, THINNEST = 0.7, 3


def pointing(box, size):
  """Whether a box of `boxes` points at a part of a picture, and why not.

  Args:
    box: `[x_min, y_min, x_max, y_max]` in units of the picture's sides.
    size: height and width of the picture in pixels.
  Returns:
    "" if it does, else words for the sheet, which does not draw the box.
  """
  width, height = box[2] - box[0], box[3] - box[1]
  if width * height > LARGEST:
    return f"no box: it would hold more than {LARGEST:.0%} of the picture"
  if min(width * size[1], height * size[0]) < THINNEST:
    return "no box: it would be a line or a dot"
  return ""


def sheet(image, names, rows, subtitle="", dotted=()):
  """One image beside its maps: a row for each class, a column each method.

  Args:
    image: uint8 `[height, width, 3]`.
    names: of the methods.
    rows: list of `(caption, [(overlay, boxes, note) of each method])`.
    subtitle: under the image.
    dotted: those of the names whose maps are of single pixels.
  Returns:
    a matplotlib figure.
  """
  height, width = image.shape[:2]
  side = 2.4
  shape = (side, side * width / height) if height > width else (
      side * height / width, side)
  wide = (1 + len(names)) * (shape[1] + .1) + .3
  titles = ["\n".join(textwrap.wrap(
      name.replace("_", "_ "), max(1, int(10 * shape[1])))).replace("_ ", "_")
            for name in ["image", *names]]
  boxed = any(found for _, cells in rows for _, found, _ in cells)
  pixels = dotted and PIXEL_LEGEND.format(", ".join(dotted))
  legend = textwrap.fill(f"{LEGEND}{pixels or ''}{BOX_LEGEND * boxed}",
                         int(14 * wide))
  # A line of text is about a sixth of an inch high.
  lines = (max(title.count("\n") for title in titles) + subtitle.count("\n")
           + legend.count("\n") + 4)
  figure = Figure(figsize=(wide + canvas.MARGIN[1],
                           len(rows) * (shape[0] + .5) + lines / 6),
                  layout="constrained")
  axes = figure.subplots(len(rows), 1 + len(names), squeeze=False)
  for one, title in zip(axes[0], titles):
    one.set_title(title, fontsize=10, fontweight="bold")
  for number, (row, (caption, cells)) in enumerate(zip(axes, rows)):
    row[0].imshow(image)
    row[0].set_ylabel(canvas.wrapped(caption, 16), fontsize=10, rotation=0,
                      ha="right", va="center", multialignment="left")
    if number == len(rows) - 1 and subtitle:
      row[0].set_xlabel(subtitle, fontsize=8)
    for one, (picture, found, note) in zip(row[1:], cells):
      one.imshow(picture)
      canvas.show_boxes(one, found, image.shape[:2])
      one.set_xlabel(canvas.wrapped(
          note, max(8, int(13 * shape[1]))), fontsize=8)
  for one in axes.flat:
    one.set_xticks([])
    one.set_yticks([])
  figure.supxlabel(legend, fontsize=8, color="#555555")
  return figure
