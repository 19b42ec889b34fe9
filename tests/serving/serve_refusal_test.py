"""The reference server as a vandal, a crowd and a slow client meet it."""

import concurrent.futures
import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.server_process import b64
from tests.server_process import MAX_BYTES
from tests.server_process import Server
from tests.server_process import some_images
from tests.server_process import some_png
from tools import attack_server
from tools.attack_server import huge_picture

pytest.importorskip("starlette")
grpc = pytest.importorskip("grpc")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")


def _grpc_code(server, change):
  with grpc.insecure_channel(
      f"127.0.0.1:{server.grpc}",
      options=[("grpc.max_send_message_length", -1)]) as channel:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "shapes"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(some_images(1)))
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
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(some_images(100)))
  assert _grpc_code(server, name) == code.NOT_FOUND
  assert _grpc_code(server, version) == code.NOT_FOUND
  assert _grpc_code(server, shape) == code.INVALID_ARGUMENT
  assert _grpc_code(server, broken) == code.INVALID_ARGUMENT
  assert _grpc_code(server, large) == code.RESOURCE_EXHAUSTED


def test_a_short_message_of_a_huge_tensor_takes_no_memory(server):
  def huge(request):  # 49 GB, said by one number
    tensor = request.inputs["images"]
    tensor.Clear()
    tensor.dtype = tf.float32.as_datatype_enum
    tensor.float_val.append(0.5)
    for size in (1_000_000, 64, 64, 3):
      tensor.tensor_shape.dim.add(size=size)
  def unknown(request):
    huge(request)
    request.inputs["other"].CopyFrom(request.inputs["images"])
    del request.inputs["images"]
  def negative(request):
    huge(request)
    request.inputs["images"].tensor_shape.dim[0].size = -1
  for change in (huge, unknown, negative):
    assert _grpc_code(server, change) == grpc.StatusCode.INVALID_ARGUMENT


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
    "class too high": (_explain(6), "class_index: must be -1 to 5, not 6"),
    "class too low": (_explain(-2), "class_index: must be -1 to 5, not -2"),
    "class beyond int32": (_explain(2**40), "does not fit"),
    "half a class": (_explain(0.5), "class_index: of type"),
    "lengths": ({"signature_name": "explain", "inputs": {
        "images": np.full([2, 64, 64, 3], 0.5).tolist(), "class_index": [0]}},
                "different lengths"),
    "too many": ({"signature_name": "serve_bytes", "instances": [
        b64(b"x")] * 65}, "a batch of 65"),
    "no base64": ({"signature_name": "serve_bytes",
                   "instances": [{"b64": "!!"}]}, "not base64"),
    "no bytes": ({"signature_name": "serve_bytes", "instances": [b64(b"")]},
                 "not a JPEG or PNG"),
    "no picture": ({"signature_name": "serve_bytes",
                    "instances": [b64(b"hello world")]},
                   "not a JPEG or PNG"),
    "half a picture": ({"signature_name": "serve_bytes", "instances": [
        b64(some_png()[:90])]}, ""),
    "a bomb": ({"signature_name": "serve_bytes", "instances": [
        b64(huge_picture(60_000, 60_000))]}, "pixels"),
    "a large picture": ({"signature_name": "serve_bytes", "instances": [
        b64(huge_picture(11_000, 11_000))]}, "11000 x 11000 pixels"),
    "large pictures together": ({"signature_name": "serve_bytes", "instances": [
        b64(huge_picture(7_000, 7_000))] * 3},
                               "makes 147000000 in this request"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_400_and_one_line(server, case):
  request, says = BAD[case]
  status, reply = server.predict(request)
  assert status == 400
  assert says in reply["error"] and "\n" not in reply["error"]
  for foreign in "/" + "tmp", "Condition", "element-wise":
    assert foreign not in reply["error"]
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
  assert server.predict({"instances": some_images(1).tolist()})[0] == 200
  for one in slow:
    one.settimeout(20)
    assert one.recv(100).startswith(b"HTTP/1.1 408")
    one.close()


def test_attacks_of_the_tool_get_their_answers(server):
  assert attack_server.in_turn(server.rest, 0, 9) == {"200": 3, "left": 6}
  assert attack_server.slow(server.rest, 1, 3) == {"408": 3}
  found = attack_server.noise(server.rest, .5)
  assert set(found) <= {"400", "404", "closed"} and found["404"]
  row = {"attack": "noise", "answers": dict(found), "honest": {"200": 7},
         "p50_ms": 1.2, "p99_ms": 3.4, "memory_mib": 9, "open_files": 8}
  assert "| 7, 1, 3 | 9 | 8 |" in attack_server.table([row])


def test_many_half_sent_bodies_are_not_all_held(server):
  half = [socket.create_connection(("127.0.0.1", server.rest))
          for _ in range(24)]
  for one in half:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
      one.sendall(b"POST /v1/models/shapes:predict HTTP/1.1\r\nHost: x\r\n"
                  b"Content-Length: %d\r\n\r\n" % MAX_BYTES)
      one.sendall(bytes(MAX_BYTES - 9))
  replies = []
  for one in half:
    one.settimeout(20)
    with contextlib.suppress(ConnectionResetError):
      replies.append(one.recv(12)[9:])
    one.close()
  # Sixteen bodies of the largest size fit; who came later was told so.
  assert replies.count(b"408") >= 14 and replies.count(b"503") >= 1
  assert server.predict({"instances": some_images(1).tolist()})[0] == 200


@pytest.fixture
def small_server(tiny_export):
  one = Server(tiny_export, "--workers=1", "--waiting=1")
  yield one
  one.process.kill()
  one.process.wait()


def test_a_full_queue_is_503_and_a_stop_answers_who_was_there(small_server):
  server = small_server
  request = {"instances": some_images(20).tolist()}
  server.predict(request)
  with concurrent.futures.ThreadPoolExecutor(24) as pool:
    status = [s for s, _ in pool.map(lambda _: server.predict(request),
                                     range(24))]
  assert set(status) == {200, 503}
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    answer = pool.submit(server.predict, {
        "signature_name": "explain", "inputs": {
            "images": some_images(12).tolist(), "class_index": [-1] * 12}})
    while b"serve_at_work 1.0" not in server.ask("GET", "/metrics")[1]:
      time.sleep(0.02)
    assert server.stop() == 0
    assert answer.result()[0] == 200


def test_mistakes_of_the_one_who_starts_it(tmp_path):
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.serve", f"--model={tmp_path}"],
      capture_output=True, text=True)
  assert done.returncode == 2
  assert "no numbered version there" in done.stderr
  assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flags, says", [
    (["--rest_port={rest}", "--grpc_port=0"], "--rest_port={rest}: cannot"),
    (["--rest_port=0", "--grpc_port={grpc}"], "--grpc_port={grpc}: cannot"),
    (["--rest_port=70000"], "rest_port"), (["--grpc_port=70000"], "grpc_port"),
    (["--host=no.such.host.invalid", "--rest_port=0", "--grpc_port=0"],
     "_port=0: cannot listen there on no.such.host.invalid")])
def test_ports_that_cannot_be_had(server, tiny_export, flags, says):
  ports = dict(rest=server.rest, grpc=server.grpc)
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.serve", f"--model={tiny_export}",
       *(f.format(**ports) for f in flags)], capture_output=True, text=True)
  assert done.returncode == 2
  assert says.format(**ports) in done.stderr
  assert "Traceback" not in done.stderr
