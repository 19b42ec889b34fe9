"""A SavedModel behind a queue, which checks requests and runs them in turn.

    model = ServedModel("W/served")
    answer = model.call(lambda: model.predict("explain", inputs), timeout=30)

It knows no protocol: `rest_api` and `grpc_api` do. A mistake of a client raises
`Refused`, which has an HTTP status.
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

from atcon_tf.config import quiet
from atcon_tf.config import UserError


class Refused(Exception):
  """A request that is refused.

  Attributes:
    status: of HTTP.
    message: one line for the client.
  """

  def __init__(self, status, message):
    super().__init__(message)
    self.status, self.message = status, message


class ServedModel:
  """The newest version in a model's folder.

  Attributes:
    name, version: of the model.
    inputs: `{signature: {input: TensorSpec}}`.
    room: how many requests may be at work or wait at once.
    metadata: metadata.json of the version; {}: it has none.
    signature_defs: `{signature: SignatureDef}` as stored.
  """

  def __init__(self, base, name="", workers=2, waiting=64, max_batch=64,
               max_pixels=100_000_000):
    """Loads the version with the highest number.

    Args:
      base: the folder of the versions.
      name: of the model; "": that of the folder.
      workers: requests at work at once.
      waiting: requests that may wait for a worker; more get a 503.
      max_batch: images in a request.
      max_pixels: of a request's encoded pictures together, read from their
        headers.
    Raises:
      UserError: no version there, or it does not load.
    """
    base = pathlib.Path(base)
    versions = [p for p in base.glob("*") if p.name.isdecimal()]
    if not versions:
      raise UserError("model", base, "no numbered version there; it is the "
                      "folder that `export` wrote")
    path = max(versions, key=lambda p: int(p.name))
    try:
      with quiet.without_warnings():  # an export has no gradients to train by
        self._loaded = tf.saved_model.load(str(path))
    except (OSError, tf.errors.OpError) as error:
      raise UserError("model", path, f"does not load: {error}") from error
    self.name = name or base.resolve().name
    self.version = int(path.name)
    self.inputs = {
        key: function.structured_input_signature[1]
        for key, function in self._loaded.signatures.items()}
    self.signature_defs = _signature_defs(path)
    asset = path / "assets/metadata.json"
    self.metadata = json.loads(asset.read_text()) if asset.exists() else {}
    self.max_batch, self.max_pixels = max_batch, max_pixels
    self.room = workers + waiting
    self._room = threading.Semaphore(self.room)
    self._pool = concurrent.futures.ThreadPoolExecutor(workers, "predict")

  def submit(self, function):
    """A future of `function()`, which a worker runs.

    Raises:
      Refused: too many requests wait already.
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
    """The outcome of `function()`, which a worker runs.

    Raises:
      Refused: too many requests wait already, or `timeout` seconds have
        passed.
    """
    future = self.submit(function)
    try:
      return future.result(timeout)
    except concurrent.futures.TimeoutError as error:
      future.cancel()
      raise Refused(504, f"no answer within {timeout} s") from error

  def check_target(self, name, version=None):
    """Refuses a request for another model or another version."""
    if name != self.name or version not in (None, self.version):
      wanted = "Latest" if version is None else f"Specific({version})"
      raise Refused(404, f"Servable not found for request: {wanted}({name}); "
                    f"here is {self.name}, version {self.version}")

  def specs(self, signature):
    """`{input: TensorSpec}` of a signature; refuses an unknown one."""
    if signature not in self.inputs:
      raise Refused(400, f"signature_name '{signature}': must be one of "
                    f"{', '.join(sorted(self.inputs))}")
    return self.inputs[signature]

  def check_shapes(self, signature, shapes):
    """Refuses inputs that have the wrong names or shapes.

    Looks at the shapes alone, before any tensor is made of them: a short
    message can declare a tensor that would fill the memory.

    Args:
      signature: name of one.
      shapes: `{name: list of int}` of the inputs.
    """
    specs = self.specs(signature)
    if set(shapes) != set(specs):
      raise Refused(400, f"inputs {sorted(shapes)}: signature {signature} "
                    f"takes {sorted(specs)}")
    for name, shape in shapes.items():
      wanted = specs[name].shape
      if min(shape, default=0) < 0 or not wanted.is_compatible_with(shape):
        raise Refused(400, f"{name}: of shape {list(shape)}, must be "
                      f"{wanted.as_list()}")
    sizes = {name: shape[0] for name, shape in shapes.items()}
    if len(set(sizes.values())) > 1:
      raise Refused(400, f"inputs of different lengths: {sizes}")
    if not 0 < min(sizes.values()) <= self.max_batch:
      raise Refused(400, f"a batch of {min(sizes.values())}: must be 1 to "
                    f"{self.max_batch}")

  def predict(self, signature, inputs):
    """The answers of the model.

    Args:
      signature: name of one.
      inputs: `{name: array}`, all inputs of the signature.
    Returns:
      `{name: array}`.
    Raises:
      Refused: the inputs do not fit the signature, or the model rejects them.
    """
    specs = self.specs(signature)
    inputs = {name: np.asarray(value) for name, value in inputs.items()}
    for name in inputs.keys() & specs.keys():
      _check_type(name, inputs[name], specs[name].dtype)
    self.check_shapes(signature, {n: v.shape for n, v in inputs.items()})
    self._check_pictures([contents for name, value in inputs.items()
                          if specs[name].dtype == tf.string
                          for contents in value.ravel()])
    try:
      answer = self._loaded.signatures[signature](
          **{name: tf.constant(value, specs[name].dtype)
             for name, value in inputs.items()})
    except tf.errors.InvalidArgumentError as error:
      raise Refused(400, _reason(error)) from error
    except tf.errors.ResourceExhaustedError as error:
      raise Refused(503, "out of memory; send fewer images") from error
    return {name: value.numpy() for name, value in answer.items()}

  def _check_pictures(self, pictures):
    """Refuses too many pixels by the headers: a small file can hold many."""
    total = 0
    for contents in pictures:
      try:
        with PIL.Image.open(io.BytesIO(contents)) as image:
          width, height = image.size
      except PIL.Image.DecompressionBombError as error:
        raise Refused(400, f"a picture of more than {self.max_pixels} pixels"
                      ) from error
      except Exception as error:  # decoders raise almost anything
        raise Refused(400, "not a JPEG or PNG picture") from error
      total += width * height
      if total > self.max_pixels:
        raise Refused(400, f"a picture of {width} x {height} pixels makes "
                      f"{total} in this request: at most {self.max_pixels} "
                      "are taken")

  def close(self):
    """Waits for the requests at work."""
    self._pool.shutdown(wait=True)


def _check_type(name, value, dtype):
  fits = {tf.string: "OSU"}.get(
      dtype, "iu" if dtype.is_integer else "iuf")
  if value.dtype.kind not in fits:
    raise Refused(400, f"{name}: of type {value.dtype}, must be {dtype.name}")
  if dtype.is_integer and value.size and (
      value.max() > dtype.max or value.min() < dtype.min):
    raise Refused(400, f"{name}: does not fit {dtype.name}")


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
      # "[our words] [our values] [Condition ...]": the last are TensorFlow's.
      said = line.partition("assertion failed:")[2].partition(" [Condition")[0]
      said = said.replace("] [", " ").strip()
      return said.removeprefix("[").removesuffix("]")[:200]
  lines = [line.strip() for line in str(error).splitlines()]
  skip = ("", "Graph execution error:", "<stack traces unavailable>")
  useful = [line for line in lines if line not in skip and not
            line.startswith(("Detected at", "[["))]
  return (useful or ["invalid argument"])[0][:200]
