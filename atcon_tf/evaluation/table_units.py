"""What is drawn at random in a table of predictions: images, or groups of them.

The tables are those of `scoring.tabulate` and of predictions.npz.
"""

import numpy as np

# The fewest units whose bootstrap is an interval; see `paired_bootstrap`.
FEWEST = 5


def units(table):
  """What is drawn at random in a table: groups of images, or images.

  Args:
    table: from `tabulate`, or a loaded predictions.npz.
  Returns:
    `[N]`, the same for two images of one group; None: without groups.
  """
  if "group" not in table:
    return None
  return np.array([f"group {g}" if g else f"image {i}" for g, i in
                   zip(table["group"], table["id"])])


def carriers(table, unit, name):
  """How many images, or groups of them, a score is of.

  Args:
    table: from `tabulate`, or a loaded predictions.npz.
    unit: from `units`.
    name: of a metric, or (class, metric).
  """
  unit = np.arange(len(table["id"])) if unit is None else unit
  of_class, metric = (None, name) if isinstance(name, str) else name
  if metric not in table:
    return len(set(unit))
  known = np.isfinite(table[metric])
  if of_class is not None:
    known = known[:, table["class_names"].tolist().index(of_class)]
  return len(set(unit[known if known.ndim == 1 else known.any(1)]))
