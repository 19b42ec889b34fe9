"""The networks of the cases, and how their numbers are compared."""

import json
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import models
from atcon_tf.models import backbones
from atcon_tf.models.graph import ModelGraph


_HERE = pathlib.Path(__file__).resolve()
FOLDER = pathlib.Path(os.environ.get(
    "ATCON_GOLDEN_DIR", _HERE.parents[3] / "shared" / "golden" / "dev"))
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
  graph = ModelGraph(base, normalized)
  layers = cam_layers or [net["target"]]
  network = keras.Model(
      normalized, [*(graph.tensors[n] for n in layers), graph.outputs])
  layer = backbones.Normalize(**backbones.INPUT_RANGES[normalize])
  return base, models.Classifier(
      net["id"], layer, network, [], [graph.geometry[n] for n in layers],
      graph.guided_relus, tuple(layers))


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
