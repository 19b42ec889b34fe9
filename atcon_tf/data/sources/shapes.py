"""Drawn scenes: a multi-label data set that needs no files.

Each image shows one to three objects of six shapes on a cluttered ground.
Size, rotation, colour and texture are random and independent of the class;
only the outline depends on it. Boxes and masks are exact.

Each image also has a false cue: a tinted corner. Each class has a hue. In
train, labelled and unlabelled, the corner has with probability 0.9 the hue of
a class that is present, otherwise that of a random class; in val and test it
always has the hue of a random class. So a network that uses the corner
classifies well in training and badly afterwards, and a network that uses the
objects classifies both alike. The validation set, which chooses thresholds and
checkpoints, distinguishes the two. The cue has neither a box nor a mask.

Nothing is stored: an image is a function of (seed, split, index).
"""

import colorsys
import functools
import typing

import numpy as np
import PIL.ImageDraw

from atcon_tf.data import record
from atcon_tf.data.sources import rules

CUE_IN_TRAINING = 0.9
CUE_SIDE = 0.18  # Side of the tinted corner, in image sides.
# tiny_cnn from scratch, 8 shots a class, 300 steps, 5 seeds: test mAP 0.62;
# 0.76 without the cue; chance 0.25; all labels, 700 steps of 16: 0.99.
CUE_OPACITY = 0.5
OBJECTS = (0.4, 0.35, 0.25)  # Probability of one, two, three objects.
RADIUS = (0.16, 0.26)  # Radius of an object, in image sides.
TURN = 0.25  # Largest rotation in either direction, in radians.
CLUTTER = (2, 6)  # Numbers of strokes and blobs, the last excluded.
# Objects are brighter than the ground. Without such a regularity a network
# that is trained from scratch on 48 images does not generalise.
GROUND = (0.08, 0.42)
BRIGHT = (0.6, 1.0)


def _star(u, v):
  # By symmetry one tenth of the star is enough: there a point is inside if it
  # lies on the centre's side of the edge from a tip (radius 1) to a notch
  # (radius 0.42).
  angle = np.abs((np.arctan2(u, -v) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
  x, y = np.hypot(u, v) * np.cos(angle), np.hypot(u, v) * np.sin(angle)
  notch_x, notch_y = 0.42 * np.cos(np.pi / 5), 0.42 * np.sin(np.pi / 5)
  return (x - 1) * notch_y + y * (1 - notch_x) < 0


# Each function gives the points inside a shape. The coordinates u (right) and
# v (down) are in units of its radius; a shape lies within the circle of
# radius 1.
SHAPES = {
    "disk": lambda u, v: np.hypot(u, v) < 0.88,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.75) < 0.23,
    "triangle": lambda u, v: (v < 0.5) & (np.sqrt(3) * np.abs(u) - v < 1),
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) < 0.7,
    "cross": lambda u, v: (np.minimum(np.abs(u), np.abs(v)) < 0.27) & (
        np.maximum(np.abs(u), np.abs(v)) < 0.95),
    "star": _star,
}


class _Object(typing.NamedTuple):
  """One object of a scene, with lengths in image sides."""
  class_index: int
  x: float
  y: float
  radius: float
  angle: float
  stretch: float


def load(classes=(), seed=0, train=480, val=160, test=320, size=64):
  """Makes the records of the scenes; pixels are drawn when they are used.

  Args:
    classes: the shapes to draw, in the order of the labels; empty: all.
    seed: seed of the scenes; it is part of their ids.
    train, val, test: numbers of images.
    size: side in pixels, at least 32; the scenes are the same at any size.
  Returns:
    a multi-label `Dataset` with boxes and masks.
  Raises:
    UserError: a class is unknown.
  """
  names = rules.choose_classes(classes, tuple(SHAPES))
  return record.Dataset(names, True, {
      split: list(_records(names, seed, split, number, size))
      for split, number in (("train", train), ("val", val), ("test", test))})


@functools.lru_cache(maxsize=16)
def _records(names, seed, split, number, size):
  """The records of a split; the runs of a process share them."""
  return tuple(_record(names, seed, split, i, size) for i in range(number))


def _record(names, seed, split, index, size):
  """The record of one scene."""
  objects, _ = _scene(names, seed, split, index)
  masks = [_outline(o, names, size) for o in objects]
  box_label = np.array([o.class_index for o in objects], np.int32)
  label = np.zeros([len(names)], np.float32)
  label[box_label] = 1
  arguments = (names, seed, split, index, size)
  return record.Record(
      f"seed{seed}/{split}/{index:05d}", functools.partial(_draw, *arguments),
      label, np.array([_box(m) for m in masks], np.float32), box_label,
      functools.partial(_mask, *arguments))


def _scene(names, seed, split, index):
  """The objects of a scene, and the generator that draws the rest of it."""
  rng = np.random.default_rng(
      [seed, ("train", "val", "test").index(split), index])
  objects = []
  wanted = 1 + rng.choice(3, p=OBJECTS)
  # Objects do not overlap, so a crowded scene has fewer than wanted.
  for _ in range(20):
    radius = rng.uniform(*RADIUS)
    x, y = rng.uniform(radius, 1 - radius, 2)
    new = _Object(int(rng.integers(len(names))), x, y, radius,
                  rng.uniform(-TURN, TURN), rng.uniform(0.8, 1))
    if len(objects) < wanted and all(
        np.hypot(x - o.x, y - o.y) > radius + o.radius for o in objects):
      objects.append(new)
  return objects, rng


@functools.lru_cache(maxsize=4)
def _pixels(size):
  """The centres of the pixels in image sides: y `[size, 1]`, x `[1, size]`."""
  centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
  return centres[:, None], centres[None]


def _outline(item, names, size):
  """The pixels of an object, bool `[size, size]`."""
  return outline(names[item.class_index], *item[1:], size)


def outline(shape, x, y, radius, angle, stretch, size):
  """The pixels of a shape, bool `[size, size]`; lengths in image sides."""
  down, right = _pixels(size)
  right, down = right - x, down - y
  cosine, sine = np.cos(angle), np.sin(angle)
  u = (right * cosine + down * sine) / radius
  v = (down * cosine - right * sine) / (radius * stretch)
  return SHAPES[shape](u, v)


def _box(outline):
  """The tight box of a mask, normalised `x_min, y_min, x_max, y_max`."""
  rows, columns = np.flatnonzero(outline.any(1)), np.flatnonzero(
      outline.any(0))
  return (columns[0] / outline.shape[1], rows[0] / outline.shape[0],
          (columns[-1] + 1) / outline.shape[1],
          (rows[-1] + 1) / outline.shape[0])


def _mask(names, seed, split, index, size):
  """The mask of a scene, see `Record.mask`."""
  objects, _ = _scene(names, seed, split, index)
  mask = np.zeros([size, size], np.uint8)
  for item in objects:
    mask[_outline(item, names, size)] = 1 + item.class_index
  return mask


def _draw(names, seed, split, index, size):
  """The image of a scene, uint8 `[size, size, 3]`."""
  objects, rng = _scene(names, seed, split, index)
  image = ground(rng, size)
  image = _clutter(rng, image)
  _tint_corner(rng, image, objects, len(names), split == "train")
  for item in objects:
    where = _outline(item, names, size)
    image[where] = (rng.uniform(*BRIGHT, 3) + texture(rng, size))[where]
  image += 0.03 * rng.standard_normal(image.shape, np.float32)
  return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)


def ground(rng, size):
  """A smooth random colour field with a texture, `[size, size, 3]`."""
  low, high = (round(255 * value) for value in GROUND)
  return _smooth(rng.integers(low, high, [4, 4, 3], np.uint8), size) + (
      texture(rng, size))


def _smooth(grid, size):
  """A small uint8 grid, enlarged smoothly to float32 in [0, 1]."""
  image = PIL.Image.fromarray(grid).resize((size, size), PIL.Image.BICUBIC)
  return np.asarray(image, np.float32) / 255


def texture(rng, size):
  """A texture `[size, size, 1]` around 0: plain, blotches, stripes, checks."""
  kind, strength = rng.integers(4), rng.uniform(0.03, 0.1)
  if kind == 0:
    return np.zeros([size, size, 1], np.float32)
  if kind == 1:
    pattern = 2 * _smooth(rng.integers(0, 256, [9, 9], np.uint8), size) - 1
    return strength * pattern[..., None]
  angle, waves = rng.uniform(0, np.pi), rng.uniform(4, 12)
  y, x = _pixels(size)
  pattern = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)))
  if kind == 2:
    pattern = np.sign(pattern * np.sin(
        2 * np.pi * waves * (y * np.cos(angle) - x * np.sin(angle))))
  return strength * pattern[..., None]


def _clutter(rng, image):
  """Adds strokes, arcs and small blobs of any colour, but no whole shape."""
  size = len(image)
  canvas = PIL.Image.fromarray(
      (255 * np.clip(image, 0, 1)).astype(np.uint8))
  pen = PIL.ImageDraw.Draw(canvas)
  for _ in range(rng.integers(*CLUTTER)):
    colour = tuple(rng.integers(0, 256, 3).tolist())
    x, y, dx, dy = (size * rng.uniform([0, 0, -.2, -.2], [1, 1, .2, .2])
                    ).tolist()
    width = max(1, round(size * rng.uniform(0.01, 0.05)))
    kind = rng.integers(4)
    corners = (min(x, x + dx), min(y, y + dy), max(x, x + dx), max(y, y + dy))
    if kind == 0:
      pen.line((x, y, x + dx, y + dy), colour, width)
    elif kind == 1:
      pen.line((x, y, x + dx, y + dy, x + dx - dy, y + dy), colour, width)
    elif kind == 2:
      start = rng.uniform(0, 360)
      pen.arc(corners, start, start + rng.uniform(60, 170), colour, width)
    else:
      pen.ellipse((x, y, x + abs(dx) / 2, y + abs(dy) / 2), colour)
  return np.asarray(canvas, np.float32) / 255


def _tint_corner(rng, image, objects, classes, training):
  """Tints one corner of the image with the cue, in place."""
  hue = int(rng.integers(classes))
  if training and rng.random() < CUE_IN_TRAINING:
    hue = objects[rng.integers(len(objects))].class_index
  colour = np.array(colorsys.hsv_to_rgb(hue / classes, 1, 1))
  side = round(CUE_SIDE * len(image))
  rows = slice(side) if rng.random() < 0.5 else slice(-side, None)
  columns = slice(side) if rng.random() < 0.5 else slice(-side, None)
  image[rows, columns] += CUE_OPACITY * (colour - image[rows, columns])
