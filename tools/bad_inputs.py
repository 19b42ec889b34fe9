"""The inputs of tools/bad_input_campaign.py, kind by kind.

`KINDS[name](folder)` gives a strategy of hypothesis; a function that makes of
its value what is read, a file as a rule; and the function of the package that
reads it.
"""

import dataclasses
import io
import json

from hypothesis import strategies as st
import keras
import numpy as np
import PIL.Image

from atcon_tf import models
from atcon_tf.config import Config
from atcon_tf.config import config_flags
from atcon_tf.config import presets
from atcon_tf.data import pictures
from atcon_tf.data import splits
from atcon_tf.data.sources import coco
from atcon_tf.data.sources import cvat
from atcon_tf.data.sources import image_list
from atcon_tf.data.sources import label_studio
from atcon_tf.data.sources import labelled_table
from atcon_tf.data.sources import shapes
from atcon_tf.data.sources import voc
from atcon_tf.models import backbones
from atcon_tf.runs import checkpoint
from atcon_tf.runs import run
from atcon_tf.runs import stored_predictions
from atcon_tf.studies import learning_rate_range
from atcon_tf.studies import study_grid
from atcon_tf.studies import study_tables
from tools import bad_requests
from tools.bad_values import JSON
from tools.bad_values import SCALAR
from tools.bad_values import TEXT
from tools.bad_values import changed_bytes
from tools.bad_values import changed_json
from tools.bad_values import texts

SIZE = 16


def _file(path, read, *arguments):
  """`prepare` and `read` of a kind whose value becomes a file."""
  def prepare(value):
    if not isinstance(value, bytes):
      value = json.dumps(value).encode("utf-8", "surrogatepass")
    path.write_bytes(value)
    return path

  return prepare, lambda given: read(str(given), *arguments)


def _document(name, valid, read):
  """A kind of JSON files: changed ones, changed bytes, any JSON."""
  def kind(folder):
    content = valid(folder)
    strategy = st.one_of(changed_json(content),
                         changed_bytes(json.dumps(content).encode()), JSON)
    return strategy, *_file(folder / name, read)
  return kind


def _pictures(folder, count=6):
  """Pictures of 20 x 16 pixels in a folder; their names."""
  rng = np.random.default_rng(0)
  for i in range(count):
    PIL.Image.fromarray(rng.integers(255, size=[16, 20, 3], dtype=np.uint8)
                        ).save(folder / f"{i}.png")
  return [f"{i}.png" for i in range(count)]


def _flags(folder):
  del folder
  names = st.one_of(
      st.sampled_from([f.name for f in dataclasses.fields(Config)]), TEXT)
  choices = [str(c) for f in dataclasses.fields(Config)
             for c in f.metadata["choices"] or ()]
  value = st.one_of(SCALAR.map(str), st.sampled_from(choices))
  word = st.one_of(st.builds("--{}={}".format, names, value),
                   st.builds("--{}".format, names), TEXT)
  return (st.lists(word, min_size=1, max_size=4), lambda words: words,
          config_flags.parse)


def _presets(folder):
  path = folder / "own.flags"
  valid = (f"# one\n--flagfile={path}\n--dataset=shapes\n"
           "--objective=atcon --shots=8\n--augment=crop,flip\n")
  prepare, read = _file(path, lambda path: config_flags.parse(
      presets.expand([f"--flagfile={path}"])))
  return st.one_of(texts(valid), texts(valid[6:])), prepare, read


def _grid(folder):
  del folder
  return {"flags": ["--dataset=shapes"], "arms": {
      "base": ["--objective=supervised"], "new": ["--objective=atcon"]},
      "baseline": "base", "shots": [1, 2], "seeds": [0], "endpoint_shots": [1],
      "other_seeds": [0], "fewer": {"new": {"seeds": [0]}},
      "variants": {"new": ["base"]}}


def _read_grid(path):
  grid = study_grid.read_grid(path)
  study_grid.together(grid, study_grid.cells(grid))


def _coco(folder):
  return {"images": [{"id": i, "file_name": name, "width": 20, "height": 16}
                     for i, name in enumerate(_pictures(folder))],
          "annotations": [{"id": i, "image_id": i, "category_id": i % 2,
                           "iscrowd": 0, "bbox": [1, 2, 9, 8],
                           "segmentation": [[1, 2, 9, 2, 9, 8]]}
                          for i in range(6)],
          "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]}


def _label_studio(folder):
  return [{"id": i, "data": {"image": f"/data/upload/1/{name}"},
           "annotations": [{"result": [{
               "type": "rectanglelabels", "original_width": 20,
               "original_height": 16, "value": {
                   "x": 5, "y": 5, "width": 50, "height": 50, "rotation": 10,
                   "rectanglelabels": [("cat", "dog")[i % 2]]}}]}]}
          for i, name in enumerate(_pictures(folder))]


def _cvat(folder):
  shape = ('<box label="{}" xtl="1" ytl="2" xbr="9" ybr="8"/>'
           '<polygon label="cat" points="1,2;9,2;9,8"/>')
  text = "<annotations>" + "".join(
      f'<image id="{i}" name="{name}" width="20" height="16">'
      f'{shape.format(("cat", "dog")[i % 2])}</image>'
      for i, name in enumerate(_pictures(folder))) + "</annotations>"
  return texts(text), *_file(folder / "own.xml", cvat.load)


def _voc(folder):
  root = folder / "VOC2007"
  for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
    (root / name).mkdir(parents=True)
  text = ("<annotation><size><width>20</width><height>16</height></size>"
          "<object><name>{}</name><difficult>0</difficult><bndbox><xmin>2"
          "</xmin><ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>"
          "</annotation>")
  for i, name in enumerate(_pictures(root / "JPEGImages")):
    (root / f"Annotations/{i}.xml").write_text(text.format(
        ("cat", "dog")[i % 2]))
  for part, ids in {"train": "0 1", "val": "2 3", "test": "4 5"}.items():
    (root / f"ImageSets/Main/{part}.txt").write_text(ids.replace(" ", "\n"))
  prepare, _ = _file(root / "Annotations/0.xml", None)
  return (texts(text.format("cat")), prepare,
          lambda _: voc.load(str(folder)))


def _table(folder):
  names = _pictures(folder)
  text = "path,label,split,xmin,ymin,xmax,ymax\n" + "".join(
      f"{name},{('cat', 'dog')[i % 2]},{('train', 'val', 'test')[i % 3]},"
      "1,2,9,8\n" for i, name in enumerate(names))
  lines = "".join(json.dumps({"file_name": name, "label": i % 2}) + "\n"
                  for i, name in enumerate(names))
  strategy = st.one_of(st.tuples(st.just("csv"), texts(text)),
                       st.tuples(st.just("jsonl"), texts(lines)))

  def prepare(value):
    path = folder / f"own.{value[0]}"
    path.write_bytes(value[1])
    return path
  return strategy, prepare, lambda path: labelled_table.load(str(path))


def _list(folder):
  lines = [f"{name} {i % 2}\n"
           for i, name in enumerate(_pictures(folder, 12))]
  (folder / "val.txt").write_text("".join(lines[6:]))
  return texts("".join(lines[:6])), *_file(
      folder / "train.txt", lambda path: image_list.load(
          str(folder), path, str(folder / "val.txt")))


def _splits(folder):
  del folder
  return splits.make(shapes.load(train=24, val=6, test=6, size=16), 1)


def _read_splits(path):
  splits.read(path, shapes.load(train=24, val=6, test=6, size=16))


def _images(folder):
  valid = []
  image = PIL.Image.open(folder / _pictures(folder)[0])
  for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"):
    buffer = io.BytesIO()
    image.save(buffer, form)
    valid.append(buffer.getvalue())
  strategy = st.sampled_from(valid).flatmap(changed_bytes)
  return st.one_of(strategy, st.binary(max_size=60)), *_file(
      folder / "own.png", pictures.read)


def _network():
  keras.utils.set_random_seed(0)
  images = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.Conv2D(4, 3, activation="relu", padding="same")(images)
  x = keras.layers.GlobalAveragePooling2D()(x)
  return keras.Model(images, keras.layers.Dense(2)(x))


def _model_file(ending):
  def kind(folder):
    path = folder / f"valid{ending}"
    _network().save(path)
    return changed_bytes(path.read_bytes()), *_file(
        folder / f"own{ending}", models.load)
  return kind


def _weights(folder):
  network = _network()
  network.save_weights(folder / "valid.weights.h5")
  return changed_bytes((folder / "valid.weights.h5").read_bytes()), *_file(
      folder / "own.weights.h5", lambda path: backbones.load_weights(
          network, path, "own", ("weights", path)))


def _checkpoint(folder):
  variables = {"w": keras.Variable(np.ones([4, 5]))}
  checkpoint.save(folder, variables, {"step": 1})
  valid = (folder / checkpoint.LAST).read_bytes()
  prepare, _ = _file(folder / checkpoint.LAST, None)
  return changed_bytes(valid), prepare, lambda _: checkpoint.load(folder,
                                                                  variables)


def _result(folder):
  del folder
  scores = {"map_macro": .5, "f1_macro": .5}
  return {"config": {}, "val": scores, "test": scores, "history": [],
          "thresholds": {"positive": .5}, "steps": {"supervised": 1}}


def _rows(folder):
  grid = _grid(folder)
  return {"grid": grid, "rows": [{
      "arm": arm, "shots": 1, "seed": 0, "flags": [], "seconds": 1,
      "test": {"map_macro": .5}, "val": {"map_macro": .5}}
      for arm in grid["arms"]]}


def _predictions(folder):
  np.savez(folder / "valid.npz", id=np.array(["a"]), label=np.eye(2),
           probability=np.eye(2))
  prepare, _ = _file(folder / "predictions.npz", None)
  return (changed_bytes((folder / "valid.npz").read_bytes()), prepare,
          lambda _: stored_predictions.load_predictions(folder))


KINDS = {
    "flags": _flags, "flag files": _presets,
    "grids": _document("grid.json", _grid, _read_grid),
    "COCO": _document("own.json", _coco, coco.load),
    "Label Studio": _document("own.json", _label_studio, label_studio.load),
    "CVAT": _cvat, "VOC": _voc, "CSV and JSON Lines": _table,
    "lists of images": _list,
    "splits.json": _document("splits.json", _splits, _read_splits),
    "pictures": _images, ".keras": _model_file(".keras"),
    ".h5": _model_file(".h5"), "weights": _weights,
    "checkpoints": _checkpoint,
    "result.json": _document("result.json", _result, lambda path: (
        run.read_result(path.rpartition("/")[0]))),
    "rows of studies": _document("rows.json", _rows, study_tables.read),
    "rate sweeps": _document("rates.json", lambda _: {
        "rates": {"learning_rate": 1}, "factor": [1, 2], "loss": [1, 2],
        "smoothed": [1, 2], "suggested": 1}, learning_rate_range.read),
    "predictions.npz": _predictions, "REST requests": bad_requests.rest,
    "gRPC requests": bad_requests.grpc}
