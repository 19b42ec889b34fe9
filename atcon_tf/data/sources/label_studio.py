"""Choices and rectangles of Label Studio, from its JSON export.

https://labelstud.io/guide/export.html

    [{"data": {"image": "/data/upload/1/0a1b2c3d-7.jpg"},
      "annotations": [{"was_cancelled": false, "result": [
          {"type": "choices", "value": {"choices": ["cat"]}},
          {"type": "rectanglelabels", "original_width": 640,
           "original_height": 480, "value": {
               "x": 10, "y": 5, "width": 30, "height": 20, "rotation": 0,
               "rectanglelabels": ["cat"]}}]}]}]

Numbers of a rectangle are per cent of the image's sides; it turns about its
first corner, and the box of a turned one is the upright box around it. Of
several annotations of a task the first that was not cancelled counts. A task
without one joins the unlabelled pool.

An image is looked for in `data_dir` by its path, by its name, and by its name
without the eight letters that an upload puts before it.
"""

import json
import os
import re
import urllib.parse

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data.sources import annotated

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")


def load(annotations, data_dir="", classes=(), seed=0, judged=()):
  """Reads an export.

  Args:
    annotations: the JSON file.
    data_dir: the folder of the images; empty: that of the file.
    classes: names of the classes to use; empty: all.
    seed: seed of the draw of the parts.
    judged: see `annotated.dataset`.
  Returns:
    a `Dataset` with boxes; single-label if no image shows several classes, and
    there are no boxes.
  Raises:
    UserError: the error names the file and the task.
  """
  top = data_dir or os.path.dirname(annotations) or "."
  try:
    with open(annotations, encoding="utf-8") as file:
      tasks = json.load(file)
  except OSError as error:
    raise UserError("annotations", annotations, error.strerror) from None
  except ValueError as error:
    raise UserError("annotations", annotations, f"not a JSON file: {error}"
                    ) from None
  if not isinstance(tasks, list) or not all(
      isinstance(t, dict) and isinstance(t.get("data"), dict) for t in tasks):
    raise UserError("annotations", annotations, "must be a list of tasks with "
                    "'data', as the export 'JSON' of Label Studio")
  images, several = {}, 0
  for number, task in enumerate(tasks):
    where = f"{annotations}, task {task.get('id', number)}"
    image_id, file = _find(top, task["data"], where)
    if image_id in images:
      raise UserError(f"{where}: image '{image_id}' is also in "
                      f"{images[image_id].where}")
    done = [a for a in task.get("annotations") or ()
            if isinstance(a, dict) and not a.get("was_cancelled")]
    several += len(done) > 1
    names, boxes = _read(done[0], where) if done else (None, ())
    images[image_id] = annotated.Annotated(image_id, file, names, boxes,
                                           where=where)
  images = list(images.values())
  notes = [f"note: {several} tasks have several annotations; the first counts"
           ] if several else []
  order = sorted({name for i in images for name in i.names or ()})
  multi_label = any(i.boxes or len(i.names) != 1 for i in images
                    if i.names is not None)
  return annotated.dataset(images, order, classes, multi_label, seed, notes,
                           judged)


def _find(top, data, where):
  """The id and the path of a task's image."""
  text = next((v for key in ("image", *data)
               if isinstance(v := data.get(key), str)
               and os.path.splitext(v)[1]), "")
  if not text:
    raise UserError(f"{where}: no image in its data")
  parts = urllib.parse.urlsplit(text)
  path = dict(urllib.parse.parse_qsl(parts.query)).get("d") or (
      urllib.parse.unquote(parts.path))
  name = path.rpartition("/")[2]
  for form in (path.lstrip("/"), name, _UPLOAD.sub("", name)):
    if os.path.isfile(os.path.join(top, form)):
      return annotated.find(top, top, form, where)
  return annotated.find(top, top, name, where)


def _read(annotation, where):
  """The classes and the boxes of an annotation."""
  names, boxes = [], []
  for result in annotation.get("result") or ():
    try:
      kind, value = result["type"], result["value"]
      if kind == "choices":
        names += map(str, value["choices"])
      elif kind == "rectanglelabels":
        box = annotated.check_box(_box(result), 100, 100, where)
        for name in map(str, value["rectanglelabels"]):
          names.append(name)
          boxes.append((name, box))
    except (KeyError, TypeError) as error:
      raise UserError(f"{where}: malformed result, at {error}") from None
  return tuple(dict.fromkeys(names)), tuple(boxes)


def _box(result):
  """The upright box around a rectangle, in per cent of the image's sides."""
  value = result["value"]
  x, y, w, h = (float(value[key]) for key in ("x", "y", "width", "height"))
  angle = np.radians(float(value.get("rotation") or 0))
  if not angle:
    return x, y, x + w, y + h
  # It turns in pixels, not in per cent.
  aspect = result["original_width"] / result["original_height"]
  corners = np.array([[0, 0], [w * aspect, 0], [0, h], [w * aspect, h]])
  turn = np.array([[np.cos(angle), np.sin(angle)],
                   [-np.sin(angle), np.cos(angle)]])
  turned = corners @ turn / [aspect, 1] + [x, y]
  # A turned rectangle may reach beyond the image.
  return (*turned.min(0).clip(0, 100), *turned.max(0).clip(0, 100))
