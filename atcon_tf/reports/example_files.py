"""The files of `explain --examples`: training images that explain a picture.

    NAME_examples.png     the picture, the nearest training images, and the
                          most typical one of the class that is predicted
    examples.json         their names, classes and similarities
"""

import json
import textwrap

from matplotlib.figure import Figure

from atcon_tf.config import files
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.reports.explained_files import unique_names
from atcon_tf.reports.figures import canvas

# Of a figure of prototypes: classes, prototypes of each, pictures in a row.
CLASSES, EACH, WIDE = 40, 2, 8
# The most letters of an id below a picture.
WIDEST = 26


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
  rows, progress = {}, Progress(len(paths), "pictures")
  for path, name in zip(paths, unique_names([path.stem for path in paths])):
    progress.add()
    try:
      image = pictures.read(path)
    except UserError:
      continue  # `explain_images` has said so
    seen = explainer.see(image)
    found, = nearest(seen, count)
    best = int(explainer.probability(seen)[0].argmax())
    class_name = explainer.class_names[best]
    typical = nearest.prototypes(best)
    rows[name] = {"nearest": [_told(one) for one in found],
                  "predicted": class_name,
                  "prototype": _told(typical[0]) if typical else None}
    files.write_bytes(folder / f"{name}_examples.png", canvas.to_png(
        strip(image, found, class_name, typical), dpi=100))
  files.write_text(folder / "examples.json", json.dumps(rows, indent=1))
  return len(rows)


def _told(one):
  return {"id": one.record.id, "classes": list(one.classes),
          "similarity": round(one.similarity, 4)}


def strip(image, found, class_name="", typical=()):
  """A picture and, beside it, training images that explain it.

  Args:
    image: uint8 `[height, width, 3]`.
    found: list of `runs.nearest_images.Neighbour`, the nearest ones.
    class_name: of the class that is predicted.
    typical: list of `Neighbour`, prototypes of this class.
  Returns:
    a matplotlib figure.
  """
  legend = ("Training images with the most similar features; 1 is the same "
            "direction.")
  if typical:
    legend += (f" Last: the most typical training image of {class_name}, "
               "which the picture was predicted to show, and its mean "
               "similarity to those of the class.")
  return _row([(image, "image", ""), *map(_tile, found), *(
      _tile(one, f"typical: {class_name}") for one in typical)], 0, legend)


def prototypes(nearest, class_names):
  """Training images that together stand for each class best, as a figure.

  Args:
    nearest: a `runs.nearest_images.NearestImages`.
    class_names: of the run's classes; the first `CLASSES` are shown.
  Returns:
    a matplotlib figure.
  """
  tiles = [_tile(one, name) for c, name in enumerate(class_names[:CLASSES])
           for one in nearest.prototypes(c, EACH)]
  # Rows of about one length, which do not part the images of a class.
  rows = max(1, -(-len(tiles) // WIDE))
  return _row(tiles, EACH * -(-len(tiles) // (EACH * rows)), "")


def _tile(one, title=None):
  """`(pixels, title, caption)` of a `Neighbour`."""
  name = one.record.id
  if len(name) > WIDEST:  # its end tells it from others
    name = f"…{name[1 - WIDEST:]}"
  return (one.pixels, (", ".join(one.classes) or "no class")
          if title is None else title, f"{one.similarity:.2f}\n{name}")


def _row(tiles, wide, legend):
  """Pictures in rows of `wide`; 0: in one row."""
  wide = min(wide or len(tiles), len(tiles))
  tall = -(-len(tiles) // wide)
  lines = textwrap.wrap(legend, 26 * wide)
  figure = Figure(figsize=(1.9 * wide, 2.55 * tall + .15 * len(lines)),
                  layout="constrained")
  axes = list(figure.subplots(tall, wide, squeeze=False).flat)
  for one in axes:
    one.set_axis_off()
  for one, (pixels, title, below) in zip(axes, tiles):
    one.set_axis_on()
    one.imshow(pixels)
    one.set_title(textwrap.shorten(title, 24), fontsize=9)
    one.set_xlabel(below, fontsize=7)
    one.set_xticks([])
    one.set_yticks([])
  if legend:
    figure.supxlabel("\n".join(lines), fontsize=7, color="#555555")
  return figure
