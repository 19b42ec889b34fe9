"""Cases of GAIN, LaSO and the scores."""


import keras
import numpy as np
import tensorflow as tf

from atcon_tf.attribution import attention_mask
from atcon_tf.evaluation.metrics import classification
from atcon_tf import models
from atcon_tf.models import geometry
from atcon_tf.objectives import gain
from atcon_tf.objectives import laso

from tests.golden.golden_networks import BY_ID
from tests.golden.golden_networks import arrays
from tests.golden.golden_networks import check
from tests.golden.golden_networks import named_variables
from tests.golden.golden_networks import classifier_of
from tests.golden.golden_networks import check_gradients


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
