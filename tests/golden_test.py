"""Our formulas against numbers from the papers' own code, in float64.

The folder is ATCON_GOLDEN_DIR (default: ../shared/golden/dev beside the
repository); any folder of the same form will do. A kind of case that is not
built yet is skipped, by name.
"""

import dataclasses
import json
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.attribution import attention_mask
from atcon_tf.attribution import consistency
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.attribution.methods import trained_head
from atcon_tf.evaluation.metrics import classification
from atcon_tf.evaluation.metrics import faithfulness
from atcon_tf import models
from atcon_tf.models import backbones
from atcon_tf.models import explanation_head
from atcon_tf.models import geometry
from atcon_tf.models.graph import ModelGraph
from atcon_tf.objectives import gain
from atcon_tf.objectives import laso
from atcon_tf.objectives import layer_consistency
from atcon_tf.objectives import tame

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


# The reference's modes and metrics. It resizes with aligned corners; the
# default is where the cells of the map lie.
MODES = {
    0: dict(match="upsample"), 1: dict(match="downsample"), 2: {},
    3: dict(first_map="guided_backprop", second_map="grad_cam",
            mask_intensity=32.0),
    4: dict(second_map="smooth_grad", match="upsample"),
}
METRICS = {0: "pearson", 1: "cross_correlation", 2: "ssim"}


def _agreement(case, values):
  changes = MODES[case["mode"]]
  if case["mask_intensity"]:
    changes = {**changes, "mask_intensity": case["mask_intensity"]}
  if case["mode"] == 4:
    changes = {**changes, "options": {"smooth_grad": dict(
        squared=True, noise=values["sg_z"], first_sample_class=True)}}
  return consistency.MapAgreement(similarity=METRICS[case["metric"]],
                                  alignment=geometry.ALIGNED, **changes)


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
    explained = consistency.explain(classifier, tf.constant(images),
                                    _agreement(case, values))
    loss = -tf.reduce_mean(explained["similarity"])
  check("logits", explained["logits"], arrays(net)["logits"])
  compared = 0
  for ours, theirs in NAMES[case["mode"]].items():
    if theirs in values:
      check(theirs, explained[ours], values[theirs])
      compared += 1
  assert compared
  # What is 1 - SSIM there is minus (SSIM - 1) here.
  check("cost", -explained["similarity"], values["cost"])
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
  explained = layer_consistency.explain(
      forward_pass.forward(classifier, images), label, case["mask_intensity"])
  np.testing.assert_array_equal(explained["class_index"], values["labels"])
  np.testing.assert_array_equal(explained["other_index"], values["conf"])
  for ours, theirs in [("outer", "cam_outer"), ("inner", "cam_inner"),
                       ("other", "cam_conf"), ("mask", "mask"),
                       ("scaled_outer", "scaled_outer"),
                       ("scaled_inner", "scaled_inner")]:
    check(theirs, explained[ours], values[theirs])
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
  pass_ = forward_pass.forward(classifier, tf.constant(arrays(net)["x"]))
  check("logits", pass_.logits, values["logits"])
  for output, name in [("probability", "ig_prob"), ("logit", "ig_logit")]:
    for batch_size in (None, 4):
      check(name, integrated_gradients.ig_attributions(
          pass_, values["cls"], case["m_steps"], output=output, rule="mean",
          batch_size=batch_size), values[name])


def run_atcon_ig(case):
  """ATCON with integrated gradients in place of guided backpropagation."""
  net, values = BY_ID[case["net"]], arrays(case)
  base, classifier = classifier_of(net)
  agreement = consistency.MapAgreement(
      second_map="integrated_gradients",
      mask_intensity=case["mask_intensity"],
      options={"integrated_gradients": dict(
          steps=case["m_steps"], output="probability", rule="mean",
          batch_size=7)})
  with tf.GradientTape() as tape:
    explained = consistency.explain(
        classifier, tf.constant(arrays(net)["x"]), agreement)
    loss = -tf.reduce_mean(explained["similarity"])
  np.testing.assert_array_equal(explained["class_index"], values["cls"])
  for ours, theirs in [("second", "ig_abs"), ("mask", "soft_mask"),
                       ("masked", "masked_x"), ("first_masked", "cam2")]:
    check(theirs, explained[ours], values[theirs])
  check("loss", loss, values["loss"])
  check_gradients("g", base, values, tape, loss)


# Our name of a version of TAME, by the authors'.
VERSIONS = {"TAME": "tame", "Noskipconnection": "no_skip",
            "NoskipNobatchnorm": "no_skip_no_batch_norm",
            "Sigmoidinfeaturebranch": "sigmoid_branch"}


def _with_head(case, values):
  """A classifier with the case's head, and `{name: variable of the head}`."""
  _, classifier = classifier_of(BY_ID[case["net"]], case["features"],
                                "imagenet")
  head = explanation_head.AttentionMechanism(
      classifier, VERSIONS[case["version"]], case["cap"], geometry.HALF_PIXEL)
  named = {"att_fuse.kernel": head.kernel, "att_fuse.bias": head.bias}
  for i, branch in enumerate(head.branches):
    for layer, name in [(branch.conv, "att_conv"), (branch.norm, "att_bn")]:
      if layer is not None:
        named |= {f"{name}{i}.{short}": v
                  for short, v in named_variables(layer)}
  assert set(named) == {k[2:] for k in values if k.startswith("w.")}
  for name, variable in named.items():
    variable.assign(values[f"w.{name}"].reshape(variable.shape))
  return dataclasses.replace(classifier, attention=head), named


def run_tame(case):
  """The paper's loss, of each image's own label (the case's `own`)."""
  net, values = BY_ID[case["net"]], arrays(case)
  classifier, named = _with_head(case, values)
  frozen = [v.numpy() for v in classifier.model.variables]
  loss_of = tame.Tame(classifier, multi_label=False, target="labels")
  batch = {"image": tf.constant(arrays(net)["x01"]),
           "label": np.eye(net["classes"])[values["labels"]]}
  training = case["attention_bn"] == "batch"
  with tf.GradientTape() as tape:
    terms = loss_of.call(batch, training=training)
    parts = {name: factor * tf.reduce_mean(terms[name][0])
             for name, factor in loss_of.loss_weights.items()}
    loss = tf.add_n(list(parts.values()))
  order = [n for n in case["loss_order"] if n != "total"]
  check("loss_own", [loss, *(parts[n] for n in order)], values["loss_own"])
  gradients = [k for k in values if k.startswith("g_own.")]
  for name, gradient in zip(gradients, tape.gradient(
      loss, [named[k.removeprefix("g_own.")].value for k in gradients])):
    check(name, tf.reshape(gradient, values[name].shape), values[name])
  # The gradient in front of batch statistics is 0 but for rounding, which
  # `check` allows for; that of the classifier does not exist.
  assert len(gradients) == len(loss_of.variables)
  for before, variable in zip(frozen, classifier.model.variables):
    np.testing.assert_array_equal(before, variable)
  _check_class_maps(case, classifier, batch, values, training)
  explained = loss_of.explain(batch, training)
  np.testing.assert_array_equal(explained["class_index"], values["labels"])
  check("logits of the masked image", explained["logits"], values["logits"])


def _check_class_maps(case, classifier, batch, values, training):
  """c and a of every class of every image."""
  pass_ = forward_pass.forward(classifier, batch["image"])
  for c in range(classifier.num_classes):
    heat = classifier.attention(
        trained_head.features_of(pass_), np.full(len(batch["image"]), c),
        training=training)
    check("c", heat, values["c"][..., c])
    check("a", tf.sigmoid(heat), values["a"][..., c])


def run_tame_eval(case):
  """Average drop and increase in confidence, as the authors measure them."""
  values = arrays(case)
  classifier, _ = _with_head(case, values)
  images = tf.constant(values["x01"])
  pass_ = forward_pass.forward(classifier, images)
  target = tf.argmax(pass_.logits, -1)
  np.testing.assert_array_equal(target, values["cls"])
  probability = forward_pass.pick(pass_.logits, target, "probability").numpy()
  check("y", probability, values["y"])
  head = classifier.attention
  heat = head(trained_head.features_of(pass_), target).numpy()
  heat = head.enlarge(tf.constant(faithfulness.unit(heat)),
                      classifier.image_size).numpy()
  for percent, dropped in case["percents"].items():
    mask = faithfulness.keep_top(heat, dropped)
    check(f"mask_{percent}", mask, values[f"mask_{percent}"])
    masked = forward_pass.pick(
        classifier.model(images * mask[..., None], training=False), target,
        "probability").numpy()
    check(f"y_masked_{percent}", masked, values[f"y_masked_{percent}"])
    both = probability, masked
    check(f"AD_{percent}", faithfulness.average_drop(*both).mean(),
          values[f"AD_{percent}"])
    check(f"IC_{percent}", faithfulness.increase_in_confidence(*both).mean(),
          values[f"IC_{percent}"])


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


def _attention(case, **options):
  return attention_mask.Attention(case["omega"], case["sigma"],
                                  alignment=geometry.ALIGNED, **options)


def _check_explained(explained, values, rows=slice(None)):
  """What `gain.explain` gives, against the arrays of a case."""
  names = {"logits_cl": "logits", "logits_am": "logits_masked",
           "heatmap_scaled": "scaled", "heatmap": "heatmap",
           "scaled": "scaled", "mask": "mask", "masked_x": "masked"}
  for theirs, ours in names.items():
    if theirs in values:
      check(theirs, explained[ours][rows], values[theirs])


def _global_means(loss_of, batch):
  """`{term: its mean}` as the trainer takes it, and the loss."""
  terms = loss_of.call(batch)
  means = {name: tf.reduce_sum(v * w) / tf.reduce_sum(w)
           for name, (v, w) in terms.items()}
  return means, tf.add_n([loss_of.loss_weights[n] * m
                          for n, m in means.items()])


def _check_gain(case, loss_of, batch, base, values, am_scale=1.0):
  """The losses and their gradients.

  Args:
    am_scale: of the attention mining's gradient in the case.
  """
  with tf.GradientTape(persistent=True) as tape:
    means, total = _global_means(loss_of, batch)
    mined = am_scale * means["attention_mining"]
  check("cl_loss", means["supervised"], values["cl_loss"])
  check("am_loss", means["attention_mining"], values["am_loss"])
  check("total", total, values["total"])
  check_gradients("g_am", base, values, tape, mined)
  check_gradients("g_total", base, values, tape, total)
  if "ex_loss" in values:
    with tape:
      extra = case["ex_weight"] * means["extra_supervision"]
    check("ex_loss", means["extra_supervision"], values["ex_loss"])
    check_gradients("g_ex", base, values, tape, extra)


def _gain_weights(case):
  return dict(cl_weight=case["cl_factor"], am_weight=case["am_factor"],
              am_gradient_scale=0.0 if case["grads_off"] else 1.0)


def run_gain_voc(case):
  """Several labels an image, masked all at once."""
  net, values = BY_ID[case["net"]], arrays(case)
  base, classifier = classifier_of(net)
  given, attention = arrays(net), _attention(case)
  batch = {"image": tf.constant(given["x"]), "label": given[case["labels"]]}
  explained = attention_mask.explain(
      classifier, batch["image"], batch["label"], attention)
  _check_explained(explained, values)
  _check_gain(case, gain.Gain(classifier, attention, masks="joint",
                              **_gain_weights(case)), batch, base, values)


def run_gain_multi(case):
  """A masked image for each label of one image."""
  net, values = BY_ID[case["net"]], arrays(case)
  base, classifier = classifier_of(net)
  labels, attention = values["labels"], _attention(case)
  image = tf.constant(arrays(net)["x"][values["image_index"]][None])
  classes = np.eye(net["classes"])[labels]
  explained = attention_mask.explain(
      classifier, tf.repeat(image, len(labels), 0), classes, attention)
  check("logits_cl", explained["logits"][:1], values.pop("logits_cl"))
  _check_explained(explained, values)
  # The reference counts the cross-entropy once for each label.
  weights = _gain_weights(case)
  weights["cl_weight"] *= len(labels)
  _check_gain(case, gain.Gain(classifier, attention, **weights),
              {"image": image, "label": classes.sum(0, keepdims=True)},
              base, values)


def run_gain_eval(case):
  net, values = BY_ID[case["net"]], arrays(case)
  _, classifier = classifier_of(net)
  explained = attention_mask.explain(
      classifier, tf.constant(arrays(net)["x"]), None, _attention(case))
  np.testing.assert_array_equal(np.argmax(explained["classes"], -1),
                                values["cls"])
  _check_explained(explained, values)


def run_gain_medt(case):
  """Two classes, of which the first is the absence of the second."""
  net, values = BY_ID[case["net"]], arrays(case)
  base, classifier = classifier_of(net)
  given, used = arrays(net), values["used"]
  # The network's own normalisation is the identity here, as its x's.
  attention = _attention(case, fill=tuple(given["fill"]))
  label = np.eye(2)[given["labels"]]
  mask = np.zeros([*given["x"].shape[:3], 2], np.uint8)
  mask[used, ..., 1] = values["gt_masks"]
  batch = {"image": tf.constant(given["x"]), "label": label, "mask": mask}
  explained = attention_mask.explain(
      classifier, batch["image"], label, attention)
  _check_explained(explained, values)
  loss_of = gain.Gain(
      classifier, attention, masks="joint", cl_weight=case["cl_weight"],
      am_weight=case["am_weight"], ex_weight=case["ex_weight"],
      negative=None if case["am_on_all"] else 0)
  _check_gain(case, loss_of, batch, base, values, case["am_weight"])


def _embedding_classifier(features, classes):
  """A classifier whose pooled features are the first numbers of its image.

  The image `[6, 6, 3]` is four times the same block of 27 numbers, of which
  the one convolution keeps those that are wanted.
  """
  images = keras.Input([6, 6, 3])
  kept = keras.layers.Conv2D(
      features, 3, strides=3, use_bias=False,
      kernel_initializer=lambda shape, dtype: np.reshape(
          np.eye(27)[:, :features], shape))(images)
  pooled = keras.layers.GlobalAveragePooling2D()(kept)
  head = keras.layers.Dense(classes)
  return models.wrap(keras.Model(images, head(pooled))), head


def _as_images(embedding):
  block = np.pad(embedding, [[0, 0], [0, 27 - embedding.shape[1]]])
  return tf.constant(np.tile(block.reshape([-1, 3, 3, 3]), [1, 2, 2, 1]))


# Our name of a term and the reference's.
LASO_TERMS = {
    "class_embed": "class_embed", "class_fake": "class_fake",
    "class_union": "class_U", "class_intersection": "class_I",
    "class_subtraction": "class_S", "recon_fake": "recon_fake",
    "recon_union": "recon_U", "recon_intersection": "recon_I",
    "recon_subtraction": "recon_S"}


def run_laso(case):
  """From images to the gradients of the three networks, and of the images."""
  values = arrays(case)
  classifier, head = _embedding_classifier(case["latent"], case["classes"])
  loss_of = laso.Laso(classifier, case["inner"])
  named = {"classifier." + short: v for short, v in named_variables(head)}
  for operation, model in loss_of.networks.items():
    for layer in model.layers:
      for short, variable in named_variables(layer):
        named[f"{operation.replace('unite', 'union')}.{layer.name}.{short}"] = (
            variable)
  assert {f"w.{name}" for name in named} == {
      name for name in values if name.startswith("w.")}
  for name, variable in named.items():
    variable.assign(values[f"w.{name}"])
  made = loss_of.operate(tf.concat([values["embed_a"], values["embed_b"]], 0))
  assert 2 * len(made) == len(case["set_op_names"])
  for ours, both in made.items():
    for theirs, part in zip(("ab", "ba"), tf.split(both, 2)):
      theirs = ours.translate(str.maketrans("xy", theirs))
      check(theirs, part,
            values["set_ops"][case["set_op_names"].index(theirs)])
  images = [_as_images(values[f"embed_{name}"]) for name in "ab"]
  label = np.split(values["targets"], 2)
  trained = {name: named[name].value for name in named
             if f"g.{name}" in values}
  with tf.GradientTape() as tape:
    tape.watch(images)
    terms = loss_of.call({"image": images[0], "label": label[0],
                          "other_image": images[1], "other_label": label[1]})
    means = {name: tf.reduce_sum(value * weight) / tf.reduce_sum(weight)
             for name, (value, weight) in terms.items()}
    loss = sum(factor * means[name]
               for name, factor in loss_of.loss_weights.items())
  for ours, theirs in LASO_TERMS.items():
    check(theirs, means.pop(ours), values[f"term.{theirs}"])
  assert not means
  check("total", loss, values["total"])
  gradients = tape.gradient(loss, [*trained.values(), *images])
  for name, gradient in zip(trained, gradients):
    check(name, gradient, values[f"g.{name}"])
  for name, gradient in zip(("embed_a", "embed_b"), gradients[-2:]):
    # The four blocks of an image share the gradient of its features.
    blocks = tf.reshape(gradient, [-1, 2, 3, 2, 3, 3])
    check(name, tf.reshape(tf.reduce_sum(blocks, [1, 3]), [-1, 27])[
        :, :case["latent"]], values[f"g.{name}"])
  assert len(trained) + 2 == sum(k.startswith("g.") for k in values)


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
       "atcon_ig": run_atcon_ig, "tame": run_tame,
       "tame_eval": run_tame_eval, "tame_metrics": run_tame_metrics,
       "layer_consistency": run_layer_consistency,
       "gain_voc": run_gain_voc, "gain_multi": run_gain_multi,
       "gain_eval": run_gain_eval, "gain_medt": run_gain_medt,
       "laso": run_laso, "scores": run_scores}


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
