"""The reference server as a client, a vandal and a browser meet it."""

import base64
import concurrent.futures
import http.client
import io
import json
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

pytest.importorskip("starlette")
grpc = pytest.importorskip("grpc")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")

from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

ROOT = pathlib.Path(__file__).resolve().parents[1]
MAX_BYTES = 4 << 20


class Server:
  """A server process and its two ports."""

  def __init__(self, model, *flags):
    self.process = subprocess.Popen(
        [sys.executable, ROOT / "tools/serve.py", f"--model={model}",
         "--name=shapes", "--rest_port=0", "--grpc_port=0",
         f"--max_bytes={MAX_BYTES}", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = self.process.stdout.readline()
    self.rest, self.grpc = map(int, re.findall(r"127\.0\.0\.1:(\d+)", line))

  def ask(self, method, path, body=None, headers=()):
    """Status and body of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", self.rest,
                                            timeout=60)
    try:
      connection.request(method, path, body, dict(headers))
      reply = connection.getresponse()
      return reply.status, reply.read()
    finally:
      connection.close()

  def predict(self, request, path="/v1/models/shapes:predict"):
    """Status and JSON of a prediction."""
    body = request if isinstance(request, bytes) else json.dumps(request)
    status, reply = self.ask("POST", path, body)
    return status, json.loads(reply)

  def stop(self, how=signal.SIGTERM):
    self.process.send_signal(how)
    return self.process.wait(30)


@pytest.fixture(scope="module")
def server(tiny_export):
  one = Server(tiny_export, "--timeout=5")
  yield one
  one.process.kill()
  one.process.wait()


@pytest.fixture(scope="module")
def model(tiny_export):
  return tf.saved_model.load(str(tiny_export / "1"))


def _png(size=(90, 60), seed=0):
  small = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
  buffer = io.BytesIO()
  PIL.Image.fromarray(small).resize(size).save(buffer, "PNG")
  return buffer.getvalue()


def _b64(data):
  return {"b64": base64.b64encode(data).decode()}


def _images(count):
  # Of 64 levels: short as JSON.
  return np.random.default_rng(count).integers(
      64, size=[count, 64, 64, 3]).astype(np.float32) / 64


def test_rest_rows_and_columns(server, model):
  images = _images(3)
  want = model.signatures["serving_default"](images=tf.constant(images))
  want = want["probabilities"].numpy()
  for request in ({"instances": images.tolist()},
                  {"instances": [{"images": i} for i in images.tolist()]}):
    status, reply = server.predict(request)
    assert status == 200
    got = [row["probabilities"] for row in reply["predictions"]]
    np.testing.assert_allclose(got, want, atol=1e-5)
  for inputs in (images.tolist(), {"images": images.tolist()}):
    status, reply = server.predict({"inputs": inputs})
    assert status == 200
    np.testing.assert_allclose(reply["outputs"]["probabilities"], want,
                               atol=1e-5)
    assert reply["outputs"]["class_names"][2][0] == "disk"


def test_rest_explains_pictures(server, model):
  png = _png()
  want = model.signatures["explain_bytes"](
      image_bytes=tf.constant([png]), class_index=tf.constant([2]))
  status, reply = server.predict(
      {"signature_name": "explain_bytes", "instances": [
          {"image_bytes": _b64(png), "class_index": 2}]},
      "/v1/models/shapes/versions/1:predict")
  (row,) = reply["predictions"]
  assert status == 200 and row["class_index"] == 2
  for name in ("grad_cam", "guided_backprop", "probabilities"):
    np.testing.assert_allclose(row[name], want[name][0], atol=1e-5)
  overlay = base64.b64decode(row["overlay_bytes"]["b64"])
  assert overlay == want["overlay_bytes"][0].numpy()
  assert PIL.Image.open(io.BytesIO(overlay)).size == (64, 64)
  status, reply = server.predict({"signature_name": "serve_bytes",
                                  "instances": [_b64(png), _b64(png)]})
  assert status == 200 and len(reply["predictions"]) == 2


def test_status_metadata_health_metrics(server):
  for path in ("/v1/models/shapes", "/v1/models/shapes/versions/1"):
    status, body = server.ask("GET", path)
    assert status == 200
    (version,) = json.loads(body)["model_version_status"]
    assert version["version"] == "1" and version["state"] == "AVAILABLE"
  body = json.loads(server.ask("GET", "/v1/models/shapes/metadata")[1])
  signatures = body["metadata"]["signature_def"]["signature_def"]
  assert set(signatures) == {"serving_default", "serve_bytes", "explain",
                             "explain_bytes"}
  assert signatures["explain"]["inputs"]["class_index"]["dtype"] == "DT_INT32"
  assert server.ask("GET", "/healthz")[0] == 200
  text = server.ask("GET", "/metrics")[1].decode()
  assert 'serve_requests_total{protocol="rest"' in text
  assert "process_resident_memory_bytes" in text


def test_grpc_answers_as_the_model(server, model):
  with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "shapes"
    request.model_spec.signature_name = "explain"
    images = _images(2)
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(images))
    request.inputs["class_index"].CopyFrom(tf.make_tensor_proto([-1, 3]))
    reply = stub.Predict(request, timeout=30)
    want = model.signatures["explain"](
        images=tf.constant(images), class_index=tf.constant([-1, 3]))
    assert set(reply.outputs) == set(want)
    for name in ("probabilities", "grad_cam", "guided_backprop"):
      np.testing.assert_allclose(tf.make_ndarray(reply.outputs[name]),
                                 want[name], atol=1e-5)
    assert reply.model_spec.version.value == 1
    request.output_filter.append("grad_cam")
    assert list(stub.Predict(request).outputs) == ["grad_cam"]
    metadata = get_model_metadata_pb2.GetModelMetadataRequest()
    metadata.model_spec.name = "shapes"
    metadata.metadata_field.append("signature_def")
    packed = stub.GetModelMetadata(metadata).metadata["signature_def"]
    defs = get_model_metadata_pb2.SignatureDefMap()
    assert packed.Unpack(defs) and "explain_bytes" in defs.signature_def
    state = get_model_status_pb2.GetModelStatusRequest()
    state.model_spec.name = "shapes"
    (version,) = model_service_pb2_grpc.ModelServiceStub(
        channel).GetModelStatus(state).model_version_status
    assert version.version == 1


def _grpc_code(server, change):
  with grpc.insecure_channel(
      f"127.0.0.1:{server.grpc}",
      options=[("grpc.max_send_message_length", -1)]) as channel:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "shapes"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(_images(1)))
    change(request)
    with pytest.raises(grpc.RpcError) as error:
      prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(
          request, timeout=30)
    return error.value.code()


def test_grpc_mistakes_have_their_codes(server):
  code = grpc.StatusCode
  def name(request):
    request.model_spec.name = "other"
  def version(request):
    request.model_spec.version.value = 9
  def shape(request):
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.zeros([1, 2])))
  def broken(request):
    request.inputs["images"].tensor_content = b"123"
  def large(request):
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(_images(100)))
  assert _grpc_code(server, name) == code.NOT_FOUND
  assert _grpc_code(server, version) == code.NOT_FOUND
  assert _grpc_code(server, shape) == code.INVALID_ARGUMENT
  assert _grpc_code(server, broken) == code.INVALID_ARGUMENT
  assert _grpc_code(server, large) == code.RESOURCE_EXHAUSTED


def _huge_png(width, height):
  """A valid header of an image that would fill the memory."""
  def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data)))
  return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
      ">IIBBBBB", width, height, 8, 2, 0, 0, 0))
          + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def _explain(index, count=1):
  return {"signature_name": "explain", "instances": [
      {"images": np.full([64, 64, 3], 0.5).tolist(), "class_index": index}
      for _ in range(count)]}


NAN = json.dumps({"instances": [[[[0.5] * 3] * 64] * 64]}).replace(
    "0.5", "NaN", 1).encode()
BAD = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"\x00\xff\x17", "not JSON"),
    "a list": ([1], "must be a JSON object"),
    "NaN": (NAN, "not JSON"),
    "an infinite number": (NAN.replace(b"NaN", b"1e999"), ""),
    "deep": (b"[" * 100_000, "not JSON"),
    "no inputs": ({}, "either 'instances' or 'inputs'"),
    "both": ({"instances": [1], "inputs": [1]}, "either"),
    "no rows": ({"instances": []}, "at least one"),
    "no such signature": ({"signature_name": "x", "instances": [1]},
                          "must be one of"),
    "a signature that is none": ({"signature_name": 3, "instances": [1]},
                                 "must be a string"),
    "wrong shape": ({"instances": [[1, 2], [3, 4]]}, "of shape [2, 2]"),
    "ragged": ({"instances": [[1, 2], [3]]}, "not a regular array"),
    "text for images": ({"instances": ["x"]}, "of type"),
    "no such input": ({"inputs": {"pixels": [1]}}, "no such input"),
    "uneven rows": ({"instances": [{"images": 1}, {"image": 1}]}, "same"),
    "beyond [0, 1]": ({"instances": np.full([1, 64, 64, 3], 255).tolist()},
                      "[0, 1]"),
    "class too high": (_explain(6), "class_index: must be less than 6"),
    "class too low": (_explain(-2), "class_index: must be -1 or"),
    "class beyond int32": (_explain(2**40), "does not fit"),
    "half a class": (_explain(0.5), "class_index: of type"),
    "lengths": ({"signature_name": "explain", "inputs": {
        "images": np.full([2, 64, 64, 3], 0.5).tolist(), "class_index": [0]}},
                "different lengths"),
    "too many": ({"signature_name": "serve_bytes", "instances": [
        _b64(b"x")] * 65}, "a batch of 65"),
    "no base64": ({"signature_name": "serve_bytes",
                   "instances": [{"b64": "!!"}]}, "not base64"),
    "no bytes": ({"signature_name": "serve_bytes", "instances": [_b64(b"")]},
                 "not a JPEG or PNG"),
    "no picture": ({"signature_name": "serve_bytes",
                    "instances": [_b64(b"hello world")]},
                   "not a JPEG or PNG"),
    "half a picture": ({"signature_name": "serve_bytes", "instances": [
        _b64(_png()[:90])]}, ""),
    "a bomb": ({"signature_name": "serve_bytes", "instances": [
        _b64(_huge_png(60_000, 60_000))]}, "pixels"),
    "a large picture": ({"signature_name": "serve_bytes", "instances": [
        _b64(_huge_png(8_000, 8_000))]}, "8000 x 8000 pixels"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_400_and_one_line(server, case):
  request, says = BAD[case]
  status, reply = server.predict(request)
  assert status == 400
  assert says in reply["error"] and "\n" not in reply["error"]
  assert "/" + "tmp" not in reply["error"]
  assert server.ask("GET", "/healthz")[0] == 200


def test_unknown_addresses_and_methods(server):
  assert server.predict({}, "/v1/models/other:predict")[0] == 404
  assert server.predict({}, "/v1/models/shapes/versions/9:predict")[0] == 404
  assert server.ask("GET", "/nope")[0] == 404
  assert server.ask("POST", "/v1/models/shapes")[0] == 405


def test_a_large_body_is_refused_before_it_is_read(server):
  status, _ = server.ask("POST", "/v1/models/shapes:predict", b"",
                         {"Content-Length": str(MAX_BYTES + 1)})
  assert status == 413
  # One that does not say how large it is.
  def endless():
    for _ in range(MAX_BYTES // 2**16 + 2):
      yield bytes(2**16)
  connection = http.client.HTTPConnection("127.0.0.1", server.rest)
  try:
    connection.request("POST", "/v1/models/shapes:predict", endless(),
                       encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 413
  except (BrokenPipeError, ConnectionResetError):
    pass  # the server hung up while we were still sending: refused as well
  finally:
    connection.close()
  assert server.ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("sent", [
    b"", b"POST /v1/models/shapes:predict HTT",
    b"POST /v1/models/shapes:predict HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 100\r\n\r\n{"], ids=["silent", "headers", "body"])
def test_a_slow_client_gets_408_and_holds_up_nobody(server, sent):
  slow = [socket.create_connection(("127.0.0.1", server.rest))
          for _ in range(20)]
  for one in slow:
    one.sendall(sent)
  assert server.predict({"instances": _images(1).tolist()})[0] == 200
  for one in slow:
    one.settimeout(20)
    assert one.recv(100).startswith(b"HTTP/1.1 408")
    one.close()


def test_many_at_once_agree(server, model):
  images = _images(16)
  want = model.signatures["serving_default"](
      images=tf.constant(images))["probabilities"].numpy()
  def ask(i):
    status, reply = server.predict({"instances": [images[i % 16].tolist()]})
    assert status == 200
    return reply["predictions"][0]["probabilities"]
  with concurrent.futures.ThreadPoolExecutor(16) as pool:
    got = list(pool.map(ask, range(64)))
  np.testing.assert_allclose(got, np.tile(want, (4, 1)), atol=1e-5)


@pytest.fixture
def small_server(tiny_export):
  one = Server(tiny_export, "--workers=1", "--waiting=1")
  yield one
  one.process.kill()
  one.process.wait()


def test_a_full_queue_is_503_and_a_stop_answers_who_was_there(small_server):
  server = small_server
  request = {"instances": _images(20).tolist()}
  server.predict(request)
  with concurrent.futures.ThreadPoolExecutor(24) as pool:
    status = [s for s, _ in pool.map(lambda _: server.predict(request),
                                     range(24))]
  assert set(status) == {200, 503}
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    answer = pool.submit(server.predict, {
        "signature_name": "explain", "inputs": {
            "images": _images(12).tolist(), "class_index": [-1] * 12}})
    while b"serve_at_work 1.0" not in server.ask("GET", "/metrics")[1]:
      time.sleep(0.02)
    assert server.stop() == 0
    assert answer.result()[0] == 200


def test_mistakes_of_the_one_who_starts_it(tmp_path):
  done = subprocess.run(
      [sys.executable, ROOT / "tools/serve.py", f"--model={tmp_path}"],
      capture_output=True, text=True)
  assert done.returncode == 2
  assert "no numbered version there" in done.stderr
  assert "Traceback" not in done.stderr


def test_the_page_in_a_browser(server, browser_page, tmp_path):
  picture = tmp_path / "scene.png"
  picture.write_bytes(_png((300, 200), seed=3))
  (tmp_path / "note.png").write_bytes(b"no picture")
  page = browser_page()
  page.goto(f"http://127.0.0.1:{server.rest}/")
  page.wait_for_selector("#methods input", state="attached")
  page.set_input_files("#file", str(picture))
  page.wait_for_selector("#classes li")
  assert page.locator("#classes li").count() == 6
  drawn = page.evaluate("""() => {
    const c = document.getElementById("canvas");
    const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    return [c.width, c.height, new Set(d).size, c.dataset.box || ""]; }""")
  assert drawn[:2] == [300, 200] and drawn[2] > 50
  assert re.match(r"[\d.]+(,[\d.]+){3}$", drawn[3])
  assert "percent" in page.get_attribute("#canvas", "aria-label")
  second = page.locator("#classes button").nth(1)
  name = second.locator("span span").first.inner_text()
  second.click()
  page.wait_for_function(
      "n => document.getElementById('canvas').ariaLabel.includes(n)",
      arg=name.split()[0])
  page.check("input[value=guided_backprop]")
  assert not page.mistakes
  page.set_input_files("#file", str(tmp_path / "note.png"))
  page.wait_for_selector("#note.bad")
  assert "cannot be read" in page.inner_text("#note")
