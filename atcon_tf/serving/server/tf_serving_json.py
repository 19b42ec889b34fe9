"""TensorFlow Serving's JSON: requests to arrays, arrays to responses.

    {"signature_name": "explain", "instances": [{"images": ..., ...}, ...]}
      -> {"predictions": [{"probabilities": ..., ...}, ...]}
    {"inputs": {"images": [...], ...}} -> {"outputs": {"probabilities": ...}}

The pictures of a clip are a list of bytes, a picture a frame. Bytes are
written as `{"b64": "..."}`, in requests and for outputs whose name
ends in `_bytes`. The JSON is strict: NaN is refused.
"""

import base64
import binascii

import numpy as np
import orjson
import tensorflow as tf

from atcon_tf.serving.server import served_model


def _refuse(message):
  raise served_model.Refused(400, message)


def parse(body, model):
  """Reads a request.

  Args:
    body: its bytes.
    model: the `ServedModel` that knows the signatures.
  Returns:
    signature name, `{input: array}`, and whether the request has rows
    ("instances") or columns ("inputs").
  Raises:
    Refused: the body is no request of this form.
  """
  try:
    request = orjson.loads(body)
  except orjson.JSONDecodeError as error:
    _refuse(f"not JSON: {error}")
  if not isinstance(request, dict):
    _refuse("the request must be a JSON object")
  signature = request.get("signature_name") or "serving_default"
  if not isinstance(signature, str):
    _refuse("signature_name must be a string")
  specs = model.specs(signature)
  rows = "instances" in request
  if rows == ("inputs" in request):
    _refuse("the request must have either 'instances' or 'inputs'")
  values = (_columns(request["instances"], specs) if rows
            else _named(request["inputs"], specs))
  return signature, {name: _array(name, value, specs.get(name))
                     for name, value in values.items()}, rows


def _is_b64(value):
  return isinstance(value, dict) and set(value) == {"b64"}


def _columns(instances, specs):
  """Rows -> `{input: list}`."""
  if not isinstance(instances, list) or not instances:
    _refuse("instances must be a list with at least one element")
  first = instances[0]
  if not isinstance(first, dict) or _is_b64(first):
    if len(specs) > 1:
      _refuse(f"each instance must name its inputs: {', '.join(specs)}")
    return {name: instances for name in specs}
  names = set(first)
  if any(not isinstance(row, dict) or set(row) != names for row in instances):
    _refuse("all instances must name the same inputs")
  return {name: [row[name] for row in instances] for name in first}


def _named(inputs, specs):
  """The column format -> `{input: value}`."""
  if isinstance(inputs, dict) and not _is_b64(inputs):
    return inputs
  if len(specs) > 1:
    _refuse(f"inputs must be named: {', '.join(specs)}")
  return {name: inputs for name in specs}


def _array(name, value, spec):
  if spec is None:
    _refuse(f"'{name}': no such input")
  if spec.dtype == tf.string:
    return _strings(name, value, spec.shape.rank)
  try:
    array = np.asarray(value)
  except (ValueError, OverflowError) as error:
    _refuse(f"{name}: not a regular array: {error}")
  if array.dtype.kind == "f":
    array = array.astype(np.float32)
  return array


def _strings(name, value, rank):
  """Lists of strings, `rank` deep, as an array."""
  if not isinstance(value, list):
    _refuse(f"{name}: must be a list" + " of lists" * (rank > 1))
  out = np.empty([len(value)], object)
  if rank == 1:
    out[:] = [_string(name, one) for one in value]
    return out
  rows = [_strings(name, one, rank - 1) for one in value]
  if len({len(row) for row in rows}) > 1:
    _refuse(f"{name}: lists of different lengths")
  return np.stack(rows) if rows else out


def _string(name, value):
  if isinstance(value, str):
    return value.encode()
  if not _is_b64(value) or not isinstance(value["b64"], str):
    _refuse(f"{name}: must be strings, or bytes as {{\"b64\": \"...\"}}")
  try:
    return base64.b64decode(value["b64"], validate=True)
  except (binascii.Error, ValueError) as error:
    _refuse(f"{name}: not base64: {error}")


def render(answer, rows):
  """The response to a request, as bytes.

  Args:
    answer: `{output: array}`.
    rows: whether the answer has rows, as the request did.
  """
  columns = {name: _plain(name, value) for name, value in answer.items()}
  if not rows:
    body = {"outputs": columns if len(columns) > 1 else
            next(iter(columns.values()))}
  elif len(columns) > 1:
    body = {"predictions": [dict(zip(columns, row))
                            for row in zip(*columns.values())]}
  else:
    body = {"predictions": list(*columns.values())}
  return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(name, value):
  """An output as orjson can write it; float32 keeps its shortest form."""
  if value.dtype != object:
    return value
  return _each(value.tolist(), _packed if name.endswith("_bytes") else (
      lambda contents: contents.decode(errors="replace")))


def _packed(contents):
  return {"b64": base64.b64encode(contents).decode()}


def _each(value, function):
  if isinstance(value, list):
    return [_each(v, function) for v in value]
  return function(value)
