"""Files of drawn pictures: discs and squares, with boxes and masks."""

import pathlib
import typing

import numpy as np
import PIL.Image

NAMES = ("disc", "square")
WIDTH, HEIGHT = 48, 40


class Drawn(typing.NamedTuple):
  """A picture: its path below the folder, class, box and mask."""
  path: str
  name: str
  box: tuple  # x_min, y_min, x_max, y_max in pixels
  mask: np.ndarray  # bool [HEIGHT, WIDTH]


def draw(folder, count=30, prefix="", seed=0):
  """Writes pictures, JPEG and PNG; the classes take turns.

  Returns:
    list of `Drawn`.
  """
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:HEIGHT, :WIDTH]
  found = []
  for i in range(count):
    r = rng.integers(5, 10)
    cx, cy = rng.integers(r, WIDTH - r), rng.integers(r, HEIGHT - r)
    dx, dy = abs(x + .5 - cx), abs(y + .5 - cy)
    mask = np.hypot(dx, dy) < r if i % 2 == 0 else np.maximum(dx, dy) < r
    image = rng.normal(90, 12, [HEIGHT, WIDTH, 3])
    image[mask] += [90, 60, 0]
    path = pathlib.Path(folder, prefix, f"{i:02d}.{'jpg' if i % 3 else 'png'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.uint8(image.clip(0, 255))).save(path)
    found.append(Drawn(path.relative_to(folder).as_posix(), NAMES[i % 2],
                       (int(cx - r), int(cy - r), int(cx + r), int(cy + r)),
                       mask))
  return found
