"""An API key and TLS at both ports, with a certificate made for the test."""

import http.client
import json
import shutil
import socket
import ssl
import subprocess

import pytest
import tensorflow as tf

from atcon_tf.config import UserError
from tests.server_process import Server

pytest.importorskip("starlette")
grpc = pytest.importorskip("grpc")
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from atcon_tf.serving.server import access

KEY = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """A key, and a certificate for localhost with its key."""
  if not shutil.which("openssl"):
    pytest.skip("no openssl to make a certificate with")
  folder = tmp_path_factory.mktemp("access")
  (folder / "api.key").write_text(KEY + "\n")
  subprocess.run(
      ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
       "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
       "-keyout", folder / "own.key", "-out", folder / "own.pem"],
      check=True, capture_output=True)
  return folder


@pytest.fixture(scope="module")
def server(files):
  """A server of a model that doubles numbers."""
  module = tf.Module()
  module.double = tf.function(
      lambda x: {"twice": 2 * x},
      input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
  tf.saved_model.save(module, str(files / "double/1"), {
      "serving_default": module.double})
  one = Server(files / "double", f"--api_key_file={files / 'api.key'}",
               f"--ssl_certfile={files / 'own.pem'}",
               f"--ssl_keyfile={files / 'own.key'}")
  yield one
  one.process.kill()
  one.process.wait()


def _ask(server, files, key, method="POST",
         path="/v1/models/shapes:predict"):
  connection = http.client.HTTPSConnection(
      "localhost", server.rest, timeout=30,
      context=ssl.create_default_context(cafile=files / "own.pem"))
  headers = {"Authorization": f"Bearer {key}"} if key else {}
  try:
    connection.request(method, path, json.dumps({"instances": [1.5]}), headers)
    reply = connection.getresponse()
    return reply.status, reply.read()
  finally:
    connection.close()


def test_rest(server, files):
  assert _ask(server, files, KEY) == (200, b'{"predictions":[3.0]}')
  for key in ("", KEY[:-1], "é"):
    status, reply = _ask(server, files, key.encode().decode("latin-1"))
    assert status == 401 and b"Authorization: Bearer KEY" in reply
  for path in ("/", "/metrics", "/v1/models/shapes"):
    assert _ask(server, files, "", "GET", path)[0] == 401
  assert _ask(server, files, "", "GET", "/healthz")[0] == 200


def test_without_tls_nothing_is_said(server):
  with socket.create_connection(("127.0.0.1", server.rest)) as plain:
    plain.settimeout(30)
    plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
      assert b"HTTP" not in plain.recv(100)
    except ConnectionResetError:
      pass


def test_grpc(server, files):
  request = predict_pb2.PredictRequest()
  request.model_spec.name = "shapes"
  request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.5]))
  credentials = grpc.ssl_channel_credentials((files / "own.pem").read_bytes())
  with grpc.secure_channel(f"localhost:{server.grpc}", credentials) as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(request, timeout=30, metadata=[
        ("authorization", f"Bearer {KEY}")])
    assert list(answer.outputs["twice"].float_val) == [3.0]
    with pytest.raises(grpc.RpcError) as error:
      stub.Predict(request, timeout=30)
    assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("text, says", [
    ("short", "one word of 16"), ("two words of a long key", "one word"),
    (None, "No such file")])
def test_keys_that_are_none(text, says, tmp_path):
  path = tmp_path / "key"
  if text:
    path.write_text(text)
  with pytest.raises(UserError, match=f"api_key_file=.*{says}"):
    access.read_key(path)


def test_certificates_that_are_none(files, tmp_path):
  certificate, key = files / "own.pem", files / "own.key"
  assert access.read_certificate("", "") is None
  for pair, says in [((certificate, ""), "ssl_keyfile: needed"),
                     (("", key), "ssl_certfile: needed"),
                     ((key, certificate), "must be a certificate in PEM"),
                     ((certificate, tmp_path / "no"), "No such file")]:
    with pytest.raises(UserError, match=says):
      access.read_certificate(*pair)
