"""The files of `explain --examples`: the nearest training images.

    NAME_examples.png     the picture beside them
    examples.json         their names, classes and similarities
"""

import json
import textwrap

from matplotlib.figure import Figure

from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.reports.explained_files import unique_names
from atcon_tf.reports.figures import canvas


def explain_by_examples(explainer, nearest, paths, folder, count):
  """Writes the nearest training images of each picture.

  Args:
    explainer: an `Explainer` of the run's classifier.
    nearest: a `runs.nearest_images.NearestImages` of the run.
    paths: of the pictures. One that cannot be read is left out.
    folder: a `pathlib.Path` to write into.
    count: of training images for each picture.
  Returns:
    the number of pictures that were explained.
  """
  rows = {}
  for path, name in zip(paths, unique_names([path.stem for path in paths])):
    try:
      image = pictures.read(path)
    except UserError:
      continue  # `explain_images` has said so
    found, = nearest(explainer.see(image), count)
    rows[name] = [{"id": one.record.id, "classes": list(one.classes),
                   "similarity": round(one.similarity, 4)} for one in found]
    files.write_bytes(folder / f"{name}_examples.png",
                      canvas.to_png(strip(image, found), dpi=100))
  files.write_text(folder / "examples.json", json.dumps(rows, indent=1))
  return len(rows)


def strip(image, found):
  """A picture and, beside it, its nearest training images.

  Args:
    image: uint8 `[height, width, 3]`.
    found: list of `runs.nearest_images.Neighbour`.
  Returns:
    a matplotlib figure.
  """
  figure = Figure(figsize=(1.9 * (1 + len(found)), 2.5), layout="constrained")
  axes = figure.subplots(1, 1 + len(found))
  captions = [(", ".join(one.classes) or "no class",
               f"{one.similarity:.2f}\n{one.record.id}") for one in found]
  shown = [image, *(one.pixels for one in found)]
  for one, pixels, (title, below) in zip(axes, shown,
                                         [("image", ""), *captions]):
    one.imshow(pixels)
    one.set_title(textwrap.shorten(title, 24), fontsize=9)
    one.set_xlabel(textwrap.shorten(below, 30), fontsize=7)
    one.set_xticks([])
    one.set_yticks([])
  figure.supxlabel("Training images with the most similar features; 1 is the "
                   "same direction.", fontsize=7, color="#555555")
  return figure
