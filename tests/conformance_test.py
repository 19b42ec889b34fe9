"""Every method, objective, data set and metric keeps the common contract.

A table of small cases drives all checks, and an entry without a case fails.
`python -m pytest tests/conformance_test.py` takes a few minutes at most: the
networks have a few layers, and the images 16 pixels a side.
"""

import json

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import registry
from atcon_tf import config
from atcon_tf.config.settings import HEADS
from atcon_tf import data
from atcon_tf.data.registry import DATASETS
from atcon_tf.evaluation.metrics import Evidence
from atcon_tf.evaluation.metrics import METRICS
from atcon_tf.models import explanation_head
from atcon_tf.objectives import base
from atcon_tf.objectives import build
from atcon_tf.objectives import OBJECTIVES
from tests.data import coco_test
from tests.data import drawn_clips
from tests.data import drawn_files
from tests.data import labelling_tools_test
from tests.data import svhn_files
from tests.data import tiny_builders
from tests.small_networks import CLASSES
from tests.small_networks import SIZE
from tests.small_networks import small_classifier

# Each method with options that keep it small.
CASES = {
    "cam": {}, "grad_cam": {}, "grad_cam_plus_plus": {}, "xgrad_cam": {},
    "hires_cam": {}, "layer_cam": {}, "eigen_cam": {}, "finer_cam": {},
    "score_cam": dict(batch_size=16), "ablation_cam": dict(batch_size=16),
    "shapley_cam": {},
    "gradient": {}, "input_x_gradient": {}, "guided_backprop": {},
    "guided_grad_cam": {},
    "integrated_gradients": dict(steps=3, batch_size=4),
    "smooth_grad": dict(samples=3, batch_size=4),
    "var_grad": dict(samples=3, batch_size=4),
    "square_grad": dict(samples=3, batch_size=4),
    "blur_integrated_gradients": dict(steps=3, batch_size=4),
    "guided_integrated_gradients": dict(steps=3),
    "expected_gradients": dict(samples=6, batch_size=4),
    "full_grad": {},
    "lrp": {}, "lrp_epsilon": {}, "lrp_gamma": {}, "lrp_alpha_beta": {},
    "lrp_z_plus": {},
    "deep_lift": {}, "deep_shap": dict(batch_size=4),
    "rise": dict(masks=6, batch_size=4),
    "occlusion": dict(window=8, batch_size=4),
    "sobol": dict(masks=40, cells=4, batch_size=8),
    "hsic": dict(masks=16, cells=4, batch_size=8),
    "lime": dict(samples=20, parts=9, batch_size=4),
    "kernel_shap": dict(samples=20, parts=9, batch_size=4),
    "meaningful_perturbation": dict(
        fill="noise", steps=5, cells=4, batch_size=4),
    "attention_rollout": {}, "gradient_rollout": {}, "legrad": {},
    "tame": {}, "l_cam": {},
}
VIT = [name for name, method in attribution.METHODS.items()
       if method.family == "rollout"]

# Methods whose compiled numbers differ, and why.
XLA_DIFFERS = {
    "eigen_cam": "XLA's eigenvectors are iterated to a coarser tolerance",
}
# Methods that half precision changes by more than rounding, and why.
HALF_DIFFERS = {
    "lime": "a fit of small changes of half-precision logits",
    "meaningful_perturbation": "a fit: rounding moves each of its steps",
    "var_grad": "a small difference of gradients that are half precision",
}


@pytest.fixture(scope="module")
def classifiers():
  """`{kind: (classifier, model)}`; all CNNs have the same weights."""
  plain, model = small_classifier()
  made = {"plain": (plain, model), "vit": small_classifier("vit")}
  for kind in ("nested", "fused"):
    made[kind] = small_classifier(kind, model)
  return made


def _images(count=5):
  return np.random.default_rng(0).uniform(
      size=[count, SIZE, SIZE, 3]).astype(np.float32)


TARGET = np.array([0, 1, 2, 1, 0])


def _explained(method, classifiers, kind="plain"):
  """The classifier for a method, with a head if the method needs one."""
  classifier = classifiers["vit" if method in VIT else kind][0]
  if registry.METHODS[method].family != "learned":
    return classifier
  keras.utils.set_random_seed(2)
  return explanation_head.attach(classifier, method, ["small_pool"])


def _function(method, classifiers, kind="plain", **options):
  return attribution.build(_explained(method, classifiers, kind), method,
                           **{**CASES[method], **options})


@pytest.fixture(scope="module")
def eager(classifiers):
  """`{method: its map of five images}`, computed eagerly."""
  return {m: _function(m, classifiers)(_images(), TARGET).numpy()
          for m in attribution.METHODS}


def _close(ours, reference, tolerance=1e-4):
  np.testing.assert_allclose(
      ours, reference, rtol=0, atol=tolerance * np.abs(reference).max())


def test_every_entry_has_a_case():
  assert set(CASES) == set(attribution.METHODS)
  assert set(OBJECTIVE_CASES) == set(OBJECTIVES)
  assert set(DATASET_CASES) == set(DATASETS)
  assert set(METRIC_CASES) == set(METRICS)
  for listed in (XLA_DIFFERS, HALF_DIFFERS):
    assert set(listed) <= set(CASES)


@pytest.mark.parametrize("method", CASES)
class TestMethods:

  def test_map(self, method, eager):
    heat = eager[method]
    assert heat.ndim == 3 and len(heat) == 5
    assert np.all(np.isfinite(heat))
    assert np.all(heat.max((1, 2)) > heat.min((1, 2))), "a constant map"

  def test_one_image_is_like_five(self, method, classifiers, eager):
    one = _function(method, classifiers)(_images()[1:2], TARGET[1:2])
    _close(one, eager[method][1:2])

  def test_tf_function(self, method, classifiers, eager):
    """A compiled method takes any batch size, and needs no AutoGraph."""
    compiled = tf.function(
        _function(method, classifiers), autograph=False, input_signature=[
            tf.TensorSpec([None, SIZE, SIZE, 3]),
            tf.TensorSpec([None], tf.int64)])
    for part in (slice(0, 5), slice(2, 3)):
      _close(compiled(_images()[part], TARGET[part]), eager[method][part])

  def test_xla(self, method, classifiers, eager):
    compiled = tf.function(_function(method, classifiers), jit_compile=True)
    heat = compiled(tf.constant(_images()), tf.constant(TARGET)).numpy()
    if method in XLA_DIFFERS:
      assert _correlation(heat, eager[method]) > 0.99, XLA_DIFFERS[method]
    else:
      _close(heat, eager[method], 1e-3)

  @pytest.mark.parametrize("kind", ["nested", "fused"])
  def test_same_map_of_the_same_network(self, method, kind, classifiers,
                                        eager):
    """The nested and the fused-ReLU model have the weights of the plain one."""
    if method in VIT:
      pytest.skip("for Vision Transformers")
    _close(_function(method, classifiers, kind)(_images(), TARGET),
           eager[method])

  def test_the_model_is_not_changed(self, method, classifiers):
    model = classifiers["vit" if method in VIT else "plain"][1]
    before = [v.numpy() for v in model.variables]
    config_before = str(model.get_config())
    _function(method, classifiers)(_images(2), TARGET[:2])
    for a, b in zip(before, model.variables):
      np.testing.assert_array_equal(a, b.numpy())
    assert str(model.get_config()) == config_before

  def test_saved_model(self, method, classifiers, eager, tmp_path):
    classifier = _explained(method, classifiers)
    module = tf.Module()
    module.classifier = classifier.model  # its variables are saved with it
    module.head = classifier.attention and list(classifier.attention.variables)
    module.explain = tf.function(
        attribution.build(classifier, method, **CASES[method]),
        input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3]),
                         tf.TensorSpec([None], tf.int64)])
    tf.saved_model.save(module, str(tmp_path), signatures=module.explain)
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    heat, = served(images=tf.constant(_images()),
                   class_index=tf.constant(TARGET)).values()
    _close(heat, eager[method])


def _correlation(a, b):
  return np.mean([np.corrcoef(x.ravel(), y.ravel())[0, 1]
                  for x, y in zip(a, b)])


@pytest.fixture(scope="module")
def half(classifiers):
  """The same networks in bfloat16."""
  keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    return {kind: small_classifier(kind, classifiers[kind][1])
            for kind in ("plain", "vit")}
  finally:
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("method", CASES)
def test_mixed_precision(method, half, eager):
  heat = _function(method, half)(_images(), TARGET)
  assert heat.dtype == tf.float32
  heat = heat.numpy()
  assert np.all(np.isfinite(heat))
  least = 0.5 if method in HALF_DIFFERS else 0.9
  assert _correlation(heat, eager[method]) > least


# Objectives with their flags, and the layers of the maps that they need.
OBJECTIVE_CASES = {
    "supervised": ({}, ()),
    "probe": ({"start": "probe"}, ()),
    "ranked_probe": ({"start": "ranked_probe"}, ()),
    "atcon": ({}, ()),
    "layer_consistency": ({}, ("small_conv2", "small_relu2")),
    "self_training": ({}, ()),
    # With info_nce the other images of a batch are negatives.
    "agree": ({"agree_loss": "similarity"}, ()),
    "gain": ({"ex_weight": 1.0}, ()),
    "laso": ({"set_units": 8}, ()),
    "tame": ({"warm_start": "W/run"}, ()),
    "l_cam": ({"warm_start": "W/run"}, ()),
}


def _batch(count=5):
  return {"image": tf.constant(_images(count)),
          "other_image": tf.constant(_images(count)[:, ::-1]),
          "label": tf.one_hot(TARGET[:count], CLASSES),
          "other_label": tf.ones([count, CLASSES]),
          "label_weight": tf.ones([count, CLASSES]),
          "class_index": tf.constant(TARGET[:count], tf.int64),
          "transform": tf.constant([[1., 0, 0, 0, 1, 0, 0, 0]] * count),
          "teacher_map": tf.constant(_images(count)[:, ::4, ::4, 0]),
          "mask": tf.constant(_images(count) > .5, tf.uint8)}


@pytest.mark.parametrize("name", OBJECTIVE_CASES)
def test_objective(name, classifiers):
  """Terms `[B]` are the same alone and in a batch, eager and compiled."""
  flags, layers = OBJECTIVE_CASES[name]
  classifier = classifiers["plain"][0]
  if layers:
    classifier = classifier.with_cam_layers(layers)
  if name in HEADS:
    classifier = explanation_head.attach(classifier, name, ["small_pool"])
  kinds = build(
      classifier, config.Config(objective=name, **flags).resolve(), base.Task())
  for objective in kinds.values():
    variables = [v.value for v in (
        objective.variables or classifier.model.trainable_variables)]
    with tf.GradientTape() as tape:
      terms = objective.call(_batch())
      loss = sum(factor * tf.reduce_sum(terms[term][0])
                 for term, factor in objective.loss_weights.items() if factor)
    assert set(terms) <= set(objective.loss_weights)
    reached = [g for g in tape.gradient(loss, variables) if g is not None]
    assert reached and all(np.all(np.isfinite(g)) for g in reached)
    alone = objective.call({k: v[1:2] for k, v in _batch().items()})
    compiled = tf.function(objective.call)(_batch())
    for term, (value, weight) in terms.items():
      assert value.shape == weight.shape == (5,)
      np.testing.assert_allclose(alone[term][0], value[1:2], atol=1e-4)
      np.testing.assert_allclose(compiled[term][0], value, atol=1e-4)


# Data sets with their flags; None: the test makes the files.
DATASET_CASES = {"shapes": {}, "folder": None, "image_list": None, "voc": None,
                 "binary_masks": None, "csv": None, "coco": None,
                 "label_studio": None, "cvat": None, "svhn": None,
                 "tfds:NAME": None, "prepared": None, "video": None,
                 "moving_shapes": {}}


@pytest.mark.parametrize("name", DATASET_CASES)
def test_dataset(name, tmp_path, request):
  settings = dict(dataset=name)
  if name == "voc":
    data_dir = request.getfixturevalue("data_dir")
    settings["data_dir"] = str(data_dir / "VOCdevkit")
  if name == "binary_masks":
    settings["data_dir"] = str(request.getfixturevalue("inspection_dir"))
  if name == "image_list":
    lines = [f"{i}.png {i % 2}\n" for i in range(12)]
    for i in range(12):
      PIL.Image.new("RGB", [8, 8], (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    for flag, part in [("train_list", lines[:8]), ("val_list", lines[8:])]:
      (tmp_path / flag).write_text("".join(part))
      settings[flag] = str(tmp_path / flag)
    settings["data_dir"] = str(tmp_path)
  if name == "folder":
    for i in range(12):
      path = tmp_path / ("cat" if i % 2 else "dog") / f"{i}.png"
      path.parent.mkdir(exist_ok=True)
      PIL.Image.new("RGB", [8, 8], (20 * i, 0, 0)).save(path)
    settings["data_dir"] = str(tmp_path)
  if name == "csv":
    settings["table"] = str(tmp_path / "table.csv")
    (tmp_path / "table.csv").write_text("path,label,x1,y1,x2,y2\n" + "".join(
        f"{d.path},{d.name},{','.join(map(str, d.box))}\n"
        for d in drawn_files.draw(tmp_path, 12)))
  if name == "coco":
    settings["annotations"] = coco_test.write(
        tmp_path / "own.json", coco_test.instances(drawn_files.draw(tmp_path)))
  if name == "label_studio":
    settings["annotations"] = str(tmp_path / "export.json")
    (tmp_path / "export.json").write_text(json.dumps(
        labelling_tools_test.tasks(drawn_files.draw(tmp_path))))
  if name == "cvat":
    settings["annotations"] = str(tmp_path / "export.xml")
    (tmp_path / "export.xml").write_text(
        labelling_tools_test.xml(drawn_files.draw(tmp_path)))
  if name == "svhn":
    svhn_files.write(tmp_path, train=40, test=20)
    settings["data_dir"] = str(tmp_path)
  if name == "tfds:NAME":
    tiny_builders.prepare(tiny_builders.TinyShapes, tmp_path)
    settings |= dict(dataset="tfds:tiny_shapes", data_dir=str(tmp_path))
  if name == "prepared":
    settings["data_dir"] = str(tmp_path)
    made = config.Config(dataset="shapes", image_size=32).resolve()
    drawn = data.load(made)
    few = data.registry.keep(drawn, {
        r.id for part in drawn.splits.values() for r in part[:4]})
    data.shard_writer.write(few, made, tmp_path)
  if name == "video":
    for i in range(12):
      drawn_clips.folder(tmp_path / ("run" if i % 2 else "walk") / str(i), 3)
    settings["data_dir"] = str(tmp_path)
  found = data.load(config.Config(**settings).resolve())
  assert set(found.splits) == {"train", "val", "test"}
  ids = [r.id for part in found.splits.values() for r in part]
  assert len(ids) == len(set(ids))
  for part in found.splits.values():
    assert part
    for record in part[:3]:
      assert record.label.shape == (len(found.class_names),)
      assert record.frames == found.frames
      assert record.boxes.shape == (len(record.box_label), 4)
      assert np.all((record.boxes >= 0) & (record.boxes <= 1))


# The score of a map that fills the left half when the class fills the same
# half; None: the score has no fixed value.
METRIC_CASES = {
    "average_drop": 0, "average_drop_50": 0, "average_drop_15": 68,  # 16 of 50
    "increase_in_confidence": 0, "increase_in_confidence_50": 0,
    "increase_in_confidence_15": 0, "average_gain": 0, "insertion": None,
    "deletion": .25, "deletion_blur": None, "road": None, "infidelity": 0,
    "max_sensitivity": 0, "sparseness": .5, "pointing_game": 1,
    "energy_pointing_game": 1, "box_iou": 1, "mask_iou": 1,
    "faithfulness_correlation": 1, "sensitivity_n": 1, "mu_fidelity": 1,
    "faithfulness_estimate": 1, "monotonicity": 1, "irof": None,
    "average_sensitivity": 0, "relative_input_stability": 0,
    "random_logit": 1, "random_weights": 1, "coherency": 1, "adcc": .75,
    "complexity": np.log(50), "relevance_mass_accuracy": 1,
    "relevance_rank_accuracy": 1,
}


@pytest.mark.parametrize("name", METRIC_CASES)
def test_metric(name):
  heat = np.zeros([2, 10, 10])
  heat[:, :, :5] = 1
  images = heat[..., None] / 50
  evidence = Evidence(
      heat, images, lambda x, pairs: x.sum((1, 2, 3)),
      lambda x: heat, lambda: heat, [np.array([[0, 0, .5, 1]])] * 2,
      heat.astype(np.uint8), explain_random=lambda: heat)
  score = METRICS[name](evidence)
  assert score.shape == (2,)
  assert np.all(np.isfinite(score))
  if METRIC_CASES[name] is not None:
    np.testing.assert_allclose(score, METRIC_CASES[name], atol=.01)
