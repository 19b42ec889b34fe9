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
from atcon_tf.attribution import cam
from atcon_tf.attribution import forward
from atcon_tf.attribution import noise
from atcon_tf.attribution import path
from atcon_tf.objectives import atcon

_HERE = pathlib.Path(__file__).resolve()
FOLDER = pathlib.Path(os.environ.get(
    "ATCON_GOLDEN_DIR", _HERE.parents[2] / "shared" / "golden" / "dev"))
_INDEX = FOLDER / "cases.json"
CASES = json.loads(_INDEX.read_text()) if _INDEX.exists() else []
BY_ID = {case["id"]: case for case in CASES}
IMAGENET_MEAN = np.array([.485, .456, .406])
IMAGENET_STD = np.array([.229, .224, .225])


@pytest.fixture(autouse=True)
def float64():
  before = keras.config.floatx()
  keras.config.set_floatx("float64")
  yield
  keras.config.set_floatx(before)


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


def _check_atcon(case, images, normalize):
  net = BY_ID[case["net"]]
  values = arrays(case)
  base, classifier = classifier_of(net, normalize=normalize)
  with tf.GradientTape() as tape:
    story = atcon.explain(classifier, tf.constant(images),
                          case["mask_intensity"])
    loss = -tf.reduce_mean(story["consistency"])
  check("logits", story["logits"], arrays(net)["logits"])
  for ours, theirs in [("guided", "gb"), ("cam", "cam"),
                       ("mask", "soft_mask"), ("masked", "masked_x"),
                       ("masked_cam", "cam2")]:
    check(theirs, story[ours], values[theirs])
  check("cost", -story["consistency"], values["cost"])
  check("loss", loss, values["loss"])
  check_gradients("g", base, values, tape, loss)


def run_atcon(case):
  if (case["mode"], case["metric"]) != (2, 0):
    pytest.skip(f"atcon mode {case['mode']} metric {case['metric']}: "
                "not built yet")
  # x is what the network sees: here the normalisation is the identity.
  _check_atcon(case, arrays(BY_ID[case["net"]])["x"], "0..1")


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
  with tf.GradientTape() as tape:
    pass_ = forward.forward(classifier, tf.constant(arrays(net)["x"]))
    target = tf.constant(values["cls"])
    ig = path.integrated_gradients(
        pass_, target, steps=case["m_steps"], output="probability",
        rule="mean", batch_size=7)
    mask = maps.soft_mask(ig, case["mask_intensity"])
    story = atcon.under_mask(classifier, pass_, target,
                             cam.grad_cam(pass_, target), mask)
    loss = -tf.reduce_mean(story["consistency"])
  check("ig_abs", ig, values["ig_abs"])
  for ours, theirs in [("mask", "soft_mask"), ("masked", "masked_x"),
                       ("masked_cam", "cam2")]:
    check(theirs, story[ours], values[theirs])
  check("loss", loss, values["loss"])
  check_gradients("g", base, values, tape, loss)


@pytest.mark.skipif(not CASES, reason=f"no cases.json in {FOLDER}")
@pytest.mark.parametrize("name", [c["id"] for c in CASES
                                  if c.get("mode") == 4 and not c["metric"]])
@pytest.mark.parametrize("batch_size", [None, 16])
def test_smooth_grad_and_its_gradient(name, batch_size):
  """ATCON's mode 4: Grad-CAM against squared SmoothGrad."""
  case = BY_ID[name]
  net, values = BY_ID[case["net"]], arrays(case)
  base, classifier = classifier_of(net)
  with tf.GradientTape() as tape:
    pass_ = forward.forward(classifier, tf.constant(arrays(net)["x"]))
    target = tf.argmax(pass_.logits, -1)
    smooth = noise.smooth_grad(
        pass_, target, squared=True, noise=values["sg_z"],
        first_sample_class=True, batch_size=batch_size)
    first = maps.resize(cam.grad_cam(pass_, target), smooth.shape[1:],
                        maps.ALIGNED)
    cost = -atcon.consistency(first, smooth)
    loss = tf.reduce_mean(cost)
  check("sg", smooth, values["sg"])
  check("cam_up", first, values["cam_up"])
  check("cost", cost, values["cost"])
  check_gradients("g", base, values, tape, loss)


RUN = {"net": run_net, "atcon": run_atcon,
       "integrated_gradients": run_integrated_gradients,
       "atcon_ig": run_atcon_ig}


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
