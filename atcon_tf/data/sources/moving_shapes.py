"""Drawn clips of five motions that no single frame can tell apart.

One object visits T places of a grid, each once. The class is the order:

    right, left     row by row, towards the right or the left
    down, up        column by column, downwards or upwards
    jumps           in random order

A clip begins anywhere in its order and goes on from the last place to the
first. So the frames of a clip, without their order, are the same for all five
classes: whoever averages over single frames can do no better than chance
(20 %). Object, ground and place of the grid are random and independent of the
class.

Nothing is stored: a clip is a function of (seed, split, index).
"""

import dataclasses

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data import record
from atcon_tf.data.sources import rules
from atcon_tf.data.sources import shapes

MOTIONS = ("right", "left", "down", "up", "jumps")
SPLITS = {"train": 200, "val": 50, "test": 100}
RADIUS = (0.09, 0.13)  # Radius of the object, in image sides.
MARGIN = 0.18  # Least distance from a place to the image's edge.
NOISE = 0.03


def load(classes=(), frames=16, seed=0, size=64, **numbers):
  """Makes the records of the clips; frames are drawn when they are used.

  Args:
    classes: the motions, in the order of the labels; empty: all.
    frames: T, a product of two numbers from 3 on: the sides of the grid.
    seed: seed of the clips; it is part of their ids.
    size: side in pixels, at least 32; the clips are the same at any size.
    **numbers: of clips in "train", "val" and "test", instead of `SPLITS`.
  Returns:
    a single-label `Dataset` of clips, whose classes take turns.
  Raises:
    UserError: a class is unknown, or there is no grid of so many places.
  """
  names = rules.choose_classes(classes, MOTIONS)
  rows = grid_rows(frames)
  label = record.one_hot(len(names))

  def clip(split, i):
    kind = i % len(names)
    return record.Record(
        f"seed{seed}/{split}/{i:05d}", MovingShape(
            names[kind], frames, rows, (seed, split, i), size), label[kind])

  return record.Dataset(names, False, {
      split: [clip(split, i) for i in range(number)]
      for split, number in {**SPLITS, **numbers}.items()}, frames=frames)


def grid_rows(frames):
  """The rows of the grid with so many places that is nearest to a square.

  Example:
    >>> grid_rows(16), grid_rows(15)
    (4, 3)
  """
  for rows in range(int(frames**.5), 2, -1):
    if frames % rows == 0:
      return rows
  allowed = [n for n in range(9, 65) if any(
      n % r == 0 for r in range(3, int(n**.5) + 1))]
  raise UserError("frames", frames,
                  "--dataset=moving_shapes needs the places of a grid with at "
                  "least 3 rows and columns: "
                  f"{', '.join(map(str, allowed[:8]))}, ...")


@dataclasses.dataclass(frozen=True)
class MovingShape(record.Clip):
  """A clip of one object.

  Attributes:
    motion: one of `MOTIONS`.
    frames: T.
    rows: of the grid.
    scene: seed, split and index.
    size: side in pixels.
  """

  motion: str
  frames: int
  rows: int
  scene: tuple
  size: int

  def each(self, lost=None):
    """Yields the T frames, uint8 `[size, size, 3]`; none is ever lost."""
    seed, split, index = self.scene
    rng = np.random.default_rng(
        [seed, ("train", "val", "test").index(split), index])
    order = self._order(rng)
    ground = shapes.ground(rng, self.size)
    shape = list(shapes.SHAPES)[rng.integers(len(shapes.SHAPES))]
    radius, angle = rng.uniform(*RADIUS), rng.uniform(-np.pi, np.pi)
    colour = rng.uniform(*shapes.BRIGHT, 3) + shapes.texture(rng, self.size)
    shift = rng.uniform(-.5, .5, 2) * (MARGIN - RADIUS[0])
    # Noise belongs to a place, not to a time, which would tell frames apart.
    noise = NOISE * rng.standard_normal(
        [self.frames, *ground.shape], np.float32)
    for place in order:
      x, y = shift + self._place(place)
      inside = shapes.outline(shape, x, y, radius, angle, 1.0, self.size)
      image = np.where(inside[..., None], colour, ground) + noise[place]
      yield (255 * np.clip(image, 0, 1) + .5).astype(np.uint8)

  def _order(self, rng):
    """The places of the grid in the order of the motion, int `[T]`."""
    places = np.arange(self.frames).reshape([self.rows, -1])
    mixed = rng.permutation(self.frames)
    first = rng.integers(self.frames)
    order = {"right": places.ravel(), "left": places.ravel()[::-1],
             "down": places.T.ravel(), "up": places.T.ravel()[::-1],
             "jumps": mixed}[self.motion]
    return np.roll(order, first)

  def _place(self, place):
    """x and y of the middle of a place, in image sides."""
    columns = self.frames // self.rows
    row, column = divmod(place, columns)
    share = np.array([column / (columns - 1), row / (self.rows - 1)])
    return MARGIN + (1 - 2 * MARGIN) * share
