"""A SavedModel behind a queue: requests are checked, then run in turn.

    model = ServedModel("W/served")
    answer = model.call(lambda: model.predict("explain", inputs), timeout=30)

It knows no protocol: tools/serve.py puts REST around it, tools/serve_grpc.py
gRPC. Whatever a client gets wrong is a `Refused` with an HTTP status.
"""

import concurrent.futures
import io
import json
import pathlib
import threading

import numpy as np
import PIL.Image
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from atcon_tf.config import UserError


class Refused(Exception):
  """A request that is not answered; `status` as in HTTP."""

  def __init__(self, status, message):
    super().__init__(message)
    self.status, self.message = status, message


class ServedModel:
  """The newest version in a model's folder.

  Attributes:
    name, version: of the model.
    inputs: `{signature: {input: TensorSpec}}`.
    metadata: metadata.json of the version, {} if it has none.
    signature_defs: `{signature: SignatureDef}` as stored.
  """

  def __init__(self, base, name="", workers=2, waiting=64, max_batch=64,
               max_pixels=50_000_000):
    """Loads the version with the highest number.

    Args:
      base: the folder of the versions.
      name: of the model; default: the folder's.
      workers: requests at work at once.
      waiting: requests that may wait for a worker; more get a 503.
      max_batch: images in a request.
      max_pixels: of an encoded picture, read from its header.
    Raises:
      UserError: no version there, or it does not load.
    """
    base = pathlib.Path(base)
    versions = [p for p in base.glob("*") if p.name.isdecimal()]
    if not versions:
      raise UserError(f"--model={base}: no numbered version there")
    path = max(versions, key=lambda p: int(p.name))
    try:
      self._loaded = tf.saved_model.load(str(path))
    except (OSError, tf.errors.OpError) as error:
      raise UserError(f"--model={path}: does not load: {error}") from error
    self.name = name or base.resolve().name
    self.version = int(path.name)
    self.inputs = {
        key: function.structured_input_signature[1]
        for key, function in self._loaded.signatures.items()}
    self.signature_defs = _signature_defs(path)
    asset = path / "assets/metadata.json"
    self.metadata = json.loads(asset.read_text()) if asset.exists() else {}
    self.max_batch, self.max_pixels = max_batch, max_pixels
    self._room = threading.Semaphore(workers + waiting)
    self._pool = concurrent.futures.ThreadPoolExecutor(workers, "predict")

  def submit(self, function):
    """A future of `function()`, run by a worker.

    Raises:
      Refused: too many wait already.
    """
    if not self._room.acquire(blocking=False):
      raise Refused(503, "the server is at its limit; try again later")
    try:
      future = self._pool.submit(function)
    except RuntimeError as error:
      self._room.release()
      raise Refused(503, "the server is stopping") from error
    future.add_done_callback(lambda _: self._room.release())
    return future

  def call(self, function, timeout):
    """`function()`, run by a worker.

    Raises:
      Refused: too many wait already, or `timeout` seconds have passed.
    """
    future = self.submit(function)
    try:
      return future.result(timeout)
    except concurrent.futures.TimeoutError as error:
      future.cancel()
      raise Refused(504, f"no answer within {timeout} s") from error

  def check_target(self, name, version=None):
    """Refuses another model or another version."""
    if name != self.name or version not in (None, self.version):
      wanted = "Latest" if version is None else f"Specific({version})"
      raise Refused(404, f"Servable not found for request: {wanted}({name}); "
                    f"here is {self.name}, version {self.version}")

  def specs(self, signature):
    """The inputs of a signature."""
    if signature not in self.inputs:
      raise Refused(400, f"signature_name '{signature}': must be one of "
                    f"{', '.join(sorted(self.inputs))}")
    return self.inputs[signature]

  def predict(self, signature, inputs):
    """Answers of the model.

    Args:
      signature: name of one.
      inputs: `{name: array}`, all that the signature has.
    Returns:
      `{name: array}`.
    """
    specs = self.specs(signature)
    if set(inputs) != set(specs):
      raise Refused(400, f"inputs {sorted(inputs)}: signature {signature} "
                    f"takes {sorted(specs)}")
    feeds = {name: self._check(name, inputs[name], spec)
             for name, spec in specs.items()}
    sizes = {name: len(value) for name, value in feeds.items()}
    if len(set(sizes.values())) > 1:
      raise Refused(400, f"inputs of different lengths: {sizes}")
    if not 0 < min(sizes.values()) <= self.max_batch:
      raise Refused(400, f"a batch of {min(sizes.values())}: must be 1 to "
                    f"{self.max_batch}")
    for name, value in feeds.items():
      if specs[name].dtype == tf.string:
        for contents in value:
          self._check_picture(contents)
    try:
      answer = self._loaded.signatures[signature](
          **{name: tf.constant(value, specs[name].dtype)
             for name, value in feeds.items()})
    except tf.errors.InvalidArgumentError as error:
      raise Refused(400, _reason(error)) from error
    except tf.errors.ResourceExhaustedError as error:
      raise Refused(503, "out of memory; send fewer images") from error
    return {name: value.numpy() for name, value in answer.items()}

  def _check(self, name, value, spec):
    value = np.asarray(value)
    fits = {tf.string: "OSU"}.get(
        spec.dtype, "iu" if spec.dtype.is_integer else "iuf")
    if value.dtype.kind not in fits:
      raise Refused(400, f"{name}: of type {value.dtype}, must be "
                    f"{spec.dtype.name}")
    if not spec.shape.is_compatible_with(value.shape):
      raise Refused(400, f"{name}: of shape {list(value.shape)}, must be "
                    f"{spec.shape.as_list()}")
    if spec.dtype.is_integer and value.size and (
        value.max() > spec.dtype.max or value.min() < spec.dtype.min):
      raise Refused(400, f"{name}: does not fit {spec.dtype.name}")
    return value

  def _check_picture(self, contents):
    """Reads the header alone: a small file may hold a huge picture."""
    try:
      with PIL.Image.open(io.BytesIO(contents)) as image:
        width, height = image.size
    except PIL.Image.DecompressionBombError as error:
      raise Refused(400, f"a picture of more than {self.max_pixels} pixels"
                    ) from error
    except Exception as error:  # decoders raise almost anything
      raise Refused(400, "not a JPEG or PNG picture") from error
    if width * height > self.max_pixels:
      raise Refused(400, f"a picture of {width} x {height} pixels: at most "
                    f"{self.max_pixels} pixels are taken")

  def close(self):
    """Waits for the requests at work."""
    self._pool.shutdown(wait=True)


def _signature_defs(path):
  stored = saved_model_pb2.SavedModel.FromString(
      (path / "saved_model.pb").read_bytes())
  return {name: definition for graph in stored.meta_graphs
          for name, definition in graph.signature_def.items()
          if not name.startswith("__")}


def _reason(error):
  """The line of a TensorFlow error that a client can use."""
  for line in str(error).splitlines():
    if "assertion failed:" in line:
      return line.partition("assertion failed:")[2].strip()[:200]
  lines = [line.strip() for line in str(error).splitlines()]
  skip = ("", "Graph execution error:", "<stack traces unavailable>")
  useful = [line for line in lines if line not in skip and not
            line.startswith(("Detected at", "[["))]
  return (useful or ["invalid argument"])[0][:200]
