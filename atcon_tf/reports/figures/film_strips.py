"""Clips as film strips: frames side by side, maps below them, a curve below.

    figure = film_strips.verdicts(clips, heat, said, shown, right, names,
                                  seconds)

A map's brightness is scaled over the whole clip, so that a frame without
evidence is dark. The curve is the evidence over time (`evidence`), whose axis
is that of the frames above it.
"""

import matplotlib
from matplotlib.figure import Figure
import numpy as np

from atcon_tf.attribution import maps
from atcon_tf.config.names import COLORMAP
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import contact_sheets

# The most frames of a clip that are shown, and the gap between them in pixels.
SHOWN, GAP = 8, 2
_CELL = 1.05  # inches of a frame
_CURVE = .42  # inches of a curve


def evidence(heat):
  """Evidence over time in [0, 1]: the mean of a map's positive part.

  Args:
    heat: `[..., T, H, W]`, of any scale.
  Returns:
    `[..., T]`, with the maximum 1; 0 where nothing is positive.
  """
  total = np.maximum(heat, 0).mean((-2, -1))
  top = total.max(-1, keepdims=True)
  return np.where(top > 0, total / np.where(top > 0, top, 1), 0)


def chosen(frames):
  """The numbers of the frames that a strip shows, evenly spread."""
  return np.linspace(0, frames - 1, min(SHOWN, frames)).round().astype(int)


def overlays(clip, heat, top):
  """Maps over frames, `[T, H, W, 3]` in [0, 1].

  Args:
    clip: `[T, H, W, 3]` in [0, 1].
    heat: `[T, H, W]`, raw.
    top: the value that is brightest, such as the maximum of a whole clip.
  """
  light = np.clip(heat / top, 0, 1) if top > 0 else 0 * heat
  return np.stack([canvas.blend(
      image, one, maps.OPACITY_FROM + maps.OPACITY_RANGE * one)
                   for image, one in zip(clip, light)])


def verdicts(clips, heat, said, shown, right, names, seconds):
  """Frames, evidence and a verdict for each clip.

  Args:
    clips: `[B, T, H, W, 3]` in [0, 1].
    heat: `[B, T, H, W]`, the map of the class that the model says.
    said: list of B texts, what the model says.
    shown: list of B texts, what the clip shows.
    right: list of B bools.
    names: list of B texts, of the clips.
    seconds: list of B arrays `[T]`, of the frames, or of Nones.
  """
  texts = [f"The model says:\n{own}\n \nThe clip shows:\n{truth}\n \n{name}"
           for own, truth, name in zip(said, shown, names)]
  heads = [("✓ right", canvas.GOOD) if fine else ("✗ wrong", canvas.BAD)
           for fine in right]
  return _figure(clips, [("frames", "picture", clips),
                         ("evidence", "map", heat)], texts, seconds, heads)


def explanations(clips, found, captions, seconds):
  """The maps that ATCON compares, of each clip.

  Args:
    clips: `[B, T, H, W, 3]` in [0, 1].
    found: dict of arrays `[B, T, H, W]`: "first" and, if the network has
      guided maps, "second", "mask", "first_masked" of `consistency.explain`.
    captions: list of B texts.
    seconds: see `verdicts`.
  """
  rows = [("frames", "picture", clips), ("Grad-CAM", "map", found["first"])]
  if "mask" in found:
    rows += [("guided\nbackprop", "dots", found["second"]),
             ("soft mask", "grey", found["mask"]),
             ("Grad-CAM,\nmasked", "map", found["first_masked"])]
  return _figure(clips, rows, captions, seconds)


def side_by_side(clips, heat, names, captions, seconds):
  """Maps of several models or methods, one below the other, of each clip.

  Args:
    clips: `[B, T, H, W, 3]` in [0, 1].
    heat: list of `[B, T, H, W]`.
    names: of the maps.
    captions, seconds: see `explanations`.
  """
  return _figure(clips, [("frames", "picture", clips), *(
      (name, "map", one) for name, one in zip(names, heat))], captions,
                 seconds)


def _figure(clips, rows, captions, seconds, heads=None):
  """A block for each clip: a strip for each row, and the curve of its maps.

  Args:
    clips, captions, seconds: see `explanations`.
    rows: list of `(name, kind, arrays of B clips)`; a kind is "picture",
      "map" (over the frames), "dots" (a map of single pixels) or "grey".
    heads: list of `(text, colour)` over the captions; None: there are none.
  """
  count, frames, height, width = clips.shape[:4]
  at = chosen(frames)
  cell = _CELL * height / width
  block = [cell] * len(rows) + [_CURVE, .3]
  figure = Figure(figsize=(
      canvas.MARGIN[1] + .75 + _CELL * len(at), count * sum(block) + .45),
                  layout="none")
  wide, high = figure.get_size_inches()
  left, right = (canvas.MARGIN[1] + .75) / wide, 1 - .05 / wide
  grid = figure.add_gridspec(
      count * len(block), 1, height_ratios=block * count, left=left,
      right=right, top=1 - .18 / high, bottom=.1 / high, hspace=.04)
  for b in range(count):
    axes = [figure.add_subplot(grid[b * len(block) + r])
            for r in range(len(rows) + 1)]
    for one, (name, kind, arrays) in zip(axes, rows):
      _strip(one, clips[b][at], kind, arrays[b][at], arrays[b])
      one.set_ylabel(name, fontsize=7, rotation=0, ha="right", va="center")
    for k, frame in enumerate(at):
      time = f"frame {frame}" if seconds[b] is None else (
          f"{seconds[b][frame]:.2f} s")
      axes[0].annotate(
          time, (_middle(k, width), -.5), xytext=(0, 2), fontsize=6,
          textcoords="offset points", ha="center", va="bottom",
          color="#555555")
    curves = [(name.replace("\n", " "), evidence(heat[b]))
              for name, kind, heat in rows if kind == "map"]
    _curve(axes[-1], curves, at, width)
    top = grid[b * len(block)].get_position(figure).y1
    words = canvas.wrapped(captions[b], canvas.MARGIN[0] + 2)
    line = .14 / high
    if heads:
      text, color = heads[b]
      figure.text(.06 / wide, top, text, fontsize=10, fontweight="bold",
                  color=color, va="top")
      top -= 2 * line
    figure.text(.06 / wide, top, words, fontsize=7, va="top")
  return figure


def _strip(axes, clip, kind, values, whole):
  """Draws frames side by side; `whole` has all frames, for the scale."""
  if kind == "map":
    values = overlays(clip, values, np.percentile(
        np.maximum(whole, 0), contact_sheets.TOP) or whole.max())
  elif kind in ("dots", "grey"):
    # A few pixels hold the largest values: show all up to the 99th percentile.
    top = np.percentile(whole, 99) if kind == "dots" else 1
    values = np.repeat(np.clip(values / (top if top > 0 else 1), 0, 1)[
        ..., np.newaxis], 3, -1)
  height, width = values.shape[1:3]
  film = np.ones([height, len(values) * (width + GAP) - GAP, 3])
  for k, frame in enumerate(values):
    film[:, k * (width + GAP):k * (width + GAP) + width] = frame
  axes.imshow(np.clip(film, 0, 1), interpolation="antialiased", aspect="auto")
  axes.set_xticks([])
  axes.set_yticks([])
  for side in axes.spines.values():
    side.set_visible(False)


def _middle(k, width):
  """Where the middle of the k-th frame of a strip is, in pixels."""
  return k * (width + GAP) + (width - 1) / 2


def _curve(axes, curves, at, width):
  """Draws `[(name, evidence [T])]` below a strip of the frames `at`."""
  # Orange alone; from there on to darker colours.
  colors = matplotlib.colormaps[COLORMAP](np.linspace(.65, .25, max(
      2, len(curves))))
  for (name, values), color in zip(curves, colors):
    place = np.interp(np.arange(len(values)), at,
                      [_middle(k, width) for k in range(len(at))])
    axes.plot(place, values, color=color, linewidth=1.2, marker=".",
              markersize=3, label=name)
    if len(curves) == 1:
      axes.fill_between(place, values, color=color, alpha=.3, linewidth=0)
  axes.set_xlim(-.5, len(at) * (width + GAP) - GAP - .5)
  axes.set_ylim(0, 1.12 if len(curves) == 1 else 1.5)
  axes.set_xticks([])
  axes.set_yticks([])
  axes.set_ylabel("over time", fontsize=7, rotation=0, ha="right",
                  va="center")
  for side in ("top", "right", "left"):
    axes.spines[side].set_visible(False)
  if len(curves) > 1:
    axes.legend(fontsize=6, ncols=len(curves), loc="upper right",
                frameon=False, borderpad=0)
