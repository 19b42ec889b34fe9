"""GAIN: its terms by hand, its switches, its place in a run."""

import dataclasses
import json

import keras
import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

from atcon_tf.attribution import attention_mask
from atcon_tf.config import Config
from atcon_tf import data
from atcon_tf import models
from atcon_tf.models import backbones
from atcon_tf.objectives import gain
from atcon_tf.objectives import supervised
from atcon_tf.reports.figures import classifier_maps
from atcon_tf import training
from atcon_tf.training import strategies
from atcon_tf.training.trainer import Trainer
from tests.refusals import refused

CLASSES = 3
LABEL = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]], np.float64)


@pytest.fixture
def classifier(float64):
  return _classifier()


def _classifier(name="tiny_cnn", classes=CLASSES):
  keras.utils.set_random_seed(3)
  return models.build(name, classes, image_size=32, width=.35,
                      prior=[.3] * classes)


def _batch(label=LABEL):
  rng = np.random.default_rng(0)
  size = len(label)
  return {"image": tf.constant(rng.uniform(size=[size, 32, 32, 3])),
          "label": tf.constant(label),
          "mask": tf.constant(rng.integers(
              0, 2, [size, 32, 32, label.shape[1]]), tf.uint8)}


def _gradients(objective, term, batch):
  variables = [v.value for v in objective.classifier.model.trainable_variables]
  with tf.GradientTape() as tape:
    value, weight = objective.call(batch)[term]
    loss = tf.reduce_sum(value * weight)
  return tape.gradient(loss, variables)


def test_extra_supervision_by_hand():
  scaled = tf.constant([[[0., .5], [1., .2]]] * 4)
  one = np.array([[1, 0], [255, 1]])
  mask = np.zeros([4, 2, 2, 2], np.uint8)
  mask[0, ..., 0] = one
  mask[1, ..., 1] = one  # of a class that is not meant
  mask[2, ..., 0] = one
  mask[2, ..., 1] = [[0, 1], [1, 255]]
  classes = tf.constant([[1., 0], [1, 0], [1, 1], [1, 0]])
  error, drawn = gain.extra_supervision(scaled, tf.constant(mask), classes)
  # Known are 1, 0 and 1; 0.5 is right where the mask is 0: (1 + .25 + .64) / 3.
  # Of the third all four are inside: (1 + .25 + 0 + .64) / 4.
  np.testing.assert_allclose(error[0], 1.89 / 3, rtol=1e-6)
  np.testing.assert_allclose(error[2], 1.89 / 4, rtol=1e-6)
  np.testing.assert_array_equal(drawn, [1, 0, 1, 0])


@pytest.mark.parametrize("fill, color", [
    ("zero", None), ("mean", "mean"), ((.2, .4, .6), (.2, .4, .6))])
def test_what_is_seen_where_the_attention_was(fill, color, classifier):
  """A threshold far below the map cuts out everything."""
  between = backbones.Normalize(**backbones.INPUT_RANGES["-1..1"])
  classifier = dataclasses.replace(classifier, normalize=between)
  batch = _batch()
  told = attention_mask.explain(classifier, batch["image"], None,
                                attention_mask.Attention(sigma=-1e3, fill=fill))
  np.testing.assert_array_equal(told["mask"], 1)
  seen = np.broadcast_to(0, [4, 1, 1, 3])
  if color == "mean":
    seen = 2 * tf.reduce_mean(batch["image"], [1, 2], keepdims=True) - 1
  elif color:
    seen = np.broadcast_to(2 * np.array(color) - 1, [4, 1, 1, 3])
  np.testing.assert_allclose(
      told["masked"], np.broadcast_to(seen, [4, 32, 32, 3]), atol=1e-12)


def test_a_mask_for_each_label_or_one_for_all(classifier):
  batch = _batch()
  each, joint = (gain.Gain(classifier, masks=masks, ex_weight=1.).call(batch)
                 for masks in ("per_label", "joint"))
  for name in ("attention_mining", "extra_supervision"):
    np.testing.assert_array_equal(each[name][1], [1, 1, 0, 1])
    # One label: no difference. No label: nothing. Two: another map.
    np.testing.assert_allclose(each[name][0][1:3], joint[name][0][1:3],
                               atol=1e-12)
    assert each[name][0][2] == 0
    assert abs(each[name][0][0] - joint[name][0][0]) > 1e-9
  alone = []
  for c in (0, 2):
    one = {**{k: v[:1] for k, v in batch.items()},
           "label": tf.one_hot([c], CLASSES, dtype=tf.float64)}
    alone.append(gain.Gain(classifier).call(one)["attention_mining"][0][0])
  np.testing.assert_allclose(each["attention_mining"][0][0], np.mean(alone))


def test_gradient_of_the_masked_pass_is_scaled(classifier):
  """Half the scale is halfway between constant weights and all of it."""
  batch = _batch()
  none, half, whole = (
      _gradients(gain.Gain(classifier, am_gradient_scale=scale),
                 "attention_mining", batch) for scale in (0., .5, 1.))
  for a, b, c in zip(none, half, whole):
    if c is None:
      continue
    a = tf.zeros_like(c) if a is None else a
    np.testing.assert_allclose(b, (a + c) / 2, atol=1e-15)
    assert np.abs(a - c).max() > 1e-9


@pytest.mark.parametrize("name", ["tiny_cnn", "mobilenet_v2"])
def test_a_batch_without_a_positive(name, float64):
  """The second class is there or not; here it never is."""
  objective = gain.Gain(_classifier(name, 2), multi_label=False, ex_weight=1.,
                        negative=0)
  batch = _batch(np.eye(2)[[0, 0, 0]])
  for term in ("attention_mining", "extra_supervision"):
    value, weight = objective.call(batch)[term]
    np.testing.assert_array_equal([value, weight], np.zeros([2, 3]))
    for gradient in _gradients(objective, term, batch):
      assert gradient is None or not np.any(gradient)
  one = objective.call(_batch(np.eye(2)[[0, 1, 0]]))
  np.testing.assert_array_equal(one["attention_mining"][1], [0, 1, 0])


def test_terms_of_weight_0_are_left_out(classifier):
  terms = gain.Gain(classifier, am_weight=0.).call(_batch())
  assert list(terms) == ["supervised"]


def _steps(devices, count=4):
  strategy = strategies.make(devices=devices)
  with strategy.scope():
    classifier = _classifier()
    objective = gain.Gain(classifier, ex_weight=2., am_start_step=1,
                          ex_start_step=2)
    trainer = Trainer(
        classifier, {"supervised": objective},
        {k: keras.optimizers.SGD(.05) for k in ("backbone", "head")})
  logs = [trainer.run({"supervised": _batch()}) for _ in range(count)]
  return logs, [v.numpy() for v in classifier.model.variables], objective


def test_start_steps_and_replicas(float64):
  """The second replica's half has another number of labels and masks."""
  one, two = (_steps(d) for d in (["/cpu:0"], ["/cpu:0", "/cpu:1"]))
  assert [log["attention_mining"] > 0 for log in one[0]] == [0, 1, 1, 1]
  assert [log["extra_supervision"] > 0 for log in one[0]] == [0, 0, 1, 1]
  assert one[0][0]["loss"] == one[0][0]["supervised"]
  for a, b in zip(one[0], two[0]):
    assert a == pytest.approx(b, abs=1e-9)
  for a, b in zip(one[1], two[1]):
    np.testing.assert_allclose(a, b, atol=1e-9, rtol=0)
  assert [v.numpy() for v in two[2].state] == [4]


def test_batch_statistics_come_from_the_cross_entropy_alone():
  found = []
  for kind in (supervised.Supervised, gain.Gain):
    objective = kind(_classifier("mobilenet_v2"))
    batch = {k: v if k == "mask" else tf.cast(v, tf.float32)
             for k, v in _batch().items()}
    objective.call(batch, training=True)
    found.append([v.numpy() for v in objective.classifier.model.variables
                  if "moving" in v.path])
  for a, b in zip(*found):
    np.testing.assert_array_equal(a, b)


TINY = dict(dataset="shapes", objective="gain", image_size=32, shots=1,
            steps=4, eval_every=2, checkpoint_every=1, bootstrap=0,
            summary_images=0, batch_size=4, ex_weight=1., am_start_step=2,
            classes=("disk", "star"))


def test_a_run_that_was_stopped_ends_the_same(tmp_path, monkeypatch):
  """Stopped before the term sets in."""
  config = Config(**TINY).resolve()
  whole = training.train_and_evaluate(config, tmp_path / "whole")
  step, done = Trainer.step, []

  def stops(self, batches):
    done.append(1)
    if len(done) == 2:
      raise KeyboardInterrupt
    return step(self, batches)

  with monkeypatch.context() as patch:
    patch.setattr(Trainer, "step", stops)
    with pytest.raises(KeyboardInterrupt):
      training.train_and_evaluate(config, tmp_path / "stopped")
  again = training.train_and_evaluate(config, tmp_path / "stopped")
  assert again["history"] == whole["history"]
  assert again["steps"] == {"supervised": 4, "consistency": 0,
                            "best": whole["steps"]["best"]}
  first, second = whole["history"]
  assert first["attention_mining"] == 0 < second["attention_mining"]
  assert first["extra_supervision"] > 0
  stored = json.loads((tmp_path / "whole" / "result.json").read_text())
  assert stored["test"] == json.loads(json.dumps(again["test"]))


def _photos(folder, *names):
  rng = np.random.default_rng(0)
  for name in names:
    for i in range(6):
      path = folder / name / f"{i}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      PIL.Image.fromarray(rng.integers(
          0, 256, [16, 16, 3]).astype(np.uint8)).save(path)


def _attention_events(folder):
  """`{tag: {step: bytes}}` of what is shown of the attention."""
  events = event_accumulator.EventAccumulator(
      str(folder), size_guidance={"tensors": 0})
  events.Reload()
  return {tag: {e.step: e.tensor_proto.string_val for e in
                events.Tensors(tag)}
          for tag in events.Tags()["tensors"] if tag.startswith("attention/")}


def test_what_tensorboard_shows(tmp_path):
  """Of each split positives and negatives, before training and after."""
  _photos(tmp_path / "photos", "clean", "ulcer")
  config = Config(
      dataset="folder", data_dir=str(tmp_path / "photos"), objective="gain",
      model="tiny_cnn", image_size=16, shots=2, steps=3, eval_every=3,
      bootstrap=0, summary_images=0, evaluate_first=True, record_every=2,
      record_positives=2, record_negatives=1).resolve()
  result = training.train_and_evaluate(config, tmp_path / "run")
  assert [row["step"] for row in result["history"]] == [0, 3]
  assert "supervised" not in result["history"][0]
  assert 0 <= result["history"][0]["val_map_macro"] <= 1
  assert result["steps"]["best"] == 3
  shown = _attention_events(tmp_path / "run" / "tb")
  assert set(shown) == {
      f"attention/{part}_{kind}" for part in ("train", "validation")
      for kind in ("positives", "negatives")}
  split = json.loads((tmp_path / "run" / "splits.json").read_text())
  for tag, name, count in [("train_positives", "ulcer", 2),
                           ("train_negatives", "clean", 1)]:
    steps = shown[f"attention/{tag}"]
    assert list(steps) == [0, 2, 3]
    lines = steps[3][0].decode().splitlines()[2:]
    assert len(lines) == count
    for line in lines:
      _, image, truth, said, _ = line.split("|")
      assert image.strip() in split["train_labeled"]
      assert truth.split()[0] == name and image.strip().startswith(name)
      assert said.split()[0] in ("clean", "ulcer")
      scores = [float(x) for x in said.split()[1::2]]
      assert len(scores) == 2 and 0.5 <= scores[0] <= 1
    assert steps[0] != steps[3]


def test_scores_of_both_passes_and_what_is_seen(float64):
  """The table repeats `explain`; the fill shows as the colour it is."""
  classifier = _classifier("mobilenet_v2")
  images = _batch()["image"].numpy()
  records = [data.Record(str(i), "", row.astype(np.float32))
             for i, row in enumerate(LABEL)]
  attention = attention_mask.Attention(fill=(.2, .4, .6), sigma=-1e3)
  figure, text = classifier_maps.attention_figure(
      classifier, images, records, ("a", "b", "c"), attention)
  told = attention_mask.explain(classifier, images, None, attention)
  first, second = (tf.sigmoid(told[n]).numpy()
                   for n in ("logits", "logits_masked"))
  line = text.splitlines()[2]
  assert (f"| a {first[0, 0]:.3f} → {second[0, 0]:.3f}, "
          f"c {first[0, 2]:.3f} → {second[0, 2]:.3f} |") in line
  seen = figure.axes[3].get_images()[0].get_array()
  np.testing.assert_allclose(seen, np.broadcast_to([.2, .4, .6], seen.shape),
                             atol=1e-6)


@pytest.mark.parametrize("changes, line", [
    (dict(ex_weight=1.), "--ex_masks=masks: none of the 3 labelled images "
     "has a mask"),
    (dict(ex_weight=1., ex_masks="boxes"), "--ex_masks=boxes: none of the 3"),
    (dict(am_on="all"), "--am_on=all: goes with data of two classes")])
def test_what_the_data_do_not_have(changes, line, tmp_path):
  _photos(tmp_path / "photos", "cat", "dog", "eel")
  config = Config(dataset="folder", data_dir=str(tmp_path / "photos"),
                  objective="gain", model="tiny_cnn", image_size=16, shots=1,
                  steps=1, **changes).resolve()
  with refused(line):
    training.train_and_evaluate(config, tmp_path / "run")


@pytest.mark.parametrize("changes, line", [
    (dict(cl_weight=0.0, am_weight=0.0), "--cl_weight=0: one of cl_weight, "),
    (dict(gain_fill="1,2"), "--gain_fill=1,2: must be zero, mean, or three"),
    (dict(gain_fill="300,0,0"), "--gain_fill=300,0,0: must be zero, mean"),
    (dict(ex_masks="boxes"), "--ex_masks=boxes: not used with --ex_weight=0"),
    (dict(am_weight=0., am_gradients="off"),
     "--am_gradients=off: not used with --am_weight=0"),
    (dict(record_every=2, record_positives=0, record_negatives=0),
     "--record_every=2: not used with --record_positives=0"),
    (dict(am_start_step=4), "--am_start_step=4: the run has only 4 steps"),
    (dict(am_gradients="off", am_gradient_scale=.5),
     "--am_gradient_scale=0.5: not used with --am_gradients=off")])
def test_switches_that_would_do_nothing(changes, line):
  with refused(line):
    Config(objective="gain", steps=4, **changes).resolve()
