"""Our formulas against numbers from the papers' own code, in float64.

The folder is ATCON_GOLDEN_DIR (default: ../shared/golden/dev beside the
repository); any folder of the same form will do. A kind of case that is not
built yet is skipped, by name.
"""

import json
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import graph
from atcon_tf import maps
from atcon_tf import models
from atcon_tf.attribution import forward
from atcon_tf.attribution import path
from atcon_tf.metrics import classification
from atcon_tf.metrics import faithfulness
from atcon_tf.objectives import atcon
from atcon_tf.objectives import layer_consistency

pytestmark = pytest.mark.usefixtures("float64")

_HERE = pathlib.Path(__file__).resolve()
FOLDER = pathlib.Path(os.environ.get(
    "ATCON_GOLDEN_DIR", _HERE.parents[2] / "shared" / "golden" / "dev"))
_INDEX = FOLDER / "cases.json"
CASES = json.loads(_INDEX.read_text()) if _INDEX.exists() else []
BY_ID = {case["id"]: case for case in CASES}


def arrays(case):
  return dict(np.load(FOLDER / case["file"]))


def check(name, ours, reference):
  """Equal to 1e-6 of the largest entry."""
  np.testing.assert_allclose(
      ours, reference, rtol=0,
      atol=1e-6 * np.max(np.abs(reference), initial=0) + 1e-9, err_msg=name)


def _keras_layer(spec):
  name = spec["name"]
  return {
      "conv": lambda: keras.layers.Conv2D(
          spec["filters"], spec["kernel"], padding="same",
          use_bias=spec["use_bias"], name=name),
      "bn": lambda: keras.layers.BatchNormalization(
          epsilon=spec["eps"], name=name),
      "relu": lambda: keras.layers.ReLU(name=name),
      "maxpool": lambda: keras.layers.MaxPooling2D(2, name=name),
      "avgpool": lambda: keras.layers.AveragePooling2D(2, name=name),
      "add": lambda: keras.layers.Add(name=name),
      "gap": lambda: keras.layers.GlobalAveragePooling2D(name=name),
      "dense": lambda: keras.layers.Dense(spec["units"], name=name),
  }[spec["op"]]()


def keras_model(net):
  """The network of a "net" case as a Keras model with its weights."""
  size = net["input_size"]
  tensors = {"input": keras.Input([size, size, 3])}
  for spec in net["layers"]:
    inputs = [tensors[name] for name in spec["inputs"]]
    tensors[spec["name"]] = _keras_layer(spec)(
        inputs if len(inputs) > 1 else inputs[0])
  model = keras.Model(tensors["input"], tensors[net["layers"][-1]["name"]])
  values = arrays(net)
  for layer in model.layers:
    for short, variable in named_variables(layer):
      variable.assign(values[f"w.{layer.name}.{short}"])
  return model


def named_variables(layer):
  short = {"moving_mean": "mean", "moving_variance": "var"}
  return [(short.get(v.name, v.name), v) for v in layer.variables]


def classifier_of(net, cam_layers=None, normalize="0..1"):
  """A classifier whose maps are at the case's target layer."""
  base = keras_model(net)
  normalized = keras.Input(base.input_shape[1:])
  walk = graph.Rerun(base, normalized)
  layers = cam_layers or [net["target"]]
  maps = keras.Model(
      normalized, [*(walk.tensors[n] for n in layers), walk.outputs])
  layer = models.Normalize(**models.INPUT_RANGES[normalize])
  images = keras.Input(base.input_shape[1:])
  model = keras.Model(images, maps(layer(images))[-1])
  return base, models.Classifier(
      net["id"], model, layer, maps, [], [walk.geometry[n] for n in layers],
      walk.swapped, tuple(layers))


def check_gradients(prefix, base, values, tape, loss):
  names, variables = [], []
  for layer in base.layers:
    for short, variable in named_variables(layer):
      if f"{prefix}.{layer.name}.{short}" in values:
        names.append(f"{prefix}.{layer.name}.{short}")
        variables.append(variable.value)
  assert len(names) == sum(k.startswith(prefix + ".") for k in values)
  gradients = tape.gradient(loss, variables)
  for name, gradient, variable in zip(names, gradients, variables):
    if gradient is None:  # stored as zeros
      gradient = tf.zeros_like(variable)
    check(name, gradient, values[name])


# The reference's modes and metrics. It resizes with aligned corners; the
# default is where the cells of the map lie.
MODES = {
    0: dict(match="upsample"), 1: dict(match="downsample"), 2: {},
    3: dict(first_map="guided_backprop", second_map="grad_cam",
            mask_intensity=32.0),
    4: dict(second_map="smooth_grad", match="upsample"),
}
METRICS = {0: "pearson", 1: "cross_correlation", 2: "ssim"}


def _story(case, values):
  changes = MODES[case["mode"]]
  if case["mask_intensity"]:
    changes = {**changes, "mask_intensity": case["mask_intensity"]}
  if case["mode"] == 4:
    changes = {**changes, "options": {"smooth_grad": dict(
        squared=True, noise=values["sg_z"], first_sample_class=True)}}
  return atcon.Story(similarity=METRICS[case["metric"]],
                     alignment=maps.ALIGNED, **changes)


# Our name of an array, by the role of the map, and the reference's.
NAMES = {
    0: {"first": "cam", "second": "gb"},
    1: {"first": "cam", "second": "gb"},
    2: {"first": "cam", "second": "gb", "mask": "soft_mask",
        "masked": "masked_x", "first_masked": "cam2"},
    3: {"first": "gb", "second": "cam", "mask": "soft_mask",
        "masked": "masked_x", "first_masked": "gb2"},
    4: {"first": "cam", "second": "sg"},
}


def _check_atcon(case, images, normalize):
  net, values = BY_ID[case["net"]], arrays(case)
  base, classifier = classifier_of(net, normalize=normalize)
  with tf.GradientTape() as tape:
    story = atcon.explain(classifier, tf.constant(images),
                          _story(case, values))
    loss = -tf.reduce_mean(story["similarity"])
  check("logits", story["logits"], arrays(net)["logits"])
  compared = 0
  for ours, theirs in NAMES[case["mode"]].items():
    if theirs in values:
      check(theirs, story[ours], values[theirs])
      compared += 1
  assert compared
  # What is 1 - SSIM there is minus (SSIM - 1) here.
  check("cost", -story["similarity"], values["cost"])
  check("loss", loss, values["loss"])
  check_gradients("g", base, values, tape, loss)


def run_atcon(case):
  # x is what the network sees: here the normalisation is the identity.
  _check_atcon(case, arrays(BY_ID[case["net"]])["x"], "0..1")


def run_layer_consistency(case):
  net, values = BY_ID[case["net"]], arrays(case)
  base, classifier = classifier_of(net, [case["inner"], case["outer"]])
  method = case["method"]
  loss_of = layer_consistency.LayerConsistency(
      classifier, "dice" if method in (3, 6) else "inclusion",
      method in (5, 6), case["mask_intensity"])
  label = np.eye(net["classes"])[values["labels"]]
  images = tf.constant(arrays(net)["x"])
  with tf.GradientTape() as tape:
    terms = loss_of.call({"image": images, "label": label})
    cost, weight = terms["consistency"]
    loss = tf.reduce_mean(cost)
  np.testing.assert_array_equal(weight, 1)
  story = layer_consistency.explain(
      forward.forward(classifier, images), label, case["mask_intensity"])
  np.testing.assert_array_equal(story["class_index"], values["labels"])
  np.testing.assert_array_equal(story["other_index"], values["conf"])
  for ours, theirs in [("outer", "cam_outer"), ("inner", "cam_inner"),
                       ("other", "cam_conf"), ("mask", "mask"),
                       ("scaled_outer", "scaled_outer"),
                       ("scaled_inner", "scaled_inner")]:
    check(theirs, story[ours], values[theirs])
  check("cost", cost, values["cost"])
  check("loss", loss, values["loss"])
  check_gradients("g", base, values, tape, loss)


def run_net(case):
  values = arrays(case)
  logits = keras_model(case)(values["x"], training=False)
  assert np.all(np.isfinite(logits))
  for name in {"logits", "logits_cl"} & set(values):
    check(name, logits, values[name])


def run_integrated_gradients(case):
  net, values = BY_ID[case["net"]], arrays(case)
  _, classifier = classifier_of(net)
  pass_ = forward.forward(classifier, tf.constant(arrays(net)["x"]))
  check("logits", pass_.logits, values["logits"])
  for output, name in [("probability", "ig_prob"), ("logit", "ig_logit")]:
    for batch_size in (None, 4):
      check(name, path.ig_attributions(
          pass_, values["cls"], case["m_steps"], output=output, rule="mean",
          batch_size=batch_size), values[name])


def run_atcon_ig(case):
  """ATCON with integrated gradients in place of guided backpropagation."""
  net, values = BY_ID[case["net"]], arrays(case)
  base, classifier = classifier_of(net)
  story = atcon.Story(
      second_map="integrated_gradients",
      mask_intensity=case["mask_intensity"],
      options={"integrated_gradients": dict(
          steps=case["m_steps"], output="probability", rule="mean",
          batch_size=7)})
  with tf.GradientTape() as tape:
    told = atcon.explain(classifier, tf.constant(arrays(net)["x"]), story)
    loss = -tf.reduce_mean(told["similarity"])
  np.testing.assert_array_equal(told["class_index"], values["cls"])
  for ours, theirs in [("second", "ig_abs"), ("mask", "soft_mask"),
                       ("masked", "masked_x"), ("first_masked", "cam2")]:
    check(theirs, told[ours], values[theirs])
  check("loss", loss, values["loss"])
  check_gradients("g", base, values, tape, loss)


def run_tame_metrics(case):
  values = arrays(case)
  for name, heat in values.items():
    if name.startswith("map"):
      norm = values[name.replace("map", "norm")]
      check(name, faithfulness.unit(heat[np.newaxis])[0], norm)
      for percent in (25, 50, 85):
        check(name, faithfulness.keep_top(norm[np.newaxis], percent / 100)[0],
              values[f"{name.replace('map', 'drop')}_{percent}"])
  for percent in (25, 50, 85):
    check("ties", faithfulness.keep_top(values["ties"][np.newaxis],
                                        percent / 100)[0],
          values[f"ties_drop_{percent}"])
  both = values["y"], values["y_masked"]
  check("AD", faithfulness.average_drop(*both).mean(), values["AD"])
  check("IC", faithfulness.increase_in_confidence(*both).mean(),
        values["IC"])


def run_scores(case):
  values = arrays(case)
  for i in range(sum(name.startswith("scores") for name in values)):
    given = values[f"labels{i}"], values[f"scores{i}"]
    check("auc", classification.auc(*given), values[f"auc_exact{i}"])
    sensitivity, thresholds = classification.operating_points(
        *given, values[f"fa_points{i}"], "reference")
    check("sens_ref", sensitivity, values[f"sens_ref{i}"])
    check("thr_ref", thresholds, values[f"thr_ref{i}"])
    check("sens_default", classification.sensitivity_at(
        *given, [.001, .0005], "reference"), values[f"sens_default{i}"])
  label, logits = values["ml_labels"], values["ml_logits"]
  probability = 1 / (1 + np.exp(-logits))
  scores = classification.evaluate(label, probability, 0.5)
  for name in ("map_macro", "map_weighted"):
    check(name, scores[name], values[name])
  each = classification.per_class(label, probability, 0.5)
  check("ap_per_class", each["ap"], values["ap_per_class"])


RUN = {"net": run_net, "atcon": run_atcon,
       "integrated_gradients": run_integrated_gradients,
       "atcon_ig": run_atcon_ig, "tame_metrics": run_tame_metrics,
       "layer_consistency": run_layer_consistency, "scores": run_scores}


def _known(kind):
  return [c for c in CASES if c["kind"] == kind]


@pytest.mark.skipif(not CASES, reason=f"no cases.json in {FOLDER}")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_golden(case):
  if case["kind"] not in RUN:
    pytest.skip(f"kind {case['kind']}: not built yet")
  RUN[case["kind"]](case)


@pytest.mark.skipif(not CASES, reason=f"no cases.json in {FOLDER}")
def test_normalization_inside_the_classifier():
  """Images in [0, 1], normalised by the classifier: the same numbers."""
  for case in _known("atcon"):
    if (case["mode"], case["metric"]) == (2, 0):
      _check_atcon(case, arrays(BY_ID[case["net"]])["x01"], "imagenet")
