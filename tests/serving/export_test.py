"""What is exported answers as the run does, wherever it is loaded."""

import importlib.util
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.config import UserError
from atcon_tf.data import decoding
from atcon_tf import models
from atcon_tf import runs
from atcon_tf.serving import export_run
from atcon_tf.serving import formats
from atcon_tf.serving import image_ops
from atcon_tf.serving import saved_model

# Loads a version as a client does; writes every answer, alone and in threads.
CLIENT = '''
import concurrent.futures, sys
sys.modules["keras"] = sys.modules["atcon_tf"] = None  # must do without
import numpy as np
import tensorflow as tf

folder, inputs, outputs = sys.argv[1:]
model = tf.saved_model.load(folder)
given = np.load(inputs, allow_pickle=True)
images, target = given["images"], given["class_index"]
packed = given["image_bytes"].astype(object)

def ask(signature, stop=64, start=0):
  feeds = {"serving_default": {"images": images}, "serve_bytes":
           {"image_bytes": packed}, "explain": {"images": images,
           "class_index": target}, "explain_bytes": {"image_bytes": packed,
           "class_index": target}}[signature]
  answer = model.signatures[signature](
      **{k: tf.constant(v[start:stop]) for k, v in feeds.items()})
  return {k: v.numpy() for k, v in answer.items()}

found = {}
for signature in model.signatures:
  whole = ask(signature)
  found |= {f"{signature}/{k}": v for k, v in whole.items()}
  parts = [(signature, 1, 0), (signature, 3, 1), (signature, 10, 3)] * 3
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for part, (_, stop, start) in zip(
        pool.map(lambda p: ask(*p), parts), parts):
      for k, v in part.items():
        if v.dtype == object:
          continue
        np.testing.assert_allclose(v, whole[k][start:stop], atol=1e-5)
assert not [m for m, module in sys.modules.items() if module is not None and
            m.partition(".")[0] in ("keras", "atcon_tf")]
np.savez(outputs, **found)
'''


def _pictures(count, rng):
  """JPEG and PNG files of many sizes, as bytes."""
  out = []
  for i in range(count):
    size = tuple(rng.integers(20, 200, 2).tolist())
    small = rng.integers(0, 256, (7, 9, 4), dtype=np.uint8)
    image = PIL.Image.fromarray(small, "RGBA").resize(size)
    if i % 3:
      image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if i % 3 == 2 else "PNG")
    out.append(buffer.getvalue())
  return out


@pytest.fixture(scope="module")
def run(tiny_run):
  return runs.load(tiny_run)


def _ask_in_fresh_process(version, images, pictures, target, folder):
  (folder / "client.py").write_text(CLIENT)
  np.savez(folder / "in.npz", images=images, class_index=target,
           image_bytes=np.array(pictures, object))
  environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
  done = subprocess.run(
      [sys.executable, "client.py", version, "in.npz", "out.npz"],
      cwd=folder, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-3000:]
  with np.load(folder / "out.npz", allow_pickle=True) as found:
    return dict(found)


def check_against(run, found, images, decoded, target):
  """Compares every answer with the training-time model and its maps."""
  classifier = run.classifier
  for name, pixels in [("", images), ("_bytes", decoded)]:
    short = {"": "serving_default", "_bytes": "serve_bytes"}[name]
    logits = classifier.model(pixels, training=False).numpy()
    want = (1 / (1 + np.exp(-logits)) if run.multi_label
            else tf.nn.softmax(logits).numpy())
    index = np.where(target < 0, logits.argmax(-1), target)
    for signature in (short, f"explain{name}"):
      np.testing.assert_allclose(
          found[f"{signature}/probabilities"], want, atol=1e-5)
      assert [n.decode() for n in found[f"{signature}/class_names"][0]] == (
          list(run.class_names))
    np.testing.assert_array_equal(found[f"explain{name}/class_index"], index)
    for method in ("grad_cam", "guided_backprop"):
      heat = attribution.enlarge(classifier, attribution.explain(
          classifier, pixels, method, index)).numpy()
      # Rounding may turn a ReLU's gate, and with it a patch of one map.
      off = np.abs(found[f"explain{name}/{method}"] - heat) > (
          1e-5 * max(1, np.abs(heat).max()))
      assert off.mean() < 1e-3, (name, method)


def test_a_fresh_process_answers_as_the_run(run, tiny_export, tmp_path):
  """Without keras and this package; batches of 1 to 64; in threads."""
  rng = np.random.default_rng(0)
  images = rng.uniform(size=[64, 64, 64, 3]).astype(np.float32)
  pictures = _pictures(64, rng)
  target = rng.integers(-1, 6, 64).astype(np.int32)
  found = _ask_in_fresh_process(str(tiny_export / "1"), images, pictures,
                                target, tmp_path)
  decoded = image_ops.decode(tf.constant(pictures), (64, 64)).numpy()
  check_against(run, found, images, decoded, target)
  png = PIL.Image.open(io.BytesIO(found["explain_bytes/overlay_bytes"][0]))
  given = PIL.Image.open(io.BytesIO(pictures[0])).size
  assert png.format == "PNG" and max(png.size) == 64
  assert png.size == tuple(round(s * 64 / max(given)) for s in given)
  assert np.asarray(png).std() > 5


@pytest.mark.parametrize("mode, kind", [
    ("RGB", "PNG"), ("RGB", "JPEG"), ("L", "PNG"), ("RGBA", "PNG"),
    ("P", "PNG"), ("CMYK", "JPEG")])
def test_pictures_are_decoded_as_in_training(mode, kind):
  rng = np.random.default_rng(1)
  small = rng.integers(0, 256, (9, 11, 4), dtype=np.uint8)
  for size in [(130, 77), (64, 64), (31, 90)]:
    image = PIL.Image.fromarray(small, "RGBA").resize(size).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    want = decoding.to_rgb(PIL.Image.open(buffer)).resize(
        (64, 64), PIL.Image.Resampling.BILINEAR)
    got = image_ops.decode(tf.constant([buffer.getvalue()]), (64, 64))[0] * 255
    assert np.abs(np.asarray(want, float) - got.numpy()).max() <= 1.01


@pytest.mark.parametrize("contents", [
    b"", b"hello", b"\x89PNG\r\n", b"\xff\xd8\xff123", b"GIF89a" + bytes(40)])
def test_what_is_no_picture_is_refused(tiny_export, contents):
  model = tf.saved_model.load(str(tiny_export / "1"))
  with pytest.raises(tf.errors.InvalidArgumentError):
    model.signatures["serve_bytes"](image_bytes=tf.constant([contents]))


@pytest.mark.parametrize("pixel", [1.5, -0.5, np.nan, np.inf])
def test_pixels_outside_the_range_are_refused(tiny_export, pixel):
  model = tf.saved_model.load(str(tiny_export / "1"))
  images = np.full([2, 64, 64, 3], 0.5, np.float32)
  images[1, 3, 4, 0] = pixel
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"in \[0, 1\]"):
    model.signatures["serving_default"](images=tf.constant(images))


def test_a_class_that_does_not_exist_is_refused(tiny_export):
  model = tf.saved_model.load(str(tiny_export / "1"))
  images = tf.fill([1, 64, 64, 3], 0.5)
  for target in (-2, 6):
    with pytest.raises(tf.errors.InvalidArgumentError, match="class_index"):
      model.signatures["explain"](images=images,
                                  class_index=tf.constant([target]))


def test_metadata_and_warm_up(run, tiny_export):
  data = json.loads((tiny_export / "1/assets/metadata.json").read_text())
  assert data["class_names"] == list(run.class_names)
  assert data["thresholds"] == run.result["thresholds"]
  assert data["input"]["size"] == [64, 64]
  assert data["metrics"]["map_macro"] == run.result["test"]["map_macro"]
  assert str(pathlib.Path(__file__).anchor) + "tmp" not in json.dumps(data)
  prediction_log_pb2 = pytest.importorskip(
      "tensorflow_serving.apis.prediction_log_pb2")
  model = tf.saved_model.load(str(tiny_export / "1"))
  seen = []
  for raw in tf.data.TFRecordDataset(
      str(tiny_export / "1/assets.extra" / export_run.WARMUP)):
    request = prediction_log_pb2.PredictionLog.FromString(
        raw.numpy()).predict_log.request
    seen.append(request.model_spec.signature_name)
    model.signatures[seen[-1]](**{
        name: tf.constant(tf.make_ndarray(value))
        for name, value in request.inputs.items()})
  assert sorted(seen) == sorted(model.signatures)


def test_the_keras_file_needs_keras_alone(run, tiny_export, tmp_path):
  images = np.random.default_rng(2).uniform(
      size=[3, 64, 64, 3]).astype(np.float32)
  np.save(tmp_path / "in.npy", images)
  shutil.copy(tiny_export / "1/assets.extra/classifier.keras", tmp_path)
  code = ("import sys, keras, numpy as np;"
          "m = keras.models.load_model('classifier.keras');"
          "np.save('out.npy', m.predict(np.load('in.npy'), verbose=0));"
          "assert 'atcon_tf' not in sys.modules")
  done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path,
                        capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-2000:]
  want = tf.sigmoid(run.classifier.model(images, training=False))
  np.testing.assert_allclose(np.load(tmp_path / "out.npy"), want, atol=1e-5)


def test_tflite_and_onnx_give_the_same(run, tiny_export):
  images = np.random.default_rng(3).uniform(
      size=[1, 64, 64, 3]).astype(np.float32)
  want = tf.sigmoid(run.classifier.model(images, training=False))
  extra = tiny_export / "1/assets.extra"
  lite = tf.lite.Interpreter(str(extra / "classifier.tflite"))
  lite.allocate_tensors()
  lite.set_tensor(lite.get_input_details()[0]["index"], images)
  lite.invoke()
  got = lite.get_tensor(lite.get_output_details()[0]["index"])
  np.testing.assert_allclose(got, want, atol=1e-5)
  onnxruntime = pytest.importorskip("onnxruntime")
  if importlib.util.find_spec("tf2onnx") is None:
    pytest.skip("tf2onnx is not installed")
  session = onnxruntime.InferenceSession(str(extra / "classifier.onnx"))
  np.testing.assert_allclose(session.run(None, {"images": images})[0], want,
                             atol=1e-5)


@pytest.mark.parametrize("name, size, reflect", [
    ("vgg16", 32, False), ("mobilenet", 97, True), ("resnet50", 33, False)])
def test_every_kind_of_network_is_rebuilt_of_keras_alone(
    name, size, reflect, tmp_path):
  """Fused ReLUs, ReLU6, BGR input and reflected padding."""
  keras.utils.set_random_seed(0)
  classifier = models.build(name, 3, image_size=size, width=0.25 if
                            name == "mobilenet" else 1.0,
                            reflect_padding=reflect)
  images = np.random.default_rng(0).uniform(
      size=[2, size, size, 3]).astype(np.float32)
  formats.save_keras(formats.keras_only(classifier, False),
                     tmp_path / "m.keras")
  loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={})
  kinds = {type(layer).__module__.partition(".")[0]
           for layer in loaded._flatten_layers()}
  assert kinds == {"keras"}
  want = tf.nn.softmax(classifier.model(images, training=False))
  np.testing.assert_allclose(loaded(images, training=False), want, atol=1e-5)


def test_versions_count_up_and_nothing_is_overwritten(run, tmp_path,
                                                      monkeypatch):
  monkeypatch.setattr(formats, "FORMATS", {})
  out = tmp_path / "served"
  for number in (1, 2):
    assert export_run.export(run, out) == out / str(number)
  assert export_run.export(run, out, ("guided_backprop",), 7) == out / "7"
  loaded = tf.saved_model.load(str(out / "7")).signatures["explain"]
  assert "grad_cam" not in loaded.structured_outputs
  with pytest.raises(UserError, match="version=2: .*exists"):
    export_run.export(run, out, version=2)
  assert sorted(p.name for p in out.iterdir()) == ["1", "2", "7"]


def test_a_foreign_folder_and_an_unknown_method_are_refused(run, tmp_path):
  (tmp_path / "thesis.tex").write_text("mine")
  with pytest.raises(UserError, match="thesis.tex"):
    export_run.export(run, tmp_path)
  with pytest.raises(UserError,
                     match=r"method=\('lime',\): must be any of tame"):
    export_run.export(run, tmp_path / "x", ("lime",))
  assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_full_disk_leaves_nothing(run, tmp_path, monkeypatch):
  def full(model, path):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(formats, "FORMATS", {"keras": full})
  with pytest.raises(UserError, match="No space left.*nothing was left"):
    export_run.export(run, tmp_path / "served")
  assert list((tmp_path / "served").iterdir()) == []


def test_of_two_classes_the_label_is_explained():
  """Of each threshold, -1 stands for the class that is the label."""
  classifier = models.build("tiny_cnn", 2, image_size=16)
  images = np.random.default_rng(0).uniform(size=[4, 16, 16, 3]).astype("f")
  for threshold, label in ((1e-6, 1), (1 - 1e-6, 0)):
    module = saved_model.ServingModule(classifier, ["a", "b"], False,
                                       ("grad_cam",), threshold=threshold)
    answer = module.functions["explain"](images, np.full(4, -1, np.int32))
    assert answer["class_index"].numpy().tolist() == [label] * 4
    assert answer["labels"].numpy()[:, label].all()


def test_what_a_killed_export_left_is_removed(run, tmp_path, monkeypatch):
  monkeypatch.setattr(formats, "FORMATS", {})
  old, new = (tmp_path / f".part-{name}-1" for name in ("old", "new"))
  for part in (old, new):
    (part / "variables").mkdir(parents=True)
    (part / "saved_model.pb").write_text("half")
  before = time.time() - export_run.ABANDONED - 60
  for path in (*old.iterdir(), old):
    os.utime(path, (before, before))
  export_run.export(run, tmp_path)
  assert sorted(p.name for p in tmp_path.iterdir()) == [new.name, "1"]


def test_mistakes_are_one_line_and_status_2(tiny_run, tmp_path):
  shutil.copytree(tiny_run, tmp_path / "run")
  shutil.rmtree(tmp_path / "run/checkpoints")
  for workdir, says in [("nowhere", "no run there"),
                        ("run", "no checkpoint yet")]:
    done = subprocess.run(
        [sys.executable, "-m", "atcon_tf.export", "--out=out",
         f"--workdir={tmp_path / workdir}"], capture_output=True, text=True)
    assert done.returncode == 2
    lines = [l for l in done.stderr.splitlines() if l.startswith("error: ")]
    assert len(lines) == 1 and says in lines[0]
    assert "Traceback" not in done.stderr
