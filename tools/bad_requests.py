"""The requests of tools/bad_input_campaign.py to the server, in its process.

`rest(folder)` and `grpc(folder)` are kinds as in `bad_inputs.KINDS`.
"""

import asyncio
import base64
import io
import json
import re

from hypothesis import strategies as st
import PIL.Image
import tensorflow as tf

from tools.bad_values import changed_bytes
from tools.bad_values import changed_json


class Answer(Exception):
  """The answer of the server to a request."""

  def __init__(self, status):
    super().__init__(status)
    self.status = status


def _model(folder):
  """A served model of two inputs."""
  from atcon_tf.serving.server import served_model
  module = tf.Module()
  module.double = tf.function(
      lambda images, image_bytes: {"twice": 2 * images},
      input_signature=[tf.TensorSpec([None, 2], tf.float32, "images"),
                       tf.TensorSpec([None], tf.string, "image_bytes")])
  tf.saved_model.save(module, str(folder / "own/1"), {
      "serving_default": module.double})
  return served_model.ServedModel(folder / "own")


def _picture():
  """A PNG of one pixel."""
  buffer = io.BytesIO()
  PIL.Image.new("RGB", [1, 1]).save(buffer, "PNG")
  return buffer.getvalue()


def rest(folder):
  """Requests over HTTP, of any address and body."""
  from atcon_tf.serving.server import prometheus_metrics
  from atcon_tf.serving.server import rest_api
  model = _model(folder)
  app = rest_api.Rest(model, prometheus_metrics.Metrics(model.inputs), 5,
                      10000).app()
  valid = {"signature_name": "serving_default", "instances": [
      {"images": [1., 2.], "image_bytes": {
          "b64": base64.b64encode(_picture()).decode()}}]}
  body = st.one_of(changed_json(valid).map(lambda v: json.dumps(v).encode(
      "utf-8", "surrogatepass")), changed_bytes(json.dumps(valid).encode()))
  path = st.one_of(st.just("/v1/models/own:predict"), st.from_regex(re.compile(
      r"/(v1/models/)?[a-z.%/0-9:]{0,20}", re.A), fullmatch=True))
  return st.tuples(st.sampled_from(["POST", "GET", "PUT"]), path, body), (
      lambda value: value), lambda value: asyncio.run(_ask(app, *value))


async def _ask(app, method, path, body):
  """Sends a request to the application; raises `Answer`."""
  sent, status = [{"type": "http.request", "body": body}], []

  async def receive():
    return sent.pop() if sent else {"type": "http.disconnect"}

  async def send(message):
    if message["type"] == "http.response.start":
      status.append(message["status"])

  await app({"type": "http", "method": method, "path": path, "headers": [],
             "raw_path": path.encode(), "query_string": b"", "root_path": "",
             "scheme": "http", "http_version": "1.1",
             "asgi": {"version": "3.0"},
             "server": ("x", 1), "client": ("y", 2)}, receive, send)
  raise Answer(status[0])


def grpc(folder):
  """Messages of PredictionService, as bytes and with declared shapes."""
  from google.protobuf import message
  from tensorflow_serving.apis import predict_pb2
  from atcon_tf.serving.server import grpc_api
  from atcon_tf.serving.server import prometheus_metrics
  model = _model(folder)
  service = grpc_api._Prediction(
      model, 5, prometheus_metrics.Metrics(model.inputs).observe)
  status = {code: number for number, code in grpc_api._CODES.items()}

  class Context:
    """Of a call without a deadline."""

    def time_remaining(self):
      return None

    def abort(self, code, text):
      raise Answer(status[code])

  valid = predict_pb2.PredictRequest()
  valid.model_spec.name = "own"
  valid.inputs["images"].CopyFrom(tf.make_tensor_proto([[1., 2.]]))
  valid.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([_picture()]))

  def declared(shape, kind, values):
    request = predict_pb2.PredictRequest.FromString(valid.SerializeToString())
    tensor = request.inputs["images"]
    tensor.Clear()
    tensor.dtype = kind
    tensor.float_val.extend(values)
    for size in shape:
      tensor.tensor_shape.dim.add(size=size)
    return request.SerializeToString()

  sizes = st.lists(st.one_of(st.integers(-2, 3), st.integers(
      -2**63, 2**63 - 1)), max_size=4)
  tensors = st.builds(declared, sizes, st.integers(0, 130), st.lists(
      st.floats(width=32), max_size=4))

  def ask(data):
    try:
      request = predict_pb2.PredictRequest.FromString(data)
    except message.DecodeError:  # gRPC's own answer
      raise Answer(400) from None
    service.Predict(request, Context())

  return (st.one_of(changed_bytes(valid.SerializeToString()), tensors),
          lambda value: value, ask)
