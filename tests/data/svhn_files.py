"""SVHN's files, with digits that are drawn."""

import numpy as np
import scipy.io


def write(folder, **counts):
  """Writes `NAME_32x32.mat` with so many digits each; the digits take turns."""
  for number, (name, count) in enumerate(counts.items()):
    rng = np.random.default_rng(number)
    digits = np.arange(count) % 10
    images = rng.integers(0, 60, [32, 32, 3, count], np.uint8)
    for i, digit in enumerate(digits.tolist()):
      images[3 * digit:3 * digit + 5, 10:22, :, i] += 150
    scipy.io.savemat(folder / f"{name}_32x32.mat", {
        "X": images, "y": np.where(digits, digits, 10)[:, np.newaxis].astype(
            np.uint8)})
