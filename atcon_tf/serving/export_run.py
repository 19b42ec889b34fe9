"""A run as the next version of a served model."""

import contextlib
import errno
import importlib
import json
import os
import pathlib
import shutil
import tempfile
import time
import uuid

import numpy as np
import tensorflow as tf

from atcon_tf.config.config import PATHS
from atcon_tf.config import files
from atcon_tf.config import local_paths
from atcon_tf.config import UserError
from atcon_tf.runs.nearest_images import NearestImages
from atcon_tf.runs import picture_labels
from atcon_tf.runs.provenance import environment
from atcon_tf.runs import trusted_method
from atcon_tf.serving import formats
from atcon_tf.serving import saved_model

# The package that each optional format needs.
NEEDS = {"onnx": "tf2onnx"}
WARMUP = "tf_serving_warmup_requests"
# Seconds after which a half-written version is one of a killed export.
ABANDONED = 3600


def export(run, out, methods=(), version=0, say=print, examples=0):
  """Writes a run as the next version of a served model.

  Args:
    run: a finished `runs.Run`.
    out: the model's folder, that of its versions.
    methods: of `saved_model.METHODS`, the first one draws the overlay; empty:
      all that the network can have, the one that the run's tournament chose
      first.
    version: its number; 0: one more than the highest in `out`.
    say: called with a line for each thing that is left out, and why.
    examples: how many of the nearest labelled training images `explain`
      names; their ids and features become a part of the model. 0: none.
  Returns:
    the path of the version.
  Raises:
    UserError: the run is not finished, `out` holds something else, the
      version exists, the disk is full, or the training images are asked for
      and missing. Then nothing is left in `out`.

  Example:
    export(runs.load("W/run"), "W/served")
  """
  out = pathlib.Path(local_paths.local("out", out))
  files.check_folder("out", out)
  methods = tuple(methods) or _trusted_first(run, say)
  if examples and run.classifier.frames:
    raise UserError("examples", examples, "for images; this run sees clips")
  nearest = NearestImages(run) if examples else None
  data = metadata(run, methods)
  module = saved_model.ServingModule(run.classifier, run.class_names,
                                     run.multi_label, methods,
                                     run.config.resize,
                                     picture_labels.threshold_of(
                                         run.result["thresholds"]), nearest,
                                     examples)
  version = _version(out, version)
  with _whole(out / str(version)) as part:
    with tempfile.TemporaryDirectory() as folder:
      asset = pathlib.Path(folder) / "metadata.json"
      asset.write_text(json.dumps(data, indent=1))
      module.save(part, asset)
    extra = part / "assets.extra"
    extra.mkdir()
    model = formats.keras_only(run.classifier, run.multi_label)
    _write_formats(model, extra, say)
    _write_warmup(run, extra, say)
  return out / str(version)


def _trusted_first(run, say):
  """The maps that a network can have; the tournament's choice comes first."""
  usable = saved_model.usable(run.classifier)
  trusted = (trusted_method.read(run.path) or {}).get("method")
  if trusted and trusted not in usable:
    say(f"note: {trusted}, which the tournament of this run chose, is no map "
        f"of a served model; served: {', '.join(usable)}")
  return tuple(sorted(usable, key=lambda name: name != trusted))


def metadata(run, methods):
  """Facts about a served model for its clients, a JSON-able dict.

  Args:
    run: a finished `runs.Run`.
    methods: names of the maps that the model answers with.
  """
  result, frames = run.result, run.classifier.frames
  config = {name: value for name, value in result["config"].items()
            if name not in PATHS}
  for name in ("model", "weights"):  # a name, or the path of a file
    config[name] = os.path.basename(result["config"][name])
  return {
      "class_names": list(run.class_names),
      "multi_label": run.multi_label,
      "input": {"size": list(run.classifier.image_size),
                **({"frames": frames} if frames else {}), "range": [0, 1],
                "channels": "RGB", "resize": run.config.resize},
      "thresholds": result["thresholds"],
      "methods": list(methods),
      "commit": result["commit"], "exported_by": environment()["commit"],
      "versions": result["versions"], "data": result["data"],
      "metrics": result["test"], "config": config}


def _version(out, version):
  """The number of the new version."""
  try:
    there = sorted(p.name for p in out.iterdir()
                   if not p.name.startswith(".")) if out.exists() else []
  except OSError as error:
    raise UserError("out", out, f"{error.strerror}") from error
  strange = [name for name in there if not name.isdecimal()]
  if strange:
    raise UserError("out", out,
                    f"exists and holds {strange[0]}, so it is no folder of "
                    "versions; name another one")
  if version and str(version) in there:
    raise UserError("version", version,
                    f"{out / str(version)} exists; versions are never "
                    "overwritten")
  return version or 1 + max(map(int, there), default=0)


@contextlib.contextmanager
def _whole(path):
  """Yields a temporary folder; renamed to `path` if the block succeeds.

  It is deleted if the block raises.
  """
  part = path.with_name(f".part-{uuid.uuid4().hex[:12]}-{path.name}")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path.parent)
    part.mkdir()
    yield part
    os.rename(part, path)  # raises if another process made `path` meanwhile
  except (OSError, tf.errors.OpError) as error:
    full = isinstance(error, tf.errors.ResourceExhaustedError)
    if full or getattr(error, "errno", None) in (
        *files.CANNOT_WRITE, errno.ENOTEMPTY):
      why = getattr(error, "strerror", None) or "No space left on device"
      raise UserError("out", path.parent, f"cannot be written: {why}; nothing "
                      "was left there") from error
    raise
  finally:
    shutil.rmtree(part, ignore_errors=True)


def _remove_left(folder):
  """Removes what exports left that were killed."""
  for part in folder.glob(".part-*"):
    with contextlib.suppress(OSError):  # another export is faster
      written = max(p.stat().st_mtime for p in [part, *part.rglob("*")])
      if time.time() - written > ABANDONED:
        shutil.rmtree(part)


def _write_formats(model, folder, say):
  """The classifier in every other format that can be written here."""
  for ending, save in formats.FORMATS.items():
    try:
      importlib.import_module(NEEDS.get(ending, "keras"))
    except ImportError:
      say(f"classifier.{ending}: left out, {NEEDS[ending]} is not installed")
      continue
    path = folder / f"classifier.{ending}"
    try:
      save(model, path)
    except OSError:
      raise
    except Exception as error:  # converters raise almost anything
      path.unlink(missing_ok=True)
      lines = str(error).strip().splitlines() or [type(error).__name__]
      say(f"classifier.{ending}: left out: {lines[0][:160]}")


def _write_warmup(run, folder, say):
  """One request of each signature, for TensorFlow Serving to warm up with."""
  try:
    from tensorflow_serving.apis import predict_pb2  # an optional package
    from tensorflow_serving.apis import prediction_log_pb2
  except ImportError:
    say(f"{WARMUP}: left out, tensorflow-serving-api is not installed")
    return
  image = np.full(run.classifier.image_shape, 0.5, np.float32)
  picture = tf.io.encode_png(tf.cast(
      image.reshape(-1, *image.shape[-3:])[0] * 255, tf.uint8)).numpy()
  pixels = {"images": image[np.newaxis]}
  packed = {"image_bytes": np.full([1, *image.shape[:-3]], picture)}
  target = {"class_index": np.array([-1], np.int32)}
  with tf.io.TFRecordWriter(str(folder / WARMUP)) as writer:
    for signature, inputs in [
        ("serving_default", pixels), ("serve_bytes", packed),
        ("explain", pixels | target), ("explain_bytes", packed | target)]:
      request = predict_pb2.PredictRequest()
      request.model_spec.signature_name = signature
      for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
      log = prediction_log_pb2.PredictLog(request=request)
      writer.write(prediction_log_pb2.PredictionLog(
          predict_log=log).SerializeToString())
