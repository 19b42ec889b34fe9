"""A served classifier of clips: clips or T pictures in, maps of them out."""

import base64
import io
import json

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.serving import formats
from atcon_tf.serving import saved_model
from atcon_tf.serving.server import served_model
from atcon_tf.serving.server import tf_serving_json
from tests import small_clips
from tests.small_clips import FRAMES
from tests.small_clips import SIZE

NAMES = ["walk", "run", "fall"]


@pytest.fixture(scope="module")
def classifier():
  return small_clips.backbone("tiny_cnn")


@pytest.fixture(scope="module")
def served(classifier, tmp_path_factory):
  """The exported classifier as the server holds it."""
  folder = tmp_path_factory.mktemp("session") / "clips"
  saved_model.ServingModule(classifier, NAMES, False).save(folder / "1")
  return served_model.ServedModel(folder)


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
