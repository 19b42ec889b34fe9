"""A served classifier of clips: clips or T pictures in, maps of them out."""

import base64
import io
import json
import socket
import threading

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc
import uvicorn

from atcon_tf import attribution
from atcon_tf.data import recorded_clip
from atcon_tf.reports.figures import film_strips
from atcon_tf.serving import formats
from atcon_tf.serving import saved_model
from atcon_tf.serving.server import grpc_api
from atcon_tf.serving.server import prometheus_metrics
from atcon_tf.serving.server import rest_api
from atcon_tf.serving.server import served_model
from atcon_tf.serving.server import tf_serving_json
from tests.data import drawn_clips
from tests import small_clips
from tests.small_clips import FRAMES
from tests.small_clips import SIZE

grpc = pytest.importorskip("grpc")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")

NAMES = ["walk", "run", "fall"]
METADATA = {"class_names": NAMES, "methods": ["grad_cam", "guided_backprop"],
            "input": {"size": [SIZE, SIZE], "frames": FRAMES},
            "config": {"model": "tiny_cnn", "objective": "probe", "shots": 2,
                       "stride": 1, "fps": 0, "clip_seconds": 0}}


@pytest.fixture(scope="module")
def classifier():
  return small_clips.backbone("tiny_cnn")


@pytest.fixture(scope="module")
def served(classifier, tmp_path_factory):
  """The exported classifier as the server holds it."""
  root = tmp_path_factory.mktemp("session")
  (root / "metadata.json").write_text(json.dumps(METADATA))
  saved_model.ServingModule(classifier, NAMES, False).save(
      root / "clips" / "1", root / "metadata.json")
  return served_model.ServedModel(root / "clips")


@pytest.fixture(scope="module")
def ports(served):
  """Its server at work in threads: the ports of REST and of gRPC."""
  metrics = prometheus_metrics.Metrics(served.inputs)
  remote, grpc_port = grpc_api.make_server(served, "127.0.0.1:0", 60, 1 << 24,
                                           metrics.observe)
  remote.start()
  listening = socket.create_server(("127.0.0.1", 0))
  web = uvicorn.Server(uvicorn.Config(
      rest_api.Rest(served, metrics, 60, 1 << 24).app(), ws="none",
      log_level="warning"))
  thread = threading.Thread(target=web.run, args=[[listening]])
  thread.start()
  yield listening.getsockname()[1], grpc_port
  web.should_exit = True
  thread.join()
  remote.stop(0).wait()


def _pictures(clip):
  """JPEG bytes of the frames of a clip, and what they decode to."""
  packed, pixels = [], []
  for frame in clip:
    file = io.BytesIO()
    PIL.Image.fromarray(np.uint8(255 * frame)).save(file, "JPEG", quality=95)
    packed.append(file.getvalue())
    pixels.append(np.asarray(PIL.Image.open(file)) / np.float32(255))
  return packed, np.stack(pixels)


def test_clips(classifier, served):
  clips = small_clips.clips(2)
  answer = served.predict("serving_default", {"images": clips})
  expected = tf.nn.softmax(classifier.model(clips))
  np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
  answer = served.predict("explain", {"images": clips,
                                      "class_index": np.array([-1, 2])})
  assert answer["class_index"].tolist() == [np.argmax(expected[0]), 2]
  for name in ("grad_cam", "guided_backprop"):
    heat = attribution.enlarge(classifier, attribution.explain(
        classifier, clips, name, answer["class_index"])).numpy()
    assert answer[name].shape == (2, FRAMES, SIZE, SIZE)
    np.testing.assert_allclose(answer[name], heat,
                               atol=1e-4 * np.abs(heat).max())


def test_pictures_of_the_frames_over_rest(served):
  """Two clips of T JPEG frames, as TensorFlow Serving's JSON has them."""
  packed, pixels = zip(*map(_pictures, small_clips.clips(2)))
  body = json.dumps({"signature_name": "explain_bytes", "instances": [
      {"class_index": 1, "image_bytes": [
          {"b64": base64.b64encode(p).decode()} for p in one]}
      for one in packed]})
  signature, inputs, rows = tf_serving_json.parse(body, served)
  assert inputs["image_bytes"].shape == (2, FRAMES)
  answer = json.loads(tf_serving_json.render(
      served.predict(signature, inputs), rows))["predictions"]
  whole = served.predict("explain", {"images": np.stack(pixels),
                                     "class_index": np.array([1, 1])})
  for i, one in enumerate(answer):
    np.testing.assert_allclose(one["probabilities"],
                               whole["probabilities"][i], atol=1e-5)
    np.testing.assert_allclose(one["grad_cam"], whole["grad_cam"][i],
                               atol=1e-4)
    assert len(one["overlay_bytes"]) == FRAMES
    for overlay in one["overlay_bytes"]:
      drawn = PIL.Image.open(io.BytesIO(base64.b64decode(overlay["b64"])))
      assert drawn.size == (SIZE, SIZE)


def test_clips_over_grpc(served, ports):
  """Tensors of clips, and T JPEG frames of each, as docs/serving.md has it."""
  packed, pixels = zip(*map(_pictures, small_clips.clips(2)))
  with grpc.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(signature, **inputs):
      request = predict_pb2.PredictRequest()
      request.model_spec.name = "clips"
      request.model_spec.signature_name = signature
      for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
      return {name: tf.make_ndarray(value) for name, value
              in stub.Predict(request, timeout=60).outputs.items()}

    whole = ask("explain", images=np.stack(pixels), class_index=[-1, 2])
    wanted = served.predict("explain", {"images": np.stack(pixels),
                                        "class_index": np.array([-1, 2])})
    assert set(whole) == set(wanted)
    read = ask("explain_bytes", image_bytes=list(packed), class_index=[-1, 2])
    for name in ("probabilities", "class_index", "grad_cam",
                 "guided_backprop"):
      for found in (whole, read):
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-4)
    assert read["overlay_bytes"].shape == (2, FRAMES)
    assert PIL.Image.open(io.BytesIO(read["overlay_bytes"][1, 3])).size == (
        SIZE, SIZE)
    for frames in (FRAMES - 1, FRAMES + 1):
      with pytest.raises(grpc.RpcError, match=f"must be .*{FRAMES}") as found:
        ask("serve_bytes", image_bytes=[packed[0][:1] * frames])
      assert found.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_the_page_plays_a_clip(served, ports, browser_page, tmp_path):
  path = drawn_clips.write(tmp_path / "walk.mp4", drawn_clips.tenths(20))
  page = browser_page()
  page.goto(f"http://127.0.0.1:{ports[0]}/")
  page.wait_for_selector("#methods input", state="attached")
  page.set_input_files("#file", path)
  page.wait_for_selector("#classes li")
  # The frames of training: a tenth of a second apart, in the middle.
  clip = recorded_clip.Cut(frames=FRAMES, stride=1).whole(path, "walk")[1]
  sent = [base64.b64decode(b) for b in page.evaluate("source.bytes")]
  assert drawn_clips.numbers(np.asarray(PIL.Image.open(io.BytesIO(b)))
                             for b in sent) == drawn_clips.numbers(clip())
  np.testing.assert_allclose(page.evaluate("source.seconds"), clip.seconds,
                             atol=.05)
  heat = served.predict("explain_bytes", {
      "image_bytes": np.array([sent], object), "class_index": np.array([-1])})
  curve = page.get_attribute("#curve", "data-evidence")
  np.testing.assert_allclose([float(v) for v in curve.split(",")],
                             film_strips.evidence(heat["grad_cam"])[0],
                             atol=2e-3)
  # It plays, until it is stopped at a frame.
  page.wait_for_function("() => shown > 1")
  page.fill("#frame", "3")
  assert page.inner_text("#time").startswith("frame 4 of 8, 0.9")
  assert page.inner_text("#play") == "Play"
  page.check("input[value=guided_backprop]")
  page.locator("#classes button").nth(1).click()
  second = int(np.argsort(-heat["probabilities"][0])[1])
  page.wait_for_function("c => answer.class_index === c", arg=second)
  page.fill("#place", "0")
  page.wait_for_function("() => source.seconds[0] === 0")
  # Pictures of the frames, of which the middle ones are sent.
  drawn_clips.folder(tmp_path / "frames", 12)
  page.set_input_files("#file", sorted(
      str(p) for p in (tmp_path / "frames").iterdir()))
  page.wait_for_function(
      "() => source.pictures[0] instanceof ImageBitmap")
  assert drawn_clips.numbers(
      np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(b))))
      for b in page.evaluate("source.bytes")) == list(range(2, 10))
  assert not page.mistakes
  (tmp_path / "no.mp4").write_bytes(b"no video")
  page.set_input_files("#file", str(tmp_path / "no.mp4"))
  page.wait_for_selector("#note.bad")
  assert "no.mp4: this browser cannot play it" in page.inner_text("#note")


@pytest.mark.parametrize("value, why", [
    ([[{"b64": "AAAA"}] * FRAMES], "not a JPEG or PNG picture"),
    ([[{"b64": "AAAA"}] * 3], "of shape"),
    ([{"b64": "AAAA"}], "must be a list of lists|must be a list"),
    ([["a"], ["a", "b"]], "lists of different lengths"),
    ([], "image_bytes")])
def test_refusals(value, why, served):
  body = json.dumps({"signature_name": "serve_bytes",
                     "inputs": {"image_bytes": value}})
  with pytest.raises(served_model.Refused, match=why) as found:
    signature, inputs, _ = tf_serving_json.parse(body, served)
    served.predict(signature, inputs)
  assert found.value.status == 400


@pytest.mark.parametrize("name", ["r3d_18", "tiny_cnn"])
def test_keras_alone_reads_the_classifier(name, tmp_path):
  classifier = small_clips.backbone(name, reflect_padding=name == "r3d_18")
  model = formats.keras_only(classifier, multi_label=False)
  formats.save_keras(model, tmp_path / "classifier.keras")
  loaded = keras.saving.load_model(tmp_path / "classifier.keras")
  assert not any(type(layer).__module__.startswith("atcon_tf")
                 for layer in loaded.layers)
  clips = small_clips.clips(2)
  np.testing.assert_allclose(
      loaded(clips), tf.nn.softmax(classifier.model(clips)), atol=1e-5)
