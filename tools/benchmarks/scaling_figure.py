"""The rows of `scaling_times.py` as one plot."""

import collections

from matplotlib import figure

from tools.benchmarks import results_page


def draw(rows, kind):
  """Writes docs/images/scaling_KIND.png.

  Args:
    rows: of the part "scaling".
    kind: "cpu" or "gpu".
  """
  curves = collections.defaultdict(list)
  for row in rows:
    name, _, size = row["name"].rpartition(" ")
    curves[name].append((float(size), row["ratio"]))
  sheet = figure.Figure(figsize=(7, 4), layout="constrained")
  axes = sheet.subplots()
  for name, points in curves.items():
    first = points[0][0]
    axes.plot([size / first for size, _ in points],
              [ratio for _, ratio in points], marker="o", label=name)
  axes.set(xscale="log", yscale="log", xlabel="size, over the smallest",
           ylabel="time of an image, over that of the smallest")
  axes.legend()
  sheet.savefig(results_page.DOCS / "images" / f"scaling_{kind}.png", dpi=90)
