"""The reference server as a client and a browser meet it."""

import base64
import concurrent.futures
import io
import json
import re

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from atcon_tf.data import framing
from tests.server_process import b64
from tests.server_process import some_images
from tests.server_process import some_png

pytest.importorskip("starlette")
grpc = pytest.importorskip("grpc")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")


@pytest.fixture(scope="module")
def model(tiny_export):
  return tf.saved_model.load(str(tiny_export / "1"))


def test_rest_rows_and_columns(server, model):
  images = some_images(3)
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
  png = some_png()
  want = model.signatures["explain_bytes"](
      image_bytes=tf.constant([png]), class_index=tf.constant([2]))
  status, reply = server.predict(
      {"signature_name": "explain_bytes", "instances": [
          {"image_bytes": b64(png), "class_index": 2}]},
      "/v1/models/shapes/versions/1:predict")
  (row,) = reply["predictions"]
  assert status == 200 and row["class_index"] == 2
  for name in ("grad_cam", "guided_backprop", "probabilities"):
    np.testing.assert_allclose(row[name], want[name][0], atol=1e-5)
  overlay = base64.b64decode(row["overlay_bytes"]["b64"])
  assert overlay == want["overlay_bytes"][0].numpy()
  given = PIL.Image.open(io.BytesIO(png)).size
  assert PIL.Image.open(io.BytesIO(overlay)).size == tuple(
      round(side * 64 / max(given)) for side in given)
  status, reply = server.predict({"signature_name": "serve_bytes",
                                  "instances": [b64(png), b64(png)]})
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
    images = some_images(2)
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


def test_many_at_once_agree(server, model):
  images = some_images(16)
  want = model.signatures["serving_default"](
      images=tf.constant(images))["probabilities"].numpy()
  def ask(i):
    status, reply = server.predict({"instances": [images[i % 16].tolist()]})
    assert status == 200
    return reply["predictions"][0]["probabilities"]
  with concurrent.futures.ThreadPoolExecutor(16) as pool:
    got = list(pool.map(ask, range(64)))
  np.testing.assert_allclose(got, np.tile(want, (4, 1)), atol=1e-5)


def test_the_page_in_a_browser(server, browser_page, tmp_path):
  picture = tmp_path / "scene.png"
  picture.write_bytes(some_png((300, 200), seed=3))
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
  part = page.evaluate("""() => ["squeeze", "crop", "pad"].map(way => {
    model.input.resize = way;
    const found = seen();
    delete model.input.resize;
    return found; })""")
  np.testing.assert_allclose(part, [
      [left / 300, top / 200, width / 300, height / 200]
      for top, left, height, width in (
          framing.window((200, 300), (64, 64), way)
          for way in ("squeeze", "crop", "pad"))])
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
