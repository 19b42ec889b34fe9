"""Cases of TAME and L-CAM."""

import dataclasses

import numpy as np
import tensorflow as tf

from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import trained_head
from atcon_tf.evaluation.metrics import faithfulness
from atcon_tf.models import explanation_head
from atcon_tf.models import geometry
from atcon_tf.objectives import tame

from tests.golden.golden_networks import BY_ID
from tests.golden.golden_networks import arrays
from tests.golden.golden_networks import check
from tests.golden.golden_networks import named_variables
from tests.golden.golden_networks import classifier_of

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
