"""Cases of networks and of the agreement of maps."""


import numpy as np
import tensorflow as tf

from atcon_tf.attribution import consistency
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import integrated_gradients
from atcon_tf.models import geometry
from atcon_tf.objectives import layer_consistency

from tests.golden.golden_networks import BY_ID
from tests.golden.golden_networks import arrays
from tests.golden.golden_networks import check
from tests.golden.golden_networks import keras_model
from tests.golden.golden_networks import classifier_of
from tests.golden.golden_networks import check_gradients

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


def check_atcon(case, images, normalize):
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
  check_atcon(case, arrays(BY_ID[case["net"]])["x"], "0..1")


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
