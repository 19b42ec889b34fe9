"""Train, export, serve, ask: one model and the same numbers all the way."""

import base64
import json
import pathlib
import re
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from atcon_tf import attribution
from atcon_tf import runs
from atcon_tf.serving import image_ops
from atcon_tf.serving import saved_model
from tests import quiet_process

grpc = pytest.importorskip("grpc")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
pytest.importorskip("starlette")

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The preset, on two rare classes and for two updates.
SMALL = ["--image_size=97", "--classes=cow,sheep", "--shots=2", "--steps=2",
         "--eval_every=2", "--bootstrap=0", "--unlabeled=16",
         "--summary_images=0"]


def _run(*command):
  done = subprocess.run([sys.executable, *command], cwd=ROOT,
                        capture_output=True, text=True)
  return quiet_process.output(done)


def _rest(port, name, pictures):
  body = json.dumps({"signature_name": "explain_bytes", "instances": [
      {"image_bytes": {"b64": base64.b64encode(p).decode()},
       "class_index": -1} for p in pictures]}).encode()
  request = urllib.request.Request(
      f"http://127.0.0.1:{port}/v1/models/{name}:predict", body)
  with urllib.request.urlopen(request, timeout=120) as reply:
    return json.load(reply)["predictions"]


def _grpc(port, name, pictures):
  request = predict_pb2.PredictRequest()
  request.model_spec.name = name
  request.model_spec.signature_name = "explain_bytes"
  request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(pictures))
  request.inputs["class_index"].CopyFrom(
      tf.make_tensor_proto([-1] * len(pictures)))
  with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    reply = prediction_service_pb2_grpc.PredictionServiceStub(
        channel).Predict(request, timeout=120)
  return {key: tf.make_ndarray(value) for key, value in reply.outputs.items()}


def test_a_voc_preset_is_served_as_it_was_trained(data_dir, tmp_path):
  weights = data_dir / "weights/mobilenet_v2_1.0_224_notop.weights.h5"
  if not weights.exists():
    pytest.skip(f"no {weights.name} there")
  workdir, out = tmp_path / "run", tmp_path / "served"
  _run("-m", "atcon_tf.train", "--flagfile=flags/voc_8shot_supervised.flags",
       f"--data_dir={data_dir}/VOCdevkit", f"--weights={weights}",
       f"--workdir={workdir}", *SMALL)
  _run("-m", "atcon_tf.export", f"--workdir={workdir}", f"--out={out}")
  run = runs.load(workdir)
  files = [data_dir / f"VOCdevkit/VOC2007/JPEGImages/{i}.jpg"
           for i in run.split["test"][:3]]
  pictures = [f.read_bytes() for f in files]
  log = open(tmp_path / "stderr.txt", "w+")
  server = subprocess.Popen(
      [sys.executable, "-m", "atcon_tf.serve", f"--model={out}",
       "--rest_port=0", "--grpc_port=0", "--timeout=120"],
      cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
  try:
    rest, remote = re.findall(r"127\.0\.0\.1:(\d+)",
                              server.stdout.readline())
    rows, tensors = (_rest(rest, "served", pictures),
                     _grpc(remote, "served", pictures))
  finally:
    server.terminate()
    assert server.wait(60) == 0
  with log:
    log.seek(0)
    assert not log.read()
  classifier = run.classifier
  images = image_ops.decode(tf.constant(pictures), classifier.image_size)
  logits = classifier.model(images, training=False)
  target = tf.argmax(logits, -1)
  want = {"probabilities": tf.sigmoid(logits), "class_index": target}
  for method in saved_model.usable(classifier):
    want[method] = attribution.enlarge(classifier, attribution.explain(
        classifier, images, method, target))
  for name, value in want.items():
    scale = max(1, float(tf.reduce_max(tf.abs(value))))
    for got in (tensors[name], [row[name] for row in rows]):
      np.testing.assert_allclose(got, value, atol=1e-5 * scale, err_msg=name)
  assert rows[0]["class_names"] == ["cow", "sheep"]
