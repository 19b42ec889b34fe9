"""What happens in a long recording: its frames, and its classes over time."""

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.ticker import MultipleLocator
import numpy as np

from atcon_tf.reports.figures import canvas

# Frames in the strip, and the most classes below it.
FRAMES, LANES = 10, 12
_WIDTH, _LEFT, _LANE = 10.0, 1.5, .42  # inches
# Written above, for a reader who did not make it.
LEGEND = ("Steps: the probability of each window. Bars: events, windows of at "
          "least {:.0%}, and their mean probability.")
# Seconds between two marks of the time.
_STEPS = (.1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


def timeline(pictures, windows, probability, class_names, events, threshold,
             title=""):
  """The probability of each class over a recording, and its events.

  Args:
    pictures: list of `(start, end, uint8 [height, width, 3])`: the strip, in
      seconds.
    windows: list of N `(start, end)` in seconds.
    probability: `[N, classes]`.
    class_names: of the classes.
    events: list of `(start, end, class index, probability)`.
    threshold: probability from which on a window belongs to an event.
    title: of the figure.
  Returns:
    a matplotlib figure. Classes with events stand first, in the order of
    their first event.
  """
  shown = list(dict.fromkeys(c for *_, c, _ in events))
  shown += [c for c in np.argsort(-probability.max(0), kind="stable").tolist()
            if c not in shown and probability[:, c].max() > .2]
  shown = shown[:LANES] or [int(probability.max(0).argmax())]
  end = windows[-1][1]
  height, width = pictures[0][2].shape[:2]
  strip = (_WIDTH - _LEFT - .15) / len(pictures) * height / width
  high = strip + _LANE * len(shown) + .95
  figure = Figure(figsize=(_WIDTH, high))
  grid = figure.add_gridspec(
      1 + len(shown), 1, left=_LEFT / _WIDTH, right=1 - .15 / _WIDTH,
      bottom=.5 / high, top=1 - .38 / high, hspace=.12,
      height_ratios=[strip, *[_LANE] * len(shown)])
  film = figure.add_subplot(grid[0])
  for start, stop, picture in pictures:
    film.imshow(picture, extent=(start, stop, 0, 1), aspect="auto",
                interpolation="antialiased")
    film.axvline(stop, color="white", linewidth=1)
  film.set_ylim(0, 1)
  film.axis("off")
  film.set_xlim(0, end)
  colors = matplotlib.colormaps["tab10"].colors
  edges = [windows[0][0], *(stop for _, stop in windows)]
  for k, c in enumerate(shown):
    lane = figure.add_subplot(grid[1 + k], sharex=film)
    _lane(lane, edges, probability[:, c], [e for e in events if e[2] == c],
          threshold, colors[k % len(colors)])
    lane.set_ylabel(canvas.wrapped(class_names[c], 20), fontsize=8,
                    rotation=0, ha="right", va="center")
    lane.tick_params(labelbottom=k == len(shown) - 1, labelsize=8)
  lane.xaxis.set_major_locator(MultipleLocator(next(
      (step for step in _STEPS if end / step <= 12), _STEPS[-1])))
  lane.xaxis.set_major_formatter(FuncFormatter(lambda s, _: clock(s, end)))
  lane.set_xlabel("time" + (" (minutes:seconds)" if end >= 60 else
                            " (seconds)"), fontsize=8)
  figure.text(.1 / _WIDTH, 1 - .08 / high, title, fontsize=10,
              fontweight="bold", va="top")
  figure.text(1 - .15 / _WIDTH, 1 - .1 / high, LEGEND.format(threshold),
              fontsize=7, color="#555555", va="top", ha="right")
  return figure


def _lane(axes, edges, values, events, threshold, color):
  """One class: its probability as steps, its events as bars."""
  axes.stairs(values, edges, fill=True, color=color, alpha=.3)
  axes.stairs(values, edges, baseline=None, color=color, linewidth=1.2)
  axes.axhline(threshold, color="#999999", linewidth=.6, linestyle=":")
  for start, stop, _, probability in events:
    axes.axvspan(start, stop, ymin=0, ymax=.14, color=color, linewidth=0)
    middle = np.clip((start + stop) / 2, .018 * edges[-1], .982 * edges[-1])
    axes.text(middle, .36, f"{probability:.0%}", fontsize=7, ha="center",
              va="center", fontweight="bold")
  axes.set_ylim(0, 1.05)
  axes.set_yticks([])
  for side in ("top", "right", "left"):
    axes.spines[side].set_visible(False)


def clock(seconds, longest=0.0):
  """A time as text: minutes and seconds if `longest` is a minute or more.

  Example:
    >>> clock(75, 90), clock(7.5), clock(3700, 4000)
    ('1:15', '7.5', '1:01:40')
  """
  if longest < 60:
    return f"{seconds:g}"
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return (f"{hours}:{minutes:02d}:{rest:02d}" if longest >= 3600 else
          f"{minutes}:{rest:02d}")
